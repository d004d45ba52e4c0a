"""All objects of a stack of labels, each filled in between the planes where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts load when they are used

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.types import CroppedMask

from .between import Between, neighbours, planes_between

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData

    from .looking import LookedAt

__all__ = ["FilledLabels", "mask_of", "places_of"]

Place = tuple[slice, slice]


class FilledLabels:
    """Labels of a stack with their objects filled in, made plane by plane.

    Only empty pixels are filled; where two objects want one, the lower id has it.

    Parameters
    ----------
    labels
        ``(N, H, W)`` integers, 0 and less = background; read plane by plane.
    ids
        The objects that are wanted; None: all.
    largest_gap
        Planes in a row without an object from which on they stay empty; None: none.
    look
        Makes of an object one that looks at the image, such as :class:`LookedAt`.

    Raises
    ------
    PromptError
        Where an id that is wanted is not there, or ``largest_gap`` is less than 1.
    """

    def __init__(
        self,
        labels: ArrayData,
        ids: Collection[int] | None = None,
        *,
        largest_gap: int | None = None,
        look: Callable[[Between], Between | LookedAt] | None = None,
    ) -> None:
        if largest_gap is not None and largest_gap < 1:
            raise PromptError(f"largest_gap must be 1 or more: got {largest_gap}.")
        self._labels = labels
        self._largest_gap = largest_gap
        self._look = look
        self._places = places_of(labels, ids)
        lacking = sorted(set(ids or ()) - set(self._places))
        if lacking:
            raise PromptError(f"There is no object {lacking[0]} in the labels.")
        self._open: dict[int, Between | LookedAt] = {}

    @property
    def missing(self) -> dict[int, list[int]]:
        """Planes that are to be filled, in order, by object; those without are left out."""
        found = {}
        for object_id, places in self._places.items():
            known = sorted(places)
            planes = [z for z in planes_between(known) if self._wanted(known, z)]
            if planes:
                found[object_id] = planes
        return found

    def plane(self, index: int) -> NDArray[Any]:
        """The labels of a plane, ``(H, W)``, with its objects filled in; a copy."""
        drawn = np.array(self._labels[index])
        for object_id, mask in self.masks(index):
            rows, columns = mask.indices()
            free = drawn[rows, columns] <= 0
            drawn[rows[free], columns[free]] = object_id
        return drawn

    def masks(self, index: int) -> Iterator[tuple[int, CroppedMask]]:
        """Each object that is filled on a plane, by rising id."""
        for object_id in sorted(self._places):
            places = self._places[object_id]
            known = sorted(places)
            if not known[0] < index < known[-1]:
                if known[-1] <= index:
                    # planes are mostly asked for in order: this object is done
                    self._open.pop(object_id, None)
                continue
            if index in places or not self._wanted(known, index):
                continue
            if object_id not in self._open:
                self._open[object_id] = self._opened(object_id, places)
            yield object_id, self._open[object_id].at(index)

    def _wanted(self, known: list[int], plane: int) -> bool:
        before, after = neighbours(known, plane)
        return self._largest_gap is None or after - before - 1 <= self._largest_gap

    def _opened(self, object_id: int, places: Mapping[int, Place]) -> Between | LookedAt:
        filled = Between(
            {z: mask_of(self._labels[z], object_id, at) for z, at in places.items()}
        )
        return filled if self._look is None else self._look(filled)


def places_of(
    labels: ArrayData,
    ids: Collection[int] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[int, dict[int, Place]]:
    """The rectangle of each object on each plane, by id and plane; read plane by plane.

    Parameters
    ----------
    labels
        ``(N, H, W)``.
    ids
        The objects that are wanted; None: all.
    cancelled
        Asked before each plane; what was found by then is returned.
    """
    found: dict[int, dict[int, Place]] = {}
    wanted = None if ids is None else np.array(sorted(ids))
    for z in range(labels.shape[0]):
        if cancelled is not None and cancelled():
            break
        plane = np.asarray(labels[z])
        if wanted is not None and len(wanted) == 1:
            rows = np.flatnonzero((plane == wanted[0]).any(axis=1))
            if rows.size:
                columns = np.flatnonzero((plane == wanted[0]).any(axis=0))
                at = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
                found.setdefault(int(wanted[0]), {})[z] = at
            continue
        numbers, dense = np.unique(plane, return_inverse=True)
        dense = dense.reshape(plane.shape).astype(np.int32)
        for number, at in zip(
            numbers.tolist(), scipy.ndimage.find_objects(dense + 1), strict=True
        ):
            if number > 0 and (wanted is None or number in wanted):
                found.setdefault(number, {})[z] = at
    return found


def mask_of(plane: Any, object_id: int, place: Place) -> CroppedMask:
    """An object in a rectangle of a plane of labels."""
    labels = np.asarray(plane)
    rows, columns = place
    origin = (int(rows.start), int(columns.start))
    return CroppedMask(labels[rows, columns] == object_id, origin, labels.shape)
