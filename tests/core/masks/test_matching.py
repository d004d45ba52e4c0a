from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.matching import (
    THRESHOLDS,
    average_precision,
    iou_matrix,
    match,
    pair_up,
)


def squares(*boxes: tuple[int, int, int, int], shape=(40, 40)) -> np.ndarray:
    labels = np.zeros(shape, np.uint16)
    for number, (y0, y1, x0, x1) in enumerate(boxes, start=1):
        labels[y0:y1, x0:x1] = number
    return labels


def test_thresholds_of_the_papers() -> None:
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_iou_of_every_pair() -> None:
    first = squares((0, 10, 0, 10), (20, 30, 20, 30))
    second = squares((0, 10, 5, 15), (0, 10, 20, 30), (20, 30, 20, 25)) * 7
    iou, rows, columns = iou_matrix(first, second)
    assert rows.tolist() == [1, 2]
    assert columns.tolist() == [7, 14, 21]
    np.testing.assert_allclose(iou, [[50 / 150, 0, 0], [0, 0, 50 / 100]])


def test_counts_at_and_beside_the_threshold() -> None:
    truth = squares((0, 10, 0, 10), (20, 30, 0, 10))
    # half of the first, nothing of the second, and one that is not there
    predicted = squares((0, 10, 0, 5), (35, 40, 35, 40))
    at, above = match(predicted, truth, (0.5, 0.51))
    assert (at.matched, at.extra, at.missed) == (1, 1, 1)
    assert at.precision == pytest.approx(1 / 3)
    assert (above.matched, above.extra, above.missed) == (0, 2, 2)
    assert above.precision == 0


def test_mean_over_thresholds() -> None:
    truth = squares((0, 10, 0, 10))
    predicted = squares((0, 10, 0, 8))  # IoU 0.8: seven of ten thresholds
    assert average_precision(predicted, truth) == (1.0, pytest.approx(0.7))


def test_as_many_pairs_as_possible() -> None:
    # greedy by IoU would take 0.9 and leave the second row without a partner
    iou = np.array([[0.9, 0.6], [0.55, 0.0]])
    assert pair_up(iou, 0.5) == [(0, 1), (1, 0)]
    assert pair_up(iou, 0.58) == [(0, 0)]
    assert pair_up(np.zeros((0, 3)), 0.5) == []


def test_pairs_against_every_assignment() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        iou = rng.random((4, 5))
        best = max(
            (
                [(r, c) for r, c in enumerate(columns) if iou[r, c] >= 0.6]
                for columns in itertools.permutations(range(5), 4)
            ),
            key=lambda pairs: (len(pairs), sum(iou[pair] for pair in pairs)),
        )
        assert pair_up(iou, 0.6) == best


def test_nothing_is_perfect_where_there_is_nothing() -> None:
    empty = np.zeros((5, 5), np.uint8)
    assert average_precision(empty, empty) == (1.0, 1.0)
    assert average_precision(squares((0, 2, 0, 2), shape=(5, 5)), empty) == (0.0, 0.0)
    assert average_precision(empty, squares((0, 2, 0, 2), shape=(5, 5))) == (0.0, 0.0)


def test_volumes() -> None:
    truth = np.stack([squares((0, 10, 0, 10))] * 3)
    assert average_precision(truth, truth) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), r"got \(2, 2\) and \(2, 3\)"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "type float64"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "the smallest -1"),
    ],
)
def test_what_are_no_labels(first, second, sentence) -> None:
    with pytest.raises(ImageError, match=sentence):
        iou_matrix(first, second)


def test_thresholds_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="above 0"):
        match(squares(), squares(), (0.0,))
