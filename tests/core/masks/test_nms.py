"""Which of several overlapping boxes stay."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.masks.nms import nms


def random_boxes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 100, (count, 2))
    size = rng.uniform(1, 40, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    # Rounded, so that equal scores occur.
    return boxes, rng.uniform(0, 1, count).round(2).astype(np.float32)


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
    expected = brute_force_nms(boxes.astype(float), scores.astype(float), threshold)
    assert nms(boxes, scores, threshold).tolist() == expected


def test_nms_of_nothing_is_empty() -> None:
    kept = nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


def test_boxes_without_area_are_kept() -> None:
    boxes = np.full((2, 4), 5, np.float32)
    assert nms(boxes, np.ones(2, np.float32), 0.5).tolist() == [0, 1]
