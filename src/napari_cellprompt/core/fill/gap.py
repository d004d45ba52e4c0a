"""One object between two planes on which it is known, by signed distances.

Shape-based interpolation (Raya and Udupa 1990, IEEE Trans. Med. Imaging 9, 32): on the way
from one outline to the other the signed distance to the outline changes evenly. Here both
are moved over each other first, so that an object which moves is carried along instead of
fading out in one place and in again in another; and the level is not 0, but the one
that gives the area that is wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy  # its parts load when they are used

from napari_cellprompt.core.types import Box, CroppedMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Gap"]

_SOFT = 4.0
"""Pixels from the outline at which an object counts as nearly all in, or out, where two
are moved over each other."""
_COARSE = 96
"""Pixels of the longer side at which they are."""
_LARGE = 768
"""Objects with a longer side than this are filled in at a fraction of the resolution."""
_ROOM = 6
"""A part of the longer side, this one, is free around the objects: to grow into."""


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """What lies between two planes of an object; plane by plane, as it is asked for."""

    distances: tuple[NDArray[np.float32], NDArray[np.float32]]
    """Signed distances ``(h, w)`` to both outlines in coarse pixels, positive inside."""
    origin: tuple[int, int]
    """``(y0, x0)`` of their rectangle on the first plane."""
    shift: tuple[float, float]
    """Rows and columns that the object moves from the first plane to the second."""
    stride: int
    """Pixels of the plane in one coarse pixel."""
    plane_shape: tuple[int, int]

    @classmethod
    def between(cls, first: CroppedMask, second: CroppedMask) -> Gap:
        """Lay an object's masks on two planes over each other; none may be empty."""
        one, other = first.box, second.box
        if one is None or other is None:
            raise ValueError("an object that is filled in needs pixels on both planes")
        stride = -(-max(one.side, other.side) // _LARGE)
        shift = _overlay(first, second, one, other)
        # whole coarse pixels, so that both outlines stay as they are
        steps = [round(part / stride) * stride for part in shift]
        back = Box(
            other.x0 - steps[1],
            other.y0 - steps[0],
            other.x1 - steps[1],
            other.y1 - steps[0],
        )
        around = one.union(back)
        room = 2 * stride + around.side // _ROOM
        x0, y0 = around.x0 - room, around.y0 - room
        size = (around.height + 2 * room, around.width + 2 * room)
        distances = (
            _distance(_placed(first, one, (y0, x0), size), stride),
            _distance(_placed(second, other, (y0 + steps[0], x0 + steps[1]), size), stride),
        )
        return cls(distances, (y0, x0), (steps[0], steps[1]), stride, first.plane_shape)

    def at(
        self, place: float, area: float, moved: tuple[float, float] = (0.0, 0.0)
    ) -> CroppedMask:
        """The object part of the way.

        Parameters
        ----------
        place
            0 is the first plane, 1 the second.
        area
            Pixels that it is to have, about; at least one.
        moved
            Rows and columns by which it lies beside the straight way.
        """
        first, second = self.distances
        level = first + np.float32(place) * (second - first)
        offset = [place * by + off for by, off in zip(self.shift, moved, strict=True)]
        whole = [int(np.floor(part / self.stride)) for part in offset]
        rest = [part / self.stride - full for part, full in zip(offset, whole, strict=True)]
        if max(rest) > 0.0:
            level = scipy.ndimage.shift(level, rest, order=1, mode="nearest")
        if self.stride > 1:
            rows, columns = (length * self.stride for length in level.shape)
            level = scipy.ndimage.zoom(
                level, self.stride, order=1, grid_mode=True, mode="nearest"
            )
            level = level[:rows, :columns]
        count = min(max(round(area), 1), level.size - 1)
        least = np.partition(level, level.size - count, axis=None)[level.size - count]
        y0 = self.origin[0] + whole[0] * self.stride
        x0 = self.origin[1] + whole[1] * self.stride
        return _cut(level >= least, (y0, x0), self.plane_shape)


def _placed(
    mask: CroppedMask, box: Box, corner: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """The object in a rectangle that holds it, given by its corner (row, column)."""
    canvas = np.zeros(size, bool)
    y, x = box.y0 - corner[0], box.x0 - corner[1]
    canvas[y : y + box.height, x : x + box.width] = _inside(mask, box)
    return canvas


def _inside(mask: CroppedMask, box: Box) -> NDArray[np.bool_]:
    top, left = mask.origin
    return mask.data[box.y0 - top : box.y1 - top, box.x0 - left : box.x1 - left]


def _distance(mask: NDArray[np.bool_], stride: int) -> NDArray[np.float32]:
    """Signed distance to the outline, positive inside, in coarse pixels."""
    coarse = _coarser(mask, stride)
    distance = scipy.ndimage.distance_transform_edt(coarse)
    distance -= scipy.ndimage.distance_transform_edt(~coarse)
    # the outline runs between the pixels
    signed: NDArray[np.float32] = (distance - 0.5 * np.sign(distance)).astype(np.float32)
    return signed


def _coarser(mask: NDArray[np.bool_], stride: int) -> NDArray[np.bool_]:
    """Pixels of which at least half is in the mask; one at least."""
    if stride == 1:
        return mask
    height, width = (-(-length // stride) * stride for length in mask.shape)
    padded = np.zeros((height, width), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    share = padded.reshape(height // stride, stride, width // stride, stride).mean((1, 3))
    found: NDArray[np.bool_] = share >= min(0.5, float(share.max()))
    return found


def _overlay(
    first: CroppedMask, second: CroppedMask, one: Box, other: Box
) -> tuple[float, float]:
    """Rows and columns by which the first is to move to lie on the second best.

    The correlation of softened masks: it is that of the centroids for an object that
    only moves, and does not follow a branch that has begun on one side.
    """
    stride = -(-max(one.side, other.side) // _COARSE)
    soft = []
    for mask, box in ((first, one), (second, other)):
        pad = round(_SOFT) * stride
        canvas = np.pad(_inside(mask, box), pad)
        soft.append(1 + np.tanh(_distance(canvas, stride) / np.float32(_SOFT)))
    fits = scipy.signal.fftconvolve(soft[1], soft[0][::-1, ::-1])
    best = np.unravel_index(int(fits.argmax()), fits.shape)
    by = [int(peak) - length + 1 for peak, length in zip(best, soft[0].shape, strict=True)]
    return (
        by[0] * stride + other.y0 - one.y0,
        by[1] * stride + other.x0 - one.x0,
    )


def _cut(
    data: NDArray[np.bool_], origin: tuple[int, int], plane_shape: tuple[int, int]
) -> CroppedMask:
    """The part of a mask that lies in the plane, cut to the object."""
    height, width = plane_shape
    rows = slice(max(-origin[0], 0), max(height - origin[0], 0))
    columns = slice(max(-origin[1], 0), max(width - origin[1], 0))
    kept = data[rows, columns]
    corner = max(origin[0], 0), max(origin[1], 0)
    box = CroppedMask(kept, corner, plane_shape).box
    if box is None:
        return CroppedMask(np.zeros((0, 0), bool), (0, 0), plane_shape)
    return CroppedMask(
        _inside(CroppedMask(kept, corner, plane_shape), box).copy(),
        (box.y0, box.x0),
        plane_shape,
    )
