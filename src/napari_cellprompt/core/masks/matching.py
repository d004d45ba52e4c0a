"""Compares label images object by object.

Average precision at an IoU threshold is TP / (TP + FP + FN), as in the papers on
StarDist (Schmidt et al. 2018, arXiv:1806.03535) and Cellpose (Stringer et al. 2021):
objects are paired one to one so that as many pairs as possible reach the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["THRESHOLDS", "Matching", "average_precision", "iou_matrix", "match", "pair_up"]

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU thresholds over which average precision is averaged: 0.50, 0.55, ..., 0.95."""


@dataclass(frozen=True, slots=True)
class Matching:
    """How many objects of a prediction and of the truth agree at one threshold."""

    threshold: float
    matched: int
    """Pairs whose IoU reaches the threshold (true positives)."""
    extra: int
    """Predicted objects without a partner (false positives)."""
    missed: int
    """True objects without a partner (false negatives)."""

    @property
    def precision(self) -> float:
        """TP / (TP + FP + FN); 1 where there is nothing and nothing was found."""
        total = self.matched + self.extra + self.missed
        return self.matched / total if total else 1.0


def iou_matrix(
    first: NDArray[Any], second: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """IoU of every object of one label image with every object of another.

    Parameters
    ----------
    first, second
        Label images of one shape, of any number of axes; 0 = background.

    Returns
    -------
    tuple
        IoU ``(N, M)``, and the ids of its N rows and M columns in rising order.

    Raises
    ------
    ImageError
        When the shapes differ or values are not whole numbers from 0 on.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        raise ImageError(
            f"Label images must have one shape: got {first.shape} and {second.shape}."
        )
    for labels in (first, second):
        if labels.dtype.kind not in "biu" or (labels.size and int(labels.min()) < 0):
            raise ImageError(
                "Labels must be whole numbers from 0 on: got values of type "
                f"{labels.dtype}, the smallest {labels.min() if labels.size else '-'}."
            )
    rows, row_of = np.unique(first, return_inverse=True)
    columns, column_of = np.unique(second, return_inverse=True)
    pairs = row_of.ravel().astype(np.int64) * len(columns) + column_of.ravel()
    both = np.bincount(pairs, minlength=len(rows) * len(columns))
    both = both.reshape(len(rows), len(columns))
    union = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    kept_rows, kept_columns = rows != 0, columns != 0
    iou = (both / np.maximum(union, 1))[kept_rows][:, kept_columns]
    return iou, rows[kept_rows].astype(np.int64), columns[kept_columns].astype(np.int64)


def pair_up(iou: NDArray[np.floating[Any]], threshold: float) -> list[tuple[int, int]]:
    """One-to-one pairs of rows and columns whose IoU reaches a threshold.

    As many pairs as possible, and of those the ones with the largest total IoU
    (Hungarian algorithm).
    """
    from scipy.optimize import linear_sum_assignment

    if iou.size == 0:
        return []
    reached = iou >= threshold
    # a pair that counts outweighs any gain in IoU among the others
    gain = reached + np.where(reached, iou, 0) / (2 * min(iou.shape))
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if reached[row, column]
    ]


def match(
    predicted: NDArray[Any],
    truth: NDArray[Any],
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[Matching]:
    """Count the objects that agree at each threshold.

    Parameters
    ----------
    predicted, truth
        Label images of one shape; 0 = background.
    thresholds
        Above 0, at most 1.

    Raises
    ------
    ImageError
        See :func:`iou_matrix`.
    ValueError
        Where a threshold does not lie in that range.
    """
    if any(not 0 < threshold <= 1 for threshold in thresholds):
        raise ValueError(f"thresholds must be above 0 and at most 1: got {thresholds}.")
    iou, found, real = iou_matrix(predicted, truth)
    counts = []
    for threshold in thresholds:
        pairs = len(pair_up(iou, threshold))
        counts.append(Matching(threshold, pairs, len(found) - pairs, len(real) - pairs))
    return counts


def average_precision(predicted: NDArray[Any], truth: NDArray[Any]) -> tuple[float, float]:
    """Average precision at IoU 0.5, and its mean over 0.50, 0.55, ..., 0.95."""
    values = [counts.precision for counts in match(predicted, truth)]
    return values[0], float(np.mean(values))
