"""Squares of a plane as the crop-wise network sees them, with their prompts drawn in.

Training and inference share every function here, so that the network is asked as it was
taught. Coordinates of crops and boxes count from the edges of pixels: pixel i spans
[i, i + 1]. Points are given, as everywhere in the core, with pixel centres at integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHANNELS",
    "Crop",
    "NeighbourPlane",
    "Pasted",
    "contrast_limits",
    "crop_around",
    "draw_box",
    "draw_points",
    "draw_stroke",
    "grey_plane",
    "image_planes",
    "paste",
    "prompt_planes",
    "read",
    "stretch",
]

Floats = NDArray[np.float32]

CHANNELS = {
    name: position
    for position, name in enumerate(
        (
            "positive",
            "negative",
            "box",
            "mask",
            "previous",
            "before_mask",
            "before_image",
            "before_nearness",
            "after_mask",
            "after_image",
            "after_nearness",
        )
    )
}
"""Position of each prompt plane in the network's second input."""

POINT_RADIUS = 2.5
"""Of the disk drawn for a click, and half the width of a stroke, in network pixels."""
SURROUNDINGS = 2.0
"""Side of the square that sets the contrast, in sides of the crop."""
LIMITS = (0.3, 99.7)
"""Percentiles of the surroundings that become 0 and 1."""
_SAMPLES = 96  # per side of the square that sets the contrast
_LARGEST_STEP = 8.0  # plane pixels per network pixel that are filtered in one go


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of a plane."""

    y0: float
    """Upper edge, plane pixels."""
    x0: float
    """Left edge, plane pixels."""
    side: float
    """Plane pixels."""
    size: int
    """Network pixels; a multiple of 32."""

    @property
    def step(self) -> float:
        """Plane pixels per network pixel."""
        return self.side / self.size

    def place(self, points: NDArray[Any] | Sequence[Sequence[float]]) -> Floats:
        """Network pixel coordinates (centres at integers) of points of the plane.

        Parameters
        ----------
        points
            ``(n, 2)`` x, y in plane pixels, pixel centres at integers.
        """
        moved = np.asarray(points, dtype=np.float64).reshape(-1, 2) + 0.5
        placed = (moved - (self.x0, self.y0)) / self.step - 0.5
        return placed.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class NeighbourPlane:
    """A plane beside the asked one on which the object's mask is known."""

    image: NDArray[Any] | None
    """``(h, w)`` or ``(h, w, 3)``, a window of the plane or all of it; None where only the
    mask is known."""
    mask: NDArray[Any] | None
    """``(h, w)`` bool or 0 to 1, a window of the plane or all of it; all False where the
    object is known to be absent, None where only the image is known."""
    origin: tuple[float, float] = (0.0, 0.0)
    """Row and column of the first pixel of ``mask``."""
    distance: float = 1.0
    """Planes between this one and the asked one, at least 1 for a neighbour."""
    image_origin: tuple[float, float] = (0.0, 0.0)
    """Row and column of the first pixel of ``image``."""


@dataclass(frozen=True, slots=True, eq=False)
class Pasted:
    """Values brought back from a crop to a window of the plane."""

    values: Floats
    """``(h, w)``."""
    y0: int
    """Row of the window's first pixel."""
    x0: int
    """Column of the window's first pixel."""


