"""Which part of an object on one plane is which on another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy  # its parts load when they are used

from napari_cellprompt.core.types import CroppedMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["paired_parts"]

_EIGHT = np.ones((3, 3), dtype=bool)
_MOST = 16
"""Objects of more parts are speckle, and are filled in as a whole."""
_SAME_PLACE = 0.5
"""Parts that share more than this of the smaller one need no partner to be found."""


def paired_parts(
    first: CroppedMask, second: CroppedMask
) -> list[tuple[CroppedMask, CroppedMask]]:
    """Split an object into parts that each go their own way between two planes.

    Returns
    -------
    list of tuple
        Each part on the first and the second plane. One pair, the whole object, where
        there is one part, where there are not as many on both planes (parts then merge
        or divide), and where all parts stay in their place.
    """
    whole = [(first, second)]
    (one, count), (other, number) = (
        scipy.ndimage.label(mask.data, structure=_EIGHT) for mask in (first, second)
    )
    if count != number or not 1 < count <= _MOST:
        return whole
    theirs = _parts(other, second, count)
    ours = _parts(one, first, count)
    ends = [np.array([_centre(part) for part in parts]) for parts in (ours, theirs)]
    relative = [places - places.mean(axis=0) for places in ends]
    apart = np.linalg.norm(relative[0][:, None] - relative[1][None], axis=-1)
    rows, columns = scipy.optimize.linear_sum_assignment(apart)
    pairs = [(ours[row], theirs[column]) for row, column in zip(rows, columns, strict=True)]
    moved = np.round(ends[1].mean(axis=0) - ends[0].mean(axis=0)).astype(int)
    if all(_stays(part, partner, moved) for part, partner in pairs):
        return whole
    return pairs


def _parts(labels: NDArray[np.int32], mask: CroppedMask, count: int) -> list[CroppedMask]:
    places = scipy.ndimage.find_objects(labels)
    found = []
    for number in range(count):
        rows, columns = places[number]
        origin = (mask.origin[0] + rows.start, mask.origin[1] + columns.start)
        data = labels[rows, columns] == number + 1
        found.append(CroppedMask(data, origin, mask.plane_shape))
    return found


def _centre(mask: CroppedMask) -> tuple[float, float]:
    rows, columns = mask.indices()
    return float(rows.mean()), float(columns.mean())


def _stays(part: CroppedMask, partner: CroppedMask, moved: NDArray[np.int_]) -> bool:
    """Whether two parts cover each other once the whole object was moved."""
    rows, columns = part.indices()
    height, width = partner.data.shape
    rows = rows + moved[0] - partner.origin[0]
    columns = columns + moved[1] - partner.origin[1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    shared = int(partner.data[rows[inside], columns[inside]].sum())
    return shared > _SAME_PLACE * min(part.area, partner.area)
