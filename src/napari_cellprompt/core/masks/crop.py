"""Cuts masks down to the rectangle that holds them, and moves them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.types import Candidate, CroppedMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Box

__all__ = ["cut_candidate", "mask_iou", "on_rectangle", "shifted"]


def cut_candidate(
    logits: NDArray[np.float32],
    score: float,
    *,
    origin: tuple[int, int] = (0, 0),
    plane_shape: tuple[int, int],
    threshold: float = 0.0,
) -> Candidate:
    """Keep of a map of logits only the rectangle where the object is.

    Parameters
    ----------
    logits
        ``(h, w)`` of a rectangle of the plane.
    score
        Predicted IoU.
    origin
        ``(y0, x0)`` of the rectangle in the plane.
    plane_shape
        ``(H, W)`` of the plane.
    threshold
        Logits above it belong to the object; infinity gives an empty mask.
    """
    mask = logits > threshold
    y0, x0 = origin
    box = CroppedMask(mask, origin, plane_shape).box
    left, top, right, bottom = (x0, y0, x0, y0) if box is None else box
    part = (slice(top - y0, bottom - y0), slice(left - x0, right - x0))
    # copies, so that the large arrays they were cut from can go
    cut = CroppedMask(mask[part].copy(), (top, left), plane_shape)
    return Candidate(cut, logits[part].astype(np.float32), score)


def shifted(mask: CroppedMask, by: tuple[float, float]) -> CroppedMask:
    """A mask so many rows and columns further on, rounded; what leaves the plane is cut."""
    rows_on, columns_on = round(by[0]), round(by[1])
    if (rows_on, columns_on) == (0, 0):
        return mask
    height, width = mask.plane_shape
    y0, x0 = mask.origin[0] + rows_on, mask.origin[1] + columns_on
    rows, columns = mask.data.shape
    kept = mask.data[
        min(max(-y0, 0), rows) : max(height - y0, 0),
        min(max(-x0, 0), columns) : max(width - x0, 0),
    ]
    origin = (min(max(y0, 0), height), min(max(x0, 0), width))
    return CroppedMask(kept, origin, mask.plane_shape)


def mask_iou(one: CroppedMask, other: CroppedMask) -> float:
    """Intersection over union of two masks of a plane; 0 where one is empty."""
    first, second = one.box, other.box
    if first is None or second is None:
        return 0.0
    around = first.union(second)
    ours, theirs = (
        on_rectangle(mask.data, mask.origin, around, False) for mask in (one, other)
    )
    return float((ours & theirs).sum() / (ours | theirs).sum())


def on_rectangle(
    data: NDArray[Any], origin: tuple[int, int], around: Box, outside: Any
) -> NDArray[Any]:
    """A rectangle of a plane, with what is known in it of another rectangle."""
    canvas = np.full((around.height, around.width), outside, data.dtype)
    height, width = data.shape
    y0, x0 = max(origin[0], around.y0), max(origin[1], around.x0)
    y1, x1 = min(origin[0] + height, around.y1), min(origin[1] + width, around.x1)
    if y0 < y1 and x0 < x1:
        canvas[y0 - around.y0 : y1 - around.y0, x0 - around.x0 : x1 - around.x0] = data[
            y0 - origin[0] : y1 - origin[0], x0 - origin[1] : x1 - origin[1]
        ]
    return canvas
