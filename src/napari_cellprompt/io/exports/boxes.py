"""The objects of a plane one by one, each as a mask in its box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts load when they are used

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["masks_of"]


def masks_of(
    labels: NDArray[Any],
) -> Iterator[tuple[int, tuple[int, int], NDArray[np.bool_]]]:
    """Yield id, origin (row, column) and mask ``(h, w)`` of each object, by rising id.

    Parameters
    ----------
    labels
        ``(H, W)`` integers, 0 = background.
    """
    ids, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape).astype(np.int32)
    # Numbers without gaps: an id of 4 billion must not make a list of that length.
    boxes = scipy.ndimage.find_objects(numbers + 1)
    for number, box in enumerate(boxes):
        if box is not None and ids[number]:
            origin = (int(box[0].start), int(box[1].start))
            yield int(ids[number]), origin, numbers[box] == number
