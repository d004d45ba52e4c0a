"""Masks of what lies inside an outline: a polygon, or a turned ellipse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.types import CroppedMask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["fill_ellipse", "fill_polygon"]


def fill_polygon(corners: ArrayLike, shape: tuple[int, int]) -> CroppedMask:
    """Pixels whose centre lies in a polygon; where it crosses itself, in an odd part.

    Row by row, so that the time depends on the corners plus the pixels: a lasso of
    hundreds of corners around a large object would take seconds otherwise.

    Parameters
    ----------
    corners
        ``(K, 2)`` x, y with pixel centres at integers; the last is joined to the first.
    shape
        Rows and columns of the plane.
    """
    points = np.asarray(corners, dtype=np.float64)
    y0, x0, height, width = _window(points, shape)
    if not height or not width:
        return CroppedMask(np.zeros((0, 0), bool), (0, 0), shape)
    x, y = points[:, 0] - x0, points[:, 1] - y0
    x_next, y_next = np.roll(x, -1), np.roll(y, -1)
    # rows whose centre an edge passes, its lower end included and its upper end not
    low, high = np.minimum(y, y_next), np.maximum(y, y_next)
    first = np.clip(np.ceil(low), 0, height).astype(np.int64)
    stop = np.clip(np.ceil(high), 0, height).astype(np.int64)
    counts = stop - first
    edges = np.repeat(np.arange(len(points)), counts)
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows += first[edges]
    share = (rows - y[edges]) / (y_next - y)[edges]
    crossed = x[edges] + share * (x_next - x)[edges]
    columns = np.clip(np.ceil(crossed), 0, width).astype(np.int64)
    switches = np.zeros((height, width + 1), dtype=np.uint8)
    np.bitwise_xor.at(switches, (rows, columns), 1)
    inside = np.bitwise_xor.accumulate(switches, axis=1)[:, :-1].astype(bool)
    return CroppedMask(inside, (y0, x0), shape)


def fill_ellipse(corners: ArrayLike, shape: tuple[int, int]) -> CroppedMask:
    """Pixels whose centre lies in the ellipse inscribed in a parallelogram.

    Parameters
    ----------
    corners
        ``(4, 2)`` x, y of the corners, one after the other around it.
    shape
        Rows and columns of the plane.
    """
    points = np.asarray(corners, dtype=np.float64)
    y0, x0, height, width = _window(points, shape)
    sides = np.stack([points[1] - points[0], points[3] - points[0]], axis=1) / 2
    if not height or not width or abs(np.linalg.det(sides)) < 1e-9:
        return CroppedMask(np.zeros((0, 0), bool), (0, 0), shape)
    centre = points.mean(axis=0)
    columns, rows = np.meshgrid(
        x0 + np.arange(width) - centre[0], y0 + np.arange(height) - centre[1]
    )
    within: NDArray[Any] = np.einsum(
        "ij,jrc->irc", np.linalg.inv(sides), np.stack([columns, rows])
    )
    return CroppedMask((within**2).sum(axis=0) <= 1, (y0, x0), shape)


def _window(points: NDArray[np.float64], shape: Sequence[int]) -> tuple[int, int, int, int]:
    """First row and column, rows and columns of the pixels that points may enclose."""
    spans = []
    for axis, length in ((1, shape[0]), (0, shape[1])):
        first = max(math.ceil(points[:, axis].min()), 0)
        stop = min(math.floor(points[:, axis].max()) + 1, length)
        spans.append((first, max(stop - first, 0)))
    (y0, height), (x0, width) = spans
    return y0, x0, height, width
