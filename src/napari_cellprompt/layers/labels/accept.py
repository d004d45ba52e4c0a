"""What happens when an object is accepted, undone and redone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from psygnal import Signal

from napari_cellprompt.layers.grids import match_grid
from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.ownership import ownership_of
from napari_cellprompt.layers.prompting.prompts import add_labels_layer
from napari_cellprompt.session.objects import (
    ObjectPlane,
    ObjectRecord,
    ObjectStore,
    Revision,
)

from .commit import (
    SAME_OBJECT,
    LabelIds,
    LabelsError,
    Policy,
    commit,
    needs_widening,
    widen,
    widening_note,
)
from .commit_stack import PlaneMask, commit_many
from .deltas import LabelDelta
from .writable import check_writable
from .writing import redo, undo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_cellprompt.core.types import Candidate, CroppedMask, Prompts
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.prompting.resolve import SegmentState

__all__ = ["Accepted", "Acceptor", "Overlap", "Region", "region_of"]

Overlap = Literal["keep", "replace", "new layer"]
Region = tuple[slice | int, ...]
"""Index of a part of a Labels layer's array."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Objects that were written, as one step of undo."""

    layer: Labels
    records: tuple[ObjectRecord, ...]
    written: tuple[int, ...]
    """Which of the objects that were to be accepted, by their number from 0."""
    message: str


