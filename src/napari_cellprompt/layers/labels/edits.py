"""Changes of accepted objects: merge, split, delete, renumber; each one step of history."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.types import Box, Prompts
from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.session.history import Moved, Step

from .commit import LabelsError, check_id, needs_widening
from .deltas import LabelDelta, find_voxels
from .survey import surveyed_planes
from .writable import check_writable
from .writing import one_step, redo, undo, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellprompt.session.objects import (
        ObjectPlane,
        ObjectRecord,
        ObjectStore,
        Revision,
    )

    from .accept import Acceptor

__all__ = ["LabelEdit", "delete", "merge", "renumber", "reshape", "split"]


class LabelEdit:
    """A change that was written into a layer, and can be taken back.

    Only voxels that still are as the step left them go back; those that somebody else has
    changed since stay as they are.

    Parameters
    ----------
    acceptor : Acceptor
        Keeps the ledger of the layer.
    labels : napari.layers.Labels
        Where it was written; not kept alive.
    delta : LabelDelta
        What was changed.
    revision : Revision
        What it was in the ledger.
    text : str
        What was done, as the beginning of a sentence.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        labels: Labels,
        delta: LabelDelta,
        revision: Revision,
        text: str,
    ) -> None:
        self._acceptor = acceptor
        self._labels = weakref.ref(labels)
        self.delta = delta
        self._revision = revision
        self.text = text
        self.kept = 0
        """Voxels that the last undo or redo left to others."""
        self.tell: Callable[[str], None] | None = None
        """Told when a step could be taken back in part only."""

    @property
    def labels(self) -> Labels | None:
        """The layer it was written into; None where that is gone."""
        return self._labels()

    def step(self) -> Step:
        """The change as a step of history."""
        return Step(
            self.text,
            undo=lambda: self._move(undone=True),
            redo=lambda: self._move(undone=False),
            nbytes=self.delta.nbytes,
        )

    def _move(self, *, undone: bool) -> Moved:
        labels, delta = self.labels, self.delta
        if labels is None or not self._acceptor.is_shown(labels):
            return Moved.LOST
        data = full_resolution(labels)
        if data.shape != delta.shape or labels.locked:
            return Moved.LOST
        self._acceptor.sync(labels)
        indices = delta.indices()
        source, target = delta.values(after=undone), delta.values(after=not undone)
        there = np.array(data[indices])
        own = there == source
        if not own.any():
            return Moved.LOST
        # napari's own step is taken where it is the last one, so that its history and
        # this one stay in line
        moved = _moves(labels, undo if undone else redo)
        now = np.asarray(data[indices])
        if not np.array_equal(now[own], target[own]):
            if moved:
                return Moved.STAYS  # something by hand came later, and went back first
            # napari has forgotten this step
            _write(labels, indices, np.where(own, target, there))
        elif not own.all():
            # what others have changed since is not to be overwritten by napari's undo
            _write(labels, indices, np.where(own, target, there))
        self.kept = int(np.count_nonzero(~own))
        store = self._acceptor.store(labels)
        if undone and store.done is self._revision:
            store.undo()
        elif not undone and store.undone is self._revision:
            store.redo()
        if self.kept and self.tell is not None:
            self.tell(
                f"{self.kept} pixels of {self.text[0].lower()}{self.text[1:]} were changed "
                "by something else since, and stay as they are."
            )
        return Moved.DONE


def _moves(labels: Labels, move: Callable[[Labels], None]) -> bool:
    """Take a step back, or do it again; whether there was one, as its redrawing tells."""
    drawn: list[Any] = []
    labels.events.set_data.connect(drawn.append)
    try:
        move(labels)
    finally:
        labels.events.set_data.disconnect(drawn.append)
    return bool(drawn)


def _write(
    labels: Labels, indices: tuple[NDArray[np.intp], ...], values: NDArray[np.int64]
) -> None:
    with one_step(labels):
        write(labels, indices, values)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """What is to be written, and what the ledger says then."""

    flat: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    records: dict[int, ObjectRecord | None]
    text: str


def _carry_out(acceptor: Acceptor, labels: Labels, plan: _Plan) -> LabelEdit:
    delta = LabelDelta.of(labels.data.shape, plan.flat, plan.before, plan.after)
    _write(labels, delta.indices(), delta.values(after=True))
    revision = acceptor.remember_edit(labels, plan.records, delta)
    return LabelEdit(acceptor, labels, delta, revision, plan.text)


def _ready(acceptor: Acceptor, labels: Labels, ids: Sequence[int]) -> ObjectStore:
    """The ledger, in line with the layer.

    Raises
    ------
    LabelsError
        The layer cannot be written to, or an object is gone.
    """
    check_writable(labels)
    acceptor.sync(labels)
    store = acceptor.store(labels)
    missing = [number for number in ids if number not in store]
    if missing:
        raise LabelsError(f"Object {missing[0]} is not in '{labels.name}' any more.")
    return store


