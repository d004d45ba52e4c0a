"""How many of the objects of a plane a model finds without a prompt."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.everything.finding import EverythingSettings, label_plane
from napari_cellprompt.core.masks.matching import average_precision

if TYPE_CHECKING:
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

    from .objects import KnownPlane

__all__ = ["PlaneScore", "find_all"]


@dataclass(frozen=True, slots=True)
class PlaneScore:
    """What was found on one plane, beside its true labels."""

    dataset: str
    ap50: float
    """TP / (TP + FP + FN) at an IoU of 0.5."""
    ap: float
    """Mean over the thresholds 0.50, 0.55, ..., 0.95."""
    found: int
    true: int
    seconds: float


def find_all(
    segmenter: PlaneSegmenter, plane: KnownPlane, settings: EverythingSettings | None = None
) -> PlaneScore:
    """Label a plane and compare; ``settings`` default to those of ``everything``."""
    started = time.perf_counter()
    settings = EverythingSettings() if settings is None else settings
    labels, filtered = label_plane(segmenter, plane.source, settings)
    seconds = time.perf_counter() - started
    ap50, ap = average_precision(labels, plane.labels)
    true = len(set(plane.labels.ravel().tolist()) - {0})
    return PlaneScore(plane.dataset, ap50, ap, len(filtered.kept), true, seconds)