class Acceptor:
    """Writes objects into Labels layers under ids of their own.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where layers are added or replaced when need be.
    """

    accepted = Signal(object, object, object, object, str)
    """Layer, image, state, prompts with their masks, and policy, of each accept."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._ownership = ownership_of(viewer)
        self._stores: dict[str, ObjectStore] = {}
        # Where to look whether a step is still in its layer, by the step's identity; the
        # step is held so that no other one gets the same.
        self._where: dict[tuple[str, int], tuple[Revision, Region | LabelDelta]] = {}
        self.ids = LabelIds()
        self.model = ""
        """Name of the model that is used; goes into the ledger with what it makes."""

    def store(self, layer: Labels) -> ObjectStore:
        """The objects accepted into a layer."""
        return self._stores.setdefault(str(layer.unique_id), ObjectStore())

    def accept(
        self,
        labels: Labels,
        image: Image,
        state: SegmentState,
        found: Sequence[tuple[Prompts, Candidate]],
        overlap: Overlap,
    ) -> Accepted:
        """Write objects of one plane as one undo step, and remember how they were made.

        Of several objects those that other objects have already are left out.

        Raises
        ------
        CellpromptError
            Nothing was written; the message says why.
        """
        view = state.view
        check_writable(labels)
        if overlap == "new layer" and any(
            _touches_others(labels, image, view, candidate.mask) for _, candidate in found
        ):
            labels = self.new_layer(image, view)
        store = self.store(labels)
        self._sync(labels, store)
        first = store.next_id(self.ids.largest(labels))
        notes = []
        if needs_widening(labels, first + len(found) - 1):
            narrow = labels
            labels, store = self.widen(narrow)
            notes.append(widening_note(narrow, labels))
        policy: Policy = "replace" if overlap == "replace" else "keep"
        if len(found) == 1:
            results = [commit(labels, found[0][1].mask, view, first, policy, image=image)]
        else:
            masks = (
                PlaneMask(first + number, view, candidate.mask)
                for number, (_, candidate) in enumerate(found)
            )
            writing = commit_many(labels, masks, policy, image=image, skip_covered=True)
            results = list(writing)
        written = [number for number, result in enumerate(results) if result.written]
        if not written:
            raise LabelsError(
                f"All of these masks belong to objects of '{labels.name}' already, which "
                "are kept."
            )
        records = []
        for number in written:
            prompts, candidate = found[number]
            box, result = candidate.mask.box or (0, 0, 0, 0), results[number]
            plane = ObjectPlane(state.plane, prompts, candidate.score, result.written, box)
            record = ObjectRecord(result.object_id, (plane,), model=self.model)
            self.ids.know(labels, result.object_id)
            self.remember(labels, record, region_of(labels, image, view, box))
            records.append(record)
        kept_out = sum(results[number].kept_out for number in written)
        if kept_out:
            notes.append(f"{kept_out} pixels stayed with other objects.")
        if len(written) < len(found):
            notes.append(
                f"{len(found) - len(written)} not: other objects have more than "
                f"{SAME_OBJECT:.0%} of the same pixels."
            )
        used = [(*found[number], results[number].object_id) for number in written]
        self.accepted.emit(labels, image, state, used, policy)
        text = _accepted_text(records, labels)
        return Accepted(labels, tuple(records), tuple(written), " ".join([text, *notes]))

    def is_shown(self, labels: Labels) -> bool:
        """Whether a layer is in the viewer."""
        return labels in self._viewer.layers

    def holds(self, labels: Labels, records: Sequence[ObjectRecord]) -> bool:
        """Whether all of these objects are in a layer as they were written there."""
        self.sync(labels)
        store = self.store(labels)
        return all(store.stands(record) for record in records)

    def remember(self, labels: Labels, record: ObjectRecord, region: Region) -> None:
        """Take over an object that was written.

        Parameters
        ----------
        labels : napari.layers.Labels
            Where it was written.
        record : ObjectRecord
            What it is now.
        region : tuple
            Index of a part of the layer's array that holds the id since this step.
        """
        revision = self.store(labels).put(record)
        self._where[str(labels.unique_id), id(revision)] = revision, region

    def remember_edit(
        self, labels: Labels, records: dict[int, ObjectRecord | None], delta: LabelDelta
    ) -> Revision:
        """Take over a change of several objects that was written.

        Parameters
        ----------
        labels : napari.layers.Labels
            Where it was written.
        records : dict
            What each id stands for now; None: nothing.
        delta : LabelDelta
            What was changed in the layer's array.
        """
        revision = self.store(labels).revise(records)
        self._where[str(labels.unique_id), id(revision)] = revision, delta
        return revision

    def undo(self, labels: Labels) -> str:
        """Take the last step of the layer back; returns what to tell the user."""
        store = self.store(labels)
        self._sync(labels, store)
        undo(labels)
        undone = self._sync(labels, store)
        if undone:
            return f"{_names(undone)} undone."
        return (
            f"The last change of '{labels.name}' is undone."
            if store.done
            else ("There is no object to undo.")
        )

    def redo(self, labels: Labels) -> str:
        """Do the last undone step of the layer again."""
        store = self.store(labels)
        self._sync(labels, store)
        redo(labels)
        redone = self._sync(labels, store)
        return f"{_names(redone)} back." if redone else "There is nothing to redo."

    def close(self) -> None:
        """Stop following layers."""
        self.ids.close()
        self._where.clear()

    def sync(self, labels: Labels) -> None:
        """Follow undo and redo that the user did in the Labels layer itself."""
        self._sync(labels, self.store(labels))

    def _sync(self, labels: Labels, store: ObjectStore) -> list[int]:
        """Ids of the objects whose steps were undone or redone in the layer."""
        moved: list[int] = []
        while store.done is not None and not self._shows(labels, store.done):
            moved.extend(store.done.ids)
            store.undo()
        while store.undone is not None and self._shows(labels, store.undone):
            moved.extend(store.undone.ids)
            store.redo()
        return sorted(set(moved))

    def _shows(self, labels: Labels, revision: Revision) -> bool:
        found = self._where.get((str(labels.unique_id), id(revision)))
        if found is None:
            return False
        data = full_resolution(labels)
        if isinstance(found[1], LabelDelta):
            return found[1].is_in(data)
        return bool(np.any(data[found[1]] == revision.changes[0].id))

    def new_layer(self, image: Image, view: PlaneView) -> Labels:
        """Add an empty layer for objects of an image."""
        active = self._viewer.layers.selection.active
        labels = add_labels_layer(self._viewer, image, channel_axis=view.channel_axis)
        self._ownership.made(labels, image)
        self.ids.know(labels, 0)
        if active is not None:
            self._viewer.layers.selection.active = active
        return labels

    def widen(self, labels: Labels) -> tuple[Labels, ObjectStore]:
        """Replace the layer by one with room, and take over what is known of it."""
        wide = widen(self._viewer, labels)
        return wide, self.take_place(labels, wide)

    def take_place(self, old: Labels, new: Labels) -> ObjectStore:
        """Take over what is known of a layer for the one that is in its place now."""
        before, after = str(old.unique_id), str(new.unique_id)
        store = self.store(old)
        self._ownership.replaced(old, new)
        self._stores[after] = store
        for (name, revision), region in list(self._where.items()):
            if name == before:
                self._where[after, revision] = region
        if self.ids.is_known(old):
            self.ids.know(new, self.ids.largest(old))
        return store


def _accepted_text(records: Sequence[ObjectRecord], labels: Labels) -> str:
    pixels = sum(plane.area for record in records for plane in record.planes)
    if len(records) == 1:
        return f"Object {records[0].id}: {pixels} pixels in '{labels.name}'."
    names = ", ".join(str(record.id) for record in records[:8])
    more = ", ..." if len(records) > 8 else ""
    return f"{len(records)} objects ({names}{more}) in '{labels.name}'."


def _names(ids: list[int]) -> str:
    """Objects as the beginning of a sentence."""
    if len(ids) == 1:
        return f"Object {ids[0]} is"
    shown = ", ".join(str(number) for number in ids[:5])
    return f"Objects {shown}{', ...' if len(ids) > 5 else ''} are"


def region_of(
    labels: Labels, image: Image, view: PlaneView, box: tuple[int, int, int, int]
) -> Region:
    """Index of the object's box in the labels' array."""
    match = match_grid(image, labels, view)
    if isinstance(match, str):
        return ()
    x0, y0, x1, y1 = box
    rows, columns = match.axes
    index: dict[int, slice | int] = dict(match.index)
    index[rows] = slice(y0 + match.offset[0], y1 + match.offset[0])
    index[columns] = slice(x0 + match.offset[1], x1 + match.offset[1])
    return tuple(index[axis] for axis in range(labels.ndim))


def _touches_others(
    labels: Labels, image: Image, view: PlaneView, mask: CroppedMask
) -> bool:
    """Whether the layer already holds something where the mask is."""
    box = mask.box
    region = () if box is None else region_of(labels, image, view, box)
    if box is None or not region:
        return False
    x0, y0, x1, y1 = box
    top, left = mask.origin
    inside = mask.data[y0 - top : y1 - top, x0 - left : x1 - left]
    there = np.asarray(full_resolution(labels)[region])
    return there.shape == inside.shape and bool(np.any(there[inside] > 0))