def _voxels(
    labels: Labels, ids: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    flat, values = find_voxels(full_resolution(labels), ids)
    if not flat.size:
        raise LabelsError(f"There is nothing of these objects in '{labels.name}'.")
    return flat, values


def delete(acceptor: Acceptor, labels: Labels, ids: Sequence[int]) -> LabelEdit:
    """Make objects background.

    Raises
    ------
    LabelsError
        Nothing was changed; the message says why.
    """
    _ready(acceptor, labels, ids)
    flat, values = _voxels(labels, ids)
    text = f"Deleting {_names(ids)}"
    after = np.zeros_like(values)
    plan = _Plan(flat, values, after, dict.fromkeys(ids), text)
    return _carry_out(acceptor, labels, plan)


def merge(acceptor: Acceptor, labels: Labels, ids: Sequence[int]) -> LabelEdit:
    """Make several objects one, which keeps the first id and what is said of it.

    Raises
    ------
    LabelsError
        Nothing was changed; the message says why.
    """
    if len(set(ids)) < 2:
        raise LabelsError("Choose two or more objects to merge.")
    store = _ready(acceptor, labels, ids)
    keep, others = ids[0], list(dict.fromkeys(ids[1:]))
    flat, values = _voxels(labels, others)
    records: dict[int, ObjectRecord | None] = dict.fromkeys(others)
    first = store.get(keep)
    if first is not None:
        planes = {plane.key.index: plane for plane in first.planes}
        for other in others:
            for plane in _planes_of(store, other):
                there = planes.get(plane.key.index)
                planes[plane.key.index] = plane if there is None else _both(there, plane)
        records[keep] = replace(
            first, planes=tuple(planes.values()), propagation=None, state="accepted"
        )
    for record in store:  # daughters of what is gone are daughters of what it is now
        if record.parent in others and record.id not in records:
            records[record.id] = replace(record, parent=keep)
    text = f"Merging {_names([keep, *others])}"
    return _carry_out(
        acceptor, labels, _Plan(flat, values, np.full_like(values, keep), records, text)
    )


def renumber(acceptor: Acceptor, labels: Labels, old: int, new: int) -> LabelEdit:
    """Give an object another id.

    Raises
    ------
    LabelsError
        Nothing was changed; the message says why.
    """
    store = _ready(acceptor, labels, [old])
    if new == old:
        raise LabelsError(f"The object has the number {old} already.")
    if new in store or find_voxels(full_resolution(labels), [new])[0].size:
        raise LabelsError(f"There is an object {new} already: choose a free number.")
    check_id(labels, new)
    flat, values = _voxels(labels, [old])
    record = store.get(old)
    records: dict[int, ObjectRecord | None] = {old: None}
    if record is not None:
        records[new] = replace(record, id=new)
    for other in store:
        if other.parent == old:
            records[other.id] = replace(other, parent=new)
    acceptor.ids.know(labels, new)
    text = f"Renumbering object {old} to {new}"
    return _carry_out(
        acceptor, labels, _Plan(flat, values, np.full_like(values, new), records, text)
    )


def split(
    acceptor: Acceptor,
    labels: Labels,
    object_id: int,
    flat: NDArray[np.int64],
    parts: NDArray[np.int64],
) -> LabelEdit:
    """Make one object several; the largest part keeps the id.

    Parameters
    ----------
    acceptor, labels
        The ledger and the layer.
    object_id
        What is split.
    flat, parts
        ``(N,)`` ascending numbers of the object's voxels in C order, and from 1 on the
        part that each belongs to (:mod:`.splitting`).

    Raises
    ------
    LabelsError
        Nothing was changed; the message says why.
    """
    store = _ready(acceptor, labels, [object_id])
    present, _ = _voxels(labels, [object_id])
    if not np.array_equal(present, flat):
        raise LabelsError(f"Object {object_id} was changed meanwhile: split it again.")
    numbers, counts = np.unique(parts, return_counts=True)
    if len(numbers) < 2:
        raise LabelsError("That leaves the object in one piece: nothing was changed.")
    order = numbers[np.argsort(-counts, kind="stable")]
    first = store.next_id(acceptor.ids.largest(labels))
    if needs_widening(labels, first + len(order) - 2):
        raise LabelsError(
            f"'{labels.name}' ({labels.data.dtype}) has no room for another number."
        )
    names: dict[int, int] = {int(order[0]): object_id}
    names |= {int(part): first + number for number, part in enumerate(order[1:])}
    after = np.zeros(len(flat), dtype=np.int64)
    for part, name in names.items():
        after[parts == part] = name
    record = store.get(object_id)
    records: dict[int, ObjectRecord | None] = {}
    if record is not None:
        for name in names.values():
            planes = surveyed_planes(labels.data.shape, flat[after == name])
            records[name] = replace(
                record,
                id=name,
                planes=tuple(_part_of(record, plane) for plane in planes),
                propagation=None,
                state="accepted",
                name=record.name if name == object_id else "",
            )
    changed = after != object_id
    acceptor.ids.know(labels, max(names.values()))
    text = f"Splitting object {object_id} into {', '.join(map(str, names.values()))}"
    before = np.full(int(changed.sum()), object_id, dtype=np.int64)
    plan = _Plan(flat[changed], before, after[changed], records, text)
    return _carry_out(acceptor, labels, plan)


def reshape(
    acceptor: Acceptor,
    labels: Labels,
    plane: ObjectPlane,
    record: ObjectRecord,
    indices: tuple[NDArray[np.intp], ...],
    *,
    keep_others: bool = True,
) -> LabelEdit:
    """Give an object another mask on one plane, from prompts that were changed.

    Parameters
    ----------
    acceptor, labels
        The ledger and the layer.
    plane
        What is said of that plane now; its index is that of the labels' array.
    record
        The object as it was.
    indices
        One index array per axis: the new mask, on one plane of the layer.
    keep_others
        Whether pixels of other objects stay with them.

    Raises
    ------
    LabelsError
        Nothing was changed; the message says why.
    """
    _ready(acceptor, labels, [record.id])
    data = full_resolution(labels)
    shape = data.shape
    number = record.id
    new = np.unique(np.ravel_multi_index(indices, shape))
    there = np.asarray(data[np.unravel_index(new, shape)])
    if keep_others:
        new = new[(there <= 0) | (there == number)]
    if not new.size:
        raise LabelsError("Nothing is left of the mask: other objects have its pixels.")
    here = tuple(
        slice(None) if axis in plane.key.axes else int(places[0])
        for axis, places in enumerate(indices)
    )
    grid = np.argwhere(np.asarray(data[here]) == number)
    own = [np.full(len(grid), places[0]) for places in indices]
    for column, axis in enumerate(plane.key.axes):
        own[axis] = grid[:, column]
    old = np.ravel_multi_index(tuple(own), shape) if len(grid) else new[:0]
    flat = np.union1d(old, new)
    before = np.asarray(data[np.unravel_index(flat, shape)], dtype=np.int64)
    after = np.where(np.isin(flat, new), number, 0)
    changed = before != after
    if not changed.any():
        raise LabelsError(f"Object {number} is as it was: nothing was changed.")
    others = [one for one in record.planes if one.key.index != plane.key.index]
    now = replace(plane, area=int(new.size))
    records: dict[int, ObjectRecord | None] = {
        number: replace(record, planes=(*others, now), state="accepted")
    }
    return _carry_out(
        acceptor,
        labels,
        _Plan(
            flat[changed],
            before[changed],
            after[changed],
            records,
            f"The change of object {number}",
        ),
    )


def _planes_of(store: ObjectStore, object_id: int) -> tuple[ObjectPlane, ...]:
    record = store.get(object_id)
    return () if record is None else record.planes


def _both(one: ObjectPlane, other: ObjectPlane) -> ObjectPlane:
    """Two objects of a plane as one; what the clicks of the first meant is kept."""
    known = [plane.trust for plane in (one, other) if plane.trust is not None]
    return replace(
        one,
        area=one.area + other.area,
        box=Box(*one.box).union(Box(*other.box)),
        trust=min(known, default=None),
    )


def _part_of(record: ObjectRecord, surveyed: ObjectPlane) -> ObjectPlane:
    """A plane of a part: what is known of the plane, the clicks that lie in the part."""
    index = surveyed.key.index
    whole = next((plane for plane in record.planes if plane.key.index == index), None)
    if whole is None:
        return surveyed
    x0, y0, x1, y1 = surveyed.box
    pairs = [
        (point, label)
        for point, label in zip(whole.prompts.points, whole.prompts.labels, strict=True)
        if not label or (x0 <= point[0] < x1 and y0 <= point[1] < y1)
    ]
    if not any(label for _, label in pairs):
        pairs = []
    prompts = Prompts(
        points=tuple(point for point, _ in pairs), labels=tuple(sign for _, sign in pairs)
    )
    return replace(whole, prompts=prompts, area=surveyed.area, box=surveyed.box)


def _names(ids: Sequence[int] | Mapping[int, Any]) -> str:
    shown = ", ".join(str(number) for number in list(ids)[:5])
    return f"object{'s' * (len(ids) > 1)} {shown}{', ...' * (len(ids) > 5)}"
