"""torchvision for the reference packages, also where its compiled part cannot load.

On Linux, PyPI's torchvision is built for CUDA and its compiled part does not load
beside a CPU-only torch; importing torchvision then fails because its operator schemas
are missing. This module defines the two that the import asks for, with a plain torch
``nms`` behind them. Where the compiled part loads, it does nothing.

Import this before whatever imports torchvision.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def _compiled_part_loads() -> bool:
    """Whether torchvision's shared library can be loaded into this process."""
    if "torchvision" in sys.modules or sys.platform != "linux":
        # Already imported, so it works; elsewhere the wheels on PyPI match.
        return True
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # not installed: the import below says so
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
        return True
    return False


def _box_iou(box: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of one box ``(4,)`` with many ``(N, 4)``, as ``(N,)``."""
    size = (
        torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])
    ).clamp(min=0)
    overlap = size.prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    return overlap / ((box[2:] - box[:2]).prod() + areas - overlap)


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression; indices of the kept boxes, best score first.

    A box goes when its IoU with a better kept one is above ``iou_threshold``; of equal
    scores the earlier box counts as the better one.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    kept = []
    while order.numel() > 0:
        best, rest = order[0], order[1:]
        kept.append(best)
        # Written so that the NaN of two boxes without area keeps both.
        order = rest[~(_box_iou(boxes[best], boxes[rest]) > iou_threshold)]
    if not kept:
        return torch.empty(0, dtype=torch.int64, device=boxes.device)
    return torch.stack(kept)


def _always_true() -> bool:
    return True


def _define_missing_operators() -> Any:
    library: Any = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CPU")
    return library


_library: Any = None  # definitions live as long as this does
if not _compiled_part_loads():
    _library = _define_missing_operators()

    import torchvision.extension

    # Only after the import: during it, a True would register operators that are absent.
    torchvision.extension._has_ops = _always_true
