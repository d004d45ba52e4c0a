"""What objects there are in a label array, plane by plane; and the ledger in line with it.

Other tools, the brush and undo change labels without a word. Reading a large array takes
seconds, so it is done a piece at a time, apart from the GUI thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.types import Box, PlaneKey, Prompts
from napari_cellprompt.session.objects import Change, ObjectPlane, ObjectRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.session.objects import ObjectStore

__all__ = [
    "Survey",
    "apply_differences",
    "differences",
    "survey",
    "surveyed_planes",
]

_PIECE = 1_000_000
"""Voxels that are read at once: some milliseconds in which no other thread may run."""
_DENSE = 5_000_000
"""Ids up to here are counted by a table; larger ones are sorted."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Objects of a label array."""

    objects: dict[int, tuple[ObjectPlane, ...]]
    """Planes of each id, in order, without prompts."""


def survey(data: Any, cancelled: Callable[[], bool] = lambda: False) -> Survey | None:
    """Read a label array piece by piece.

    Parameters
    ----------
    data
        ``(..., H, W)`` of integers, in memory, dask or zarr.
    cancelled
        Asked between pieces.

    Returns
    -------
    Survey or None
        None where it was cancelled.
    """
    shape = data.shape
    height, width = shape[-2:]
    rows = max(1, _PIECE // max(width, 1))
    found: dict[int, list[ObjectPlane]] = {}
    for index in np.ndindex(*shape[:-2]):
        places: dict[int, tuple[int, Box]] = {}
        for top in range(0, height, rows):
            if cancelled():
                return None
            piece = np.asarray(data[(*index, slice(top, top + rows))])
            _add(places, piece, top)
            time.sleep(0.001)  # lets the GUI thread have its turn
        key = _key(index, len(shape))
        for object_id, (area, box) in places.items():
            found.setdefault(object_id, []).append(_plane(key, area, box))
    return Survey({number: tuple(planes) for number, planes in sorted(found.items())})


def surveyed_planes(
    shape: Sequence[int], flat: NDArray[np.int64]
) -> tuple[ObjectPlane, ...]:
    """Planes of one object of which the voxels are known.

    Parameters
    ----------
    shape
        Of the array.
    flat
        ``(N,)`` numbers of its voxels in C order.
    """
    height, width = shape[-2:]
    planes, inside = np.divmod(flat, height * width)
    found = []
    for number in np.unique(planes):
        rows, columns = np.divmod(inside[planes == number], width)
        box = Box(
            int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
        )
        lead = tuple(shape[:-2])
        index = tuple(int(i) for i in np.unravel_index(number, lead)) if lead else ()
        found.append(_plane(_key(index, len(shape)), len(rows), box))
    return tuple(found)


def differences(
    records: Iterable[ObjectRecord], seen: Survey, lost: Mapping[int, ObjectRecord]
) -> list[Change]:
    """Where a ledger and a layer differ; reads nothing and changes nothing.

    New ids are foreign objects; areas and boxes are those that are there; objects without
    a voxel are gone.

    Parameters
    ----------
    records
        The ledger.
    seen
        What the layer holds.
    lost
        Objects that left the ledger, by id: one that comes back, by napari's undo, gets
        its prompts again.
    """
    known = {record.id: record for record in records}
    changes = []
    for object_id, planes in seen.objects.items():
        before = known.get(object_id)
        record = before or lost.get(object_id)
        if record is None:
            record = ObjectRecord(object_id, planes, source="foreign")
        now = _in_line(record, planes)
        if now is not before:
            changes.append(Change(object_id, before, now))
    for object_id, record in known.items():
        if object_id not in seen.objects and record.state != "draft":
            changes.append(Change(object_id, record, None))
    return changes


def apply_differences(
    store: ObjectStore, changes: Iterable[Change], lost: dict[int, ObjectRecord]
) -> None:
    """Bring a ledger in line with its layer; no step of it.

    Parameters
    ----------
    store
        The ledger. Objects that have changed since the differences were told are left.
    changes
        From :func:`differences`.
    lost
        Takes the objects that leave the ledger; those that come back leave it.
    """
    records: dict[int, ObjectRecord | None] = {}
    for change in changes:
        if store.get(change.id) is not change.before:
            continue
        records[change.id] = change.after
        if change.after is None and change.before is not None:
            lost[change.id] = change.before
        elif change.before is None:
            lost.pop(change.id, None)
    if records:
        store.amend(records)


def _in_line(record: ObjectRecord, planes: tuple[ObjectPlane, ...]) -> ObjectRecord:
    """A record with the areas and boxes that are there; the very same where it has them."""
    axes = planes[0].key.axes
    if any(
        plane.key.axes != axes or len(plane.key.index) != len(planes[0].key.index)
        for plane in record.planes
    ):
        return record  # made on planes across those that are read here
    known = {plane.key.index: plane for plane in record.planes}
    now = []
    for plane in planes:
        before = known.get(plane.key.index)
        if before is None:
            now.append(plane)
        elif before.area == plane.area and before.box == plane.box:
            now.append(before)
        else:
            now.append(replace(before, area=plane.area, box=plane.box))
    same = len(now) == len(record.planes) and set(map(id, now)) == set(
        map(id, record.planes)
    )
    if same:
        return record
    # a person who changed a verified object has to look again
    state = "accepted" if record.state == "verified" else record.state
    return replace(record, planes=tuple(now), state=state)


def _add(places: dict[int, tuple[int, Box]], piece: NDArray[Any], top: int) -> None:
    """Count the objects of some rows of a plane."""
    from scipy.ndimage import find_objects

    largest = int(piece.max(initial=0))
    if largest <= 0:
        return
    if largest <= _DENSE:
        names: Sequence[int] = range(1, largest + 1)
        numbered = np.maximum(piece, 0).astype(np.int32)
    else:
        values = np.unique(piece[piece > 0])
        names = [int(value) for value in values]
        numbered = (np.searchsorted(values, piece) + 1).astype(np.int32)
        numbered[piece <= 0] = 0
    counts = np.bincount(numbered.reshape(-1))
    for number, part in enumerate(find_objects(numbered)):
        if part is None:
            continue
        rows, columns = part
        box = Box(columns.start, rows.start + top, columns.stop, rows.stop + top)
        name, area = names[number], int(counts[number + 1])
        if name in places:
            before, other = places[name]
            places[name] = before + area, other.union(box)
        else:
            places[name] = area, box


def _key(index: tuple[int, ...], ndim: int) -> PlaneKey:
    return PlaneKey("", tuple(int(i) for i in index), (ndim - 2, ndim - 1), None, None)


def _plane(key: PlaneKey, area: int, box: Box) -> ObjectPlane:
    return ObjectPlane(key, Prompts(), 0.0, area, box, origin="foreign")
