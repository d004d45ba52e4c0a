"""From masks of single objects to label images and boxes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts load when they are used

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.types import CroppedMask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Candidate

__all__ = ["masks_of", "masks_to_boxes", "resolve_overlaps", "smallest_dtype"]


def smallest_dtype(max_id: int) -> np.dtype[Any]:
    """Smallest of uint8, uint16 and uint32 that holds ids up to ``max_id``.

    Raises
    ------
    ImageError
        When the id is negative or needs more than 32 bits.
    """
    for dtype in (np.uint8, np.uint16, np.uint32):
        if 0 <= max_id <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise ImageError(f"Label ids must lie in 0 to {2**32 - 1}: got {max_id}.")


def masks_of(labels: NDArray[Any]) -> Iterator[tuple[int, CroppedMask]]:
    """Id and mask of each object, by rising id; 0 and what is below are background.

    Parameters
    ----------
    labels
        ``(H, W)`` integers.
    """
    ids, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape).astype(np.int32)
    # Numbers without gaps: an id of 4 billion must not make a list of that length.
    for number, where in enumerate(scipy.ndimage.find_objects(numbers + 1)):
        if where is not None and ids[number] > 0:
            origin = (int(where[0].start), int(where[1].start))
            yield (
                int(ids[number]),
                CroppedMask(numbers[where] == number, origin, labels.shape),
            )


def resolve_overlaps(
    candidates: Sequence[Candidate],
    ids: Sequence[int],
    plane_shape: tuple[int, int] | None = None,
) -> NDArray[Any]:
    """Label image of several objects; where masks overlap the higher logit wins.

    Parameters
    ----------
    candidates
        One mask with its logits per object, all of one plane.
    ids
        Positive id of each; the same id may come several times. Of equal logits
        the first wins.
    plane_shape
        Rows and columns; only needed when there may be no candidate at all.

    Returns
    -------
    ndarray
        ``(H, W)`` of the smallest sufficient unsigned type, 0 = background.

    Raises
    ------
    PromptError
        When numbers or sizes do not match, or an id is not positive.
    """
    if len(candidates) != len(ids):
        raise PromptError(
            f"Each mask needs an id: got {len(candidates)} masks and {len(ids)} ids."
        )
    if any(object_id <= 0 for object_id in ids):
        raise PromptError(f"Ids of objects must be positive: got {list(ids)}.")
    shapes = {tuple(candidate.mask.plane_shape) for candidate in candidates}
    if plane_shape is not None:
        shapes.add((int(plane_shape[0]), int(plane_shape[1])))
    if len(shapes) != 1:
        raise PromptError(f"All masks must be of one plane size: got {sorted(shapes)}.")
    shape = shapes.pop()
    labels = np.zeros(shape, dtype=smallest_dtype(max(ids, default=0)))
    best = np.full(shape, -np.inf, dtype=np.float32)
    for candidate, object_id in zip(candidates, ids, strict=True):
        y0, x0 = candidate.mask.origin
        height, width = candidate.mask.data.shape
        part = np.s_[y0 : y0 + height, x0 : x0 + width]
        wins = candidate.mask.data & (candidate.logits > best[part])
        best[part][wins] = candidate.logits[wins]
        labels[part][wins] = object_id
    return labels


def masks_to_boxes(masks: NDArray[Any]) -> NDArray[np.int64]:
    """Tight boxes of masks.

    Parameters
    ----------
    masks
        ``(N, H, W)``, nonzero = object.

    Returns
    -------
    ndarray
        ``(N, 4)`` int64 as x0, y0, x1, y1, the last two exclusive; zeros when empty.
    """
    boxes = np.zeros((len(masks), 4), dtype=np.int64)
    for box, mask in zip(boxes, masks, strict=True):
        rows = np.flatnonzero(mask.any(axis=1))
        if rows.size:
            columns = np.flatnonzero(mask.any(axis=0))
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes
