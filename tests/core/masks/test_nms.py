"""The repair that lets torchvision run beside a torch it was not built for."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from tests.interpreters import run_python

from napari_cellprompt.core.masks import nms as nms_module
from napari_cellprompt.core.masks.nms import ops


def random_boxes(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (count, 2))
    size = rng.uniform(1, 40, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    # Rounded, so that equal scores occur.
    scores = rng.uniform(0, 1, count).round(2).astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(scores)


def brute_force_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        x0, y0, x1, y1 = boxes[index]
        for other in kept:
            a0, b0, a1, b1 = boxes[other]
            width = max(0.0, min(x1, a1) - max(x0, a0))
            height = max(0.0, min(y1, b1) - max(y0, b0))
            overlap = width * height
            union = (x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - overlap
            if overlap / union > threshold:
                break
        else:
            kept.append(index)
    return kept


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.7], ids="iou{}".format)
@pytest.mark.parametrize("count", [1, 2, 300], ids="{}boxes".format)
def test_nms_equals_brute_force(count: int, threshold: float) -> None:
    boxes, scores = random_boxes(count, seed=count)
    expected = brute_force_nms(boxes.double().numpy(), scores.double().numpy(), threshold)
    assert ops.nms(boxes, scores, threshold).tolist() == expected
    assert nms_module._nms(boxes, scores, threshold).tolist() == expected


def test_nms_of_nothing_is_empty() -> None:
    kept = nms_module._nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


def test_boxes_without_area_are_kept() -> None:
    boxes = torch.tensor([[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0]])
    assert nms_module._nms(boxes, torch.ones(2), 0.5).tolist() == [0, 1]


def test_batched_nms_of_one_category_is_nms() -> None:
    boxes, scores = random_boxes(50, seed=3)
    one_category = torch.zeros(50, dtype=torch.int64)
    kept = ops.batched_nms(boxes, scores, one_category, 0.4)
    assert kept.tolist() == ops.nms(boxes, scores, 0.4).tolist()


def test_masks_to_boxes_runs() -> None:
    mask = torch.zeros(1, 8, 10)
    mask[0, 2:5, 3:9] = 1
    assert ops.masks_to_boxes(mask).tolist() == [[3, 2, 8, 4]]


def test_torchvision_imports_after_it_in_a_fresh_interpreter() -> None:
    code = (
        "import napari_cellprompt.core.masks.nms\n"
        "import torch, torchvision\n"
        "from torchvision.transforms import Normalize\n"
        "boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 4.1], [9, 9, 12, 12]])\n"
        "print(torchvision.ops.nms(boxes, torch.tensor([.5, .9, .1]), .5).tolist())\n"
    )
    run = run_python("-W", "error", "-c", code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[1, 2]"


def test_it_does_nothing_where_torchvision_is_imported_already() -> None:
    assert "torchvision" in sys.modules
    assert nms_module._compiled_part_loads()
