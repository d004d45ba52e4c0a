"""Which zoom shows an object of unknown size well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.inference.crops import Crop, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .looking import Seen
    from .settings import CropSettings

__all__ = ["agreements", "extent_in_crop", "shared_share", "zoom_scores"]


def shared_share(a: Seen, b: Seen) -> float:
    """Soft IoU of two answers, compared in the larger of the two crops."""
    small, large = (a, b) if a.crop.side <= b.crop.side else (b, a)
    frame = Crop(
        (large.crop.y0 - small.crop.y0) / small.crop.step,
        (large.crop.x0 - small.crop.x0) / small.crop.step,
        large.crop.side / small.crop.step,
        large.crop.size,
    )
    first, second = read(small.probability, frame), large.probability
    either = float(np.maximum(first, second).sum())
    return float(np.minimum(first, second).sum()) / max(either, 1e-6)


def extent_in_crop(seen: Seen) -> float:
    """Longer side of the answer as a share of its crop; 0 where it is empty."""
    box = seen.box()
    if box is None:
        return 0.0
    return max(box[2] - box[0], box[3] - box[1]) / seen.crop.side


def agreements(answers: Sequence[Seen]) -> list[float]:
    """The larger overlap of each answer with that of a neighbouring zoom.

    Answers are of crops around one click, from the smallest to the largest; a single one
    agrees with itself.
    """
    if len(answers) == 1:
        return [1.0]
    agree = [0.0] * len(answers)
    for row in range(len(answers) - 1):
        shared = shared_share(answers[row], answers[row + 1])
        agree[row], agree[row + 1] = max(agree[row], shared), max(agree[row + 1], shared)
    return agree


def zoom_scores(
    answers: Sequence[Seen], agree: Sequence[float], settings: CropSettings
) -> list[float]:
    """How good each answer is: predicted IoU, extent, agreement with the next zoom.

    Parameters
    ----------
    answers
        Of crops around one click, from the smallest to the largest.
    agree
        Their :func:`agreements`.
    settings
        The rule.
    """
    scores = []
    floor, away = settings.floor, settings.disagreed
    for seen, shared in zip(answers, agree, strict=True):
        extent = extent_in_crop(seen)
        if extent == 0:
            scores.append(-1.0)
            continue
        small = min(extent / settings.least_extent, 1.0)
        large = min((1 - extent) / (1 - settings.most_extent), 1.0)
        fits = floor + (1 - floor) * small * large
        scores.append(seen.iou * fits * (away + (1 - away) * shared))
    return scores
