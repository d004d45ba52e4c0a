"""Gives objects that were found plane by plane one id through a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.masks.matching import iou_matrix, pair_up

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PlaneLinker"]


class PlaneLinker:
    """Renames the objects of one plane after the other; holds only the last plane.

    Parameters
    ----------
    min_iou
        Objects of neighbouring planes that overlap at least so much are one; each is
        paired with one other at most (Hungarian algorithm, largest total IoU).
    first_id
        Of the first new object; ids are never used again.
    """

    def __init__(self, min_iou: float = 0.3, first_id: int = 1) -> None:
        if not 0 < min_iou <= 1:
            raise ValueError(f"min_iou must be above 0 and at most 1: got {min_iou}.")
        self._min_iou = min_iou
        self._next = first_id
        self._last: NDArray[np.uint32] | None = None

    def add(self, labels: NDArray[Any]) -> NDArray[np.uint32]:
        """The next plane ``(H, W)`` with the ids of the stack."""
        ids = np.unique(labels)
        names = {int(value): 0 for value in ids}
        if self._last is not None:
            iou, earlier, now = iou_matrix(self._last, labels)
            for row, column in pair_up(iou, self._min_iou):
                names[int(now[column])] = int(earlier[row])
        for value in ids:
            if value and not names[int(value)]:
                names[int(value)] = self._next
                self._next += 1
        table = np.array([names[int(value)] for value in ids], dtype=np.uint32)
        renamed = table[np.searchsorted(ids, labels)]
        self._last = renamed
        return renamed

    def go_on_after(self, linked: NDArray[np.uint32]) -> None:
        """Go on from a plane that was linked before, instead of the one added last."""
        self._next = max(self._next, int(linked.max(initial=0)) + 1)
        self._last = linked
