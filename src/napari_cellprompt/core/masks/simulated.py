"""What a user would click, draw or paint for an object whose outline is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Box, CroppedMask

__all__ = ["correction", "ellipse_iou", "innermost", "iou", "loosened", "moved"]

LOOSE_SHARE = 0.1
"""By which a box that is drawn loosely is larger than the object."""
MOVED_SHARE = 0.1
"""Share of its size by which a mask is moved before it is given as a prompt."""


def innermost(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """``x, y`` of the maximum of the distance transform of a mask ``(h, w)``."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    y, x = divmod(int(depth.argmax()), mask.shape[1])
    return np.array((x, y))


def ellipse_iou(mask: NDArray[np.bool_]) -> float:
    """IoU of a mask that fills its array with the ellipse inscribed in that array."""
    height, width = mask.shape
    y = (np.arange(height) + 0.5) * 2 / height - 1
    x = (np.arange(width) + 0.5) * 2 / width - 1
    ellipse = y[:, None] ** 2 + x[None] ** 2 <= 1
    return float((ellipse & mask).sum() / (ellipse | mask).sum())


def iou(found: CroppedMask, truth: NDArray[np.bool_]) -> float:
    """Intersection over union of a prediction with a mask ``(H, W)`` of its plane."""
    y0, x0 = found.origin
    height, width = found.data.shape
    both = int((found.data & truth[y0 : y0 + height, x0 : x0 + width]).sum())
    union = found.area + int(truth.sum()) - both
    return both / union if union else 0.0


def loosened(box: Box) -> tuple[float, float, float, float]:
    """A box ``x0, y0, x1, y1`` a tenth larger, around the same middle."""
    x0, y0, x1, y1 = box
    dx, dy = LOOSE_SHARE / 2 * box.width, LOOSE_SHARE / 2 * box.height
    return x0 - dx, y0 - dy, x1 + dx, y1 + dy


def moved(mask: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    """A mask as a neighbouring plane might show it: a tenth of its size down and right.

    Parameters
    ----------
    mask
        ``(H, W)``.
    box
        Tight ``x0, y0, x1, y1`` of the mask, exclusive at the end.

    Returns
    -------
    ndarray
        ``(H, W)``; what leaves the plane is lost. The mask itself where all would be.
    """
    step = max(round(MOVED_SHARE * box.side), 1)
    out = np.zeros_like(mask)
    out[step:, step:] = mask[:-step, :-step]
    return out if out.any() else mask


def correction(
    found: CroppedMask, truth: NDArray[np.bool_]
) -> tuple[tuple[float, float], int] | None:
    """The next click: into the middle of the largest part that is missing or too much.

    Parameters
    ----------
    found
        The mask so far.
    truth
        ``(H, W)``.

    Returns
    -------
    tuple or None
        ``(x, y)`` and 1 (missing) or 0 (too much); None where nothing is wrong.
    """
    full = found.to_plane()
    wrong = full != truth
    rows, columns = np.flatnonzero(wrong.any(axis=1)), np.flatnonzero(wrong.any(axis=0))
    if not rows.size:
        return None
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    best, click, label = 0.0, (0.0, 0.0), 1
    for part, kind in ((truth & ~full, 1), (full & ~truth, 0)):
        inside = part[window]
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        if depth.max() > best:
            best = float(depth.max())
            y, x = divmod(int(depth.argmax()), inside.shape[1])
            click, label = (float(columns[0] + x), float(rows[0] + y)), kind
    return click, label
