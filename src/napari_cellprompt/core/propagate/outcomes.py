"""Reads outcomes of planes from what is kept of objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.core.masks.packed import without_overlap

from .rules import find_divisions
from .types import PlaneOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_cellprompt.core.types import CroppedMask

    from .objects import StoredPlane, TrackedObject
    from .types import Division

__all__ = ["Outcomes", "differences", "divisions_of", "outcome_of", "resolved_mask"]

Objects = Mapping[int, "TrackedObject"]


def resolved_mask(
    objects: Objects, object_id: int, plane: int, *, non_overlap: bool
) -> CroppedMask | None:
    """The mask without the pixels that other objects claim more strongly."""
    own = objects[object_id].planes[plane].mask
    if own is None or not non_overlap:
        return None if own is None else own.mask()
    others = {}
    for other, known in objects.items():
        stored = known.planes.get(plane)
        if other != object_id and stored is not None and stored.mask is not None:
            others[other] = stored.mask
    return without_overlap(own, others, object_id)


def outcome_of(
    objects: Objects, object_id: int, plane: int, *, non_overlap: bool
) -> PlaneOutcome:
    """One object on a plane of which something is known."""
    stored: StoredPlane = objects[object_id].planes[plane]
    return PlaneOutcome(
        object_id,
        plane,
        resolved_mask(objects, object_id, plane, non_overlap=non_overlap),
        stored.iou,
        stored.object_score,
        stored.state,
        stored.parts,
    )


def divisions_of(objects: Objects) -> list[Division]:
    """Objects that stay in two parts for two planes or more."""
    found = []
    for object_id, known in objects.items():
        masks = {
            plane: stored.mask.mask()
            for plane, stored in list(known.planes.items())
            if stored.mask is not None and stored.parts == 2
        }
        found += find_divisions(masks, object_id)
    return found


class Outcomes(Mapping[tuple[int, int], PlaneOutcome]):
    """Every outcome by id and plane, as known at one moment; masks are unpacked on use.

    Parameters
    ----------
    objects
        Copied, so that it does not change any more.
    non_overlap
        Whether a pixel belongs to one object at most.
    """

    def __init__(self, objects: Objects, *, non_overlap: bool) -> None:
        # copies of whole dicts are safe while another thread writes to them
        self._objects = {key: known.copy() for key, known in list(objects.items())}
        self._non_overlap = non_overlap

    def __getitem__(self, place: tuple[int, int]) -> PlaneOutcome:
        object_id, plane = place
        return outcome_of(self._objects, object_id, plane, non_overlap=self._non_overlap)

    def labels(self, plane: int, shape: tuple[int, int]) -> NDArray[Any]:
        """The label image of a plane, ``(H, W)`` of the smallest sufficient type."""
        found = np.zeros(shape, smallest_dtype(max(self._objects, default=0)))
        for object_id, known in self._objects.items():
            mask = self[object_id, plane].mask if plane in known.planes else None
            if mask is not None:
                found[mask.indices()] = object_id
        return found

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for object_id, known in self._objects.items():
            for plane in sorted(known.planes):
                yield object_id, plane

    def __len__(self) -> int:
        return sum(len(known.planes) for known in self._objects.values())


def differences(
    before: Outcomes, after: Outcomes
) -> list[tuple[int, int, PlaneOutcome | None, PlaneOutcome | None]]:
    """Id and plane of every mask that is not the same any more, with both outcomes."""
    found = []
    for place in sorted({*before, *after}):
        old, new = before.get(place), after.get(place)
        if not _same(old, new):
            found.append((*place, old, new))
    return found


def _same(one: PlaneOutcome | None, other: PlaneOutcome | None) -> bool:
    first = None if one is None else one.mask
    second = None if other is None else other.mask
    if first is None or second is None or first is second:
        return first is second
    if first.box != second.box:
        return False
    return np.array_equal(np.stack(first.indices()), np.stack(second.indices()))