def crop_around(
    box: Sequence[float], share: float, size: int, *, least: float = 8.0
) -> Crop:
    """The crop in whose middle a box takes a share of the side.

    Parameters
    ----------
    box
        x0, y0, x1, y1 in plane pixels, x1 and y1 exclusive.
    share
        Of the crop's side that the longer side of the box takes.
    size
        Network pixels.
    least
        The smallest side, plane pixels.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    side = max(max(x1 - x0, y1 - y0) / share, least)
    return Crop((y0 + y1 - side) / 2, (x0 + x1 - side) / 2, side, size)


def _weights(start: float, step: float, count: int, length: int) -> tuple[Floats, int]:
    """Triangle filters of ``count`` samples along an axis of ``length`` pixels.

    The filters are as wide as a sample where samples are larger than pixels, so nothing
    aliases, and interpolate linearly where they are smaller. What lies outside of the axis
    counts as zeros.

    Returns
    -------
    weights : ndarray
        ``(count, n)`` for the n pixels that matter.
    first : int
        The first of these pixels.
    """
    support = max(step, 1.0)
    centres = start + step * (np.arange(count) + 0.5)
    low = math.floor(centres[0] - support)
    high = math.ceil(centres[-1] + support) + 1
    pixels = np.arange(low, high) + 0.5
    weights = np.maximum(1 - np.abs(centres[:, None] - pixels) / support, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    first, stop = min(max(low, 0), length), max(min(high, length), 0)
    stop = max(stop, first)
    return weights[:, first - low : stop - low].astype(np.float32), first


def _pooled(array: NDArray[Any], factor: int) -> Floats:
    """Means of ``factor`` x ``factor`` pixels; what is left over at the end is dropped."""
    height, width = (n // factor * factor for n in array.shape[:2])
    rest = array.shape[2:]
    # rows first: adding whole rows is fast, adding neighbours within one is not
    rows = array[:height, :width].reshape(height // factor, factor, width, *rest)
    summed = rows.sum(axis=1, dtype=np.float32)
    columns = summed.reshape(len(summed), width // factor, factor, *rest)
    pooled: Floats = columns.sum(axis=2) * np.float32(1 / factor**2)
    return pooled


def _finite(values: NDArray[Any]) -> Floats:
    """As float32, the median in place of what is not finite."""
    floats = np.asarray(values, dtype=np.float32)
    if values.dtype.kind == "f":
        good = np.isfinite(floats)
        if not good.all():
            fill = np.float32(np.median(floats[good])) if good.any() else np.float32(0)
            floats = np.where(good, floats, fill)
    return floats


def read(
    array: NDArray[Any], crop: Crop, origin: tuple[float, float] = (0.0, 0.0)
) -> Floats:
    """Resample a square of an array, antialiased, zeros outside.

    Parameters
    ----------
    array
        ``(h, w)`` or ``(h, w, C)``: a plane, or a window of one.
    crop
        The square, in coordinates of the plane.
    origin
        Row and column of the plane at which the array begins; fractions for one that is
        shown moved.

    Returns
    -------
    ndarray
        ``(size, size)`` or ``(size, size, C)`` float32.
    """
    values, _ = _sample(array, crop, origin)
    return values


def _sample(
    array: NDArray[Any], crop: Crop, origin: tuple[float, float]
) -> tuple[Floats, Floats | None]:
    """The resampled values, and the share of each that lies within the array.

    None for the share where all of it does.
    """
    y0, x0, step = crop.y0 - origin[0], crop.x0 - origin[1], crop.step
    if step > _LARGEST_STEP:
        factor = int(step // (_LARGEST_STEP / 2))
        margin = 2 * math.ceil(step)
        top = max(math.floor(y0) - margin, 0) // factor * factor
        left = max(math.floor(x0) - margin, 0) // factor * factor
        window = array[
            top : max(math.ceil(y0 + crop.side) + margin, 0),
            left : max(math.ceil(x0 + crop.side) + margin, 0),
        ]
        array = _pooled(_finite(window), factor)
        y0, x0, step = (y0 - top) / factor, (x0 - left) / factor, step / factor
    down, top = _weights(y0, step, crop.size, array.shape[0])
    right, left = _weights(x0, step, crop.size, array.shape[1])
    window = array[top : top + down.shape[1], left : left + right.shape[1]]
    floats = _finite(window)
    if floats.ndim == 2:
        values = np.asarray(down @ floats @ right.T, dtype=np.float32)
    else:
        values = np.stack(
            [down @ floats[..., c] @ right.T for c in range(floats.shape[2])], axis=-1
        )
    rows, columns = down.sum(axis=1), right.sum(axis=1)
    if min(rows[0], rows[-1], columns[0], columns[-1]) > 0.999:
        return values, None
    return values, np.outer(rows, columns).astype(np.float32)


def contrast_limits(plane: NDArray[Any], crop: Crop) -> tuple[float, float]:
    """Grey values that become 0 and 1, from what is around the crop within the plane.

    They depend on a square of `SURROUNDINGS` sides of the crop alone, so an object looks
    alike in a small image and in a large one, and beside a saturated frame.

    Parameters
    ----------
    plane
        ``(H, W)`` or ``(H, W, 3)``; the channels share their limits.
    crop
        The square that is looked at.
    """
    side = SURROUNDINGS * crop.side
    top = crop.y0 + (crop.side - side) / 2
    left = crop.x0 + (crop.side - side) / 2
    height, width = plane.shape[:2]
    y0, x0 = min(max(int(top), 0), height - 1), min(max(int(left), 0), width - 1)
    y1 = min(max(math.ceil(top + side), y0 + 1), height)
    x1 = min(max(math.ceil(left + side), x0 + 1), width)
    window = plane[y0:y1, x0:x1]
    factor = max(min(y1 - y0, x1 - x0), 1) // _SAMPLES
    if factor > 8:
        window = window[:: factor // 4, :: factor // 4]
        factor = min(window.shape[:2]) // _SAMPLES
    # noise is averaged as it is in the crop that the network sees
    factor = min(factor, max(int(crop.step), 1))
    sample = _pooled(_finite(window), factor) if factor > 1 else _finite(window)
    low, high = np.percentile(sample, LIMITS)
    return float(low), float(high)


def stretch(values: Floats, limits: tuple[float, float]) -> Floats:
    """Map limits to 0 and 1, and what is beyond them softly to -0.25 and 1.5 at most."""
    low, high = limits
    span = max(high - low, 1e-6 * max(abs(low), abs(high), 1e-6))
    scaled = (values - np.float32(low)) * np.float32(1 / span)
    above, below = np.maximum(scaled - 1, 0), np.minimum(scaled, 0)
    soft: Floats = (
        np.clip(scaled, 0, 1)
        + 0.5 * -np.expm1(-np.minimum(above, 30))
        + 0.25 * np.expm1(np.maximum(4 * below, -30))
    )
    return soft.astype(np.float32, copy=False)


def image_planes(
    plane: NDArray[Any], crop: Crop, limits: tuple[float, float] | None = None
) -> Floats:
    """The network's image input.

    Parameters
    ----------
    plane
        ``(H, W)`` or ``(H, W, 3)`` of any numeric type.
    crop
        What is looked at.
    limits
        Grey values of 0 and 1; None for those of `contrast_limits`.

    Returns
    -------
    ndarray
        ``(3, size, size)`` float32, about 0 to 1; 0 outside of the plane.
    """
    values, share = _sample(plane, crop, (0, 0))
    if share is not None:
        some = np.maximum(share, 1e-3)
        values = np.divide(values, some if values.ndim == 2 else some[..., None])
    values = stretch(values, limits or contrast_limits(plane, crop))
    planes = np.moveaxis(values, -1, 0) if values.ndim == 3 else values[None]
    if share is not None:
        planes = planes * share
    return np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])))


def grey_plane(plane: NDArray[Any], crop: Crop) -> Floats:
    """The image of a known plane: the mean of `image_planes`, ``(size, size)``."""
    if plane.ndim == 3:
        mean: Floats = image_planes(plane, crop).mean(axis=0)
        return mean
    first: Floats = image_planes(plane, crop)[0]
    return first


def draw_points(points: NDArray[Any] | Sequence[Sequence[float]], crop: Crop) -> Floats:
    """Disks at points, x and y in plane pixels, as ``(size, size)``."""
    canvas = np.zeros((crop.size, crop.size), np.float32)
    axis = np.arange(crop.size, dtype=np.float32)
    for x, y in crop.place(points):
        away = np.hypot(axis[:, None] - y, axis - x)
        np.maximum(canvas, np.clip(POINT_RADIUS + 0.5 - away, 0, 1), out=canvas)
    return canvas


def draw_stroke(path: NDArray[Any] | Sequence[Sequence[float]], crop: Crop) -> Floats:
    """A line through points, x and y in plane pixels, as ``(size, size)``."""
    canvas = draw_points(path, crop)
    placed = crop.place(path)
    axis = np.arange(crop.size, dtype=np.float32)
    for (x0, y0), (x1, y1) in pairwise(placed):
        dx, dy = x1 - x0, y1 - y0
        along = ((axis - x0) * dx)[None] + ((axis - y0) * dy)[:, None]
        share = np.clip(along / max(dx * dx + dy * dy, 1e-6), 0, 1)
        away = np.hypot(axis[:, None] - y0 - share * dy, axis - x0 - share * dx)
        np.maximum(canvas, np.clip(POINT_RADIUS + 0.5 - away, 0, 1), out=canvas)
    return canvas


def draw_box(box: Sequence[float], crop: Crop) -> Floats:
    """The share of each network pixel that lies within a box x0, y0, x1, y1."""
    edges = np.arange(crop.size + 1, dtype=np.float64) * crop.step

    def covered(low: float, high: float) -> NDArray[np.float64]:
        inside = np.clip(edges, low, max(high, low))
        share: NDArray[np.float64] = np.diff(inside) / crop.step
        return share

    x0, y0, x1, y1 = (float(value) for value in box)
    rows = covered(y0 - crop.y0, y1 - crop.y0)
    columns = covered(x0 - crop.x0, x1 - crop.x0)
    return np.outer(rows, columns).astype(np.float32)


def prompt_planes(
    crop: Crop,
    *,
    points: NDArray[Any] | Sequence[Sequence[float]] = (),
    labels: Sequence[int] | NDArray[Any] = (),
    strokes: Sequence[tuple[NDArray[Any], int]] = (),
    box: Sequence[float] | None = None,
    mask: tuple[NDArray[Any], tuple[int, int]] | None = None,
    previous: tuple[NDArray[Any], tuple[int, int]] | None = None,
    before: NeighbourPlane | None = None,
    after: NeighbourPlane | None = None,
) -> Floats:
    """The network's prompt input.

    Parameters
    ----------
    crop
        What is looked at.
    points, labels
        ``(n, 2)`` x, y in plane pixels, and 1 or 0 for each.
    strokes
        Paths ``(n, 2)`` x, y, each with its label.
    box
        x0, y0, x1, y1 in plane pixels.
    mask
        A rough mask, or that of the prompted plane, and its window's row and column.
    previous
        The probability answered before, and its window's row and column.
    before, after
        Known planes on either side.

    Returns
    -------
    ndarray
        ``(11, size, size)`` float32, planes as in `CHANNELS`.
    """
    planes = np.zeros((len(CHANNELS), crop.size, crop.size), np.float32)
    signs = np.asarray(labels)
    coordinates = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    for name, label in (("positive", 1), ("negative", 0)):
        plane = planes[CHANNELS[name]]
        if (signs == label).any():
            plane[:] = draw_points(coordinates[signs == label], crop)
        for path, sign in strokes:
            if sign == label:
                np.maximum(plane, draw_stroke(path, crop), out=plane)
    if box is not None:
        planes[CHANNELS["box"]] = draw_box(box, crop)
    if mask is not None:
        planes[CHANNELS["mask"]] = read(*_arranged(mask, crop))
    if previous is not None:
        planes[CHANNELS["previous"]] = read(*_arranged(previous, crop))
    for name, known in (("before", before), ("after", after)):
        if known is None:
            continue
        if known.mask is not None:
            planes[CHANNELS[f"{name}_mask"]] = read(known.mask, crop, known.origin)
            planes[CHANNELS[f"{name}_nearness"]] = 1 / max(known.distance, 1.0)
        if known.image is not None:
            y0, x0 = known.image_origin
            moved = Crop(crop.y0 - y0, crop.x0 - x0, crop.side, crop.size)
            planes[CHANNELS[f"{name}_image"]] = grey_plane(known.image, moved)
    return planes


def _arranged(
    window: tuple[NDArray[Any], tuple[int, int]], crop: Crop
) -> tuple[NDArray[Any], Crop, tuple[int, int]]:
    values, origin = window
    return values, crop, origin


def paste(values: Floats, crop: Crop, shape: tuple[int, int]) -> Pasted:
    """Bring values of a crop back to the plane's own pixels, bilinear.

    Parameters
    ----------
    values
        ``(size, size)``, for example logits.
    crop
        Where they come from.
    shape
        Height and width of the plane.

    Returns
    -------
    Pasted
        The pixels of the plane whose centres lie in the crop; ``(0, 0)`` values where none
        does.
    """
    spans = []
    for start, length in ((crop.y0, shape[0]), (crop.x0, shape[1])):
        first = max(math.ceil(start - 0.5), 0)
        stop = min(math.ceil(start + crop.side - 0.5), length)
        count = max(stop - first, 0)
        # pixels of the plane in network pixels, repeated beyond the last centre
        support = max(1 / crop.step, 1.0)
        centres = (first + np.arange(count) + 0.5 - start) / crop.step
        cells = np.arange(-1 - math.ceil(support), crop.size + 1 + math.ceil(support))
        weights = np.maximum(1 - np.abs(centres[:, None] - (cells + 0.5)) / support, 0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
        before, stop = int(-cells[0]), int(-cells[0]) + crop.size
        inside = weights[:, before:stop].astype(np.float32)
        inside[:, 0] += weights[:, :before].sum(axis=1)
        inside[:, -1] += weights[:, stop:].sum(axis=1)
        spans.append((inside, first))
    (down, y0), (right, x0) = spans
    pasted = np.asarray(down @ values @ right.T, dtype=np.float32)
    return Pasted(pasted, y0, x0)
