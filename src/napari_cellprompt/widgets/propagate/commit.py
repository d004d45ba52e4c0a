"""Writes a whole propagation into a Labels layer: one undo step, the window alive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.labels.commit import needs_widening, widening_note
from napari_cellprompt.layers.labels.commit_stack import PlaneMask, commit_many
from napari_cellprompt.session.objects import ObjectPlane, ObjectRecord

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from napari.layers import Labels

    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.core.types import PlaneKey
    from napari_cellprompt.layers.labels.accept import Acceptor, Overlap, Region
    from napari_cellprompt.layers.labels.commit import CommitResult, Policy
    from napari_cellprompt.layers.stacks import LayerStack
    from napari_cellprompt.session.objects import PlaneOrigin
    from napari_cellprompt.widgets.segment.undo import Steps

    from .record import Followed

__all__ = ["StackCommit", "parents_of"]

_METADATA_KEY = "napari-cellprompt"


@dataclass(slots=True)
class _Written:
    """What became of one object."""

    planes: list[ObjectPlane] = field(default_factory=list)
    pixels: int = 0
    kept_out: int = 0
    region: Region | None = None


class StackCommit:
    """One propagation on its way into a layer.

    Parameters
    ----------
    acceptor : Acceptor
        Hands out layers and remembers objects.
    labels : napari.layers.Labels
        Where to write.
    stack : LayerStack
        The planes.
    outcomes : mapping
        By id and plane; unpacked one at a time.
    prompts : mapping
        What the user said, by id and plane.
    overlap : str
        What happens to pixels that other objects have.
    parents : mapping of int to int
        Parent of each daughter.
    trusts : mapping, optional
        How far each mask can be trusted, by id and plane.
    followed : Followed, optional
        Collects how each object was followed, for the ledger.
    again : ObjectRecord, optional
        An accepted object that these outcomes replace, on all planes of the stack.
    """

    def __init__(
        self,
        acceptor: Acceptor,
        labels: Labels,
        stack: LayerStack,
        outcomes: Mapping[tuple[int, int], PlaneOutcome],
        *,
        prompts: Mapping[tuple[int, int], Prompts],
        overlap: Overlap,
        parents: Mapping[int, int],
        trusts: Mapping[tuple[int, int], float] | None = None,
        followed: Followed | None = None,
        again: ObjectRecord | None = None,
    ) -> None:
        self.labels = labels
        self._widened = ""
        self._acceptor = acceptor
        self._stack = stack
        self.outcomes = outcomes
        """What is written, by id and plane."""
        self.erased: set[tuple[int, int]] = set()
        """Where pixels that the object had before are taken from it."""
        self._prompts = prompts
        self._overlap = overlap
        self._parents = parents
        self._trusts = trusts or {}
        self._followed = followed
        self._again = again
        self._written: dict[int, _Written] = {}
        self._total = len(outcomes)
        self.done = 0
        """Planes of objects written."""

    @property
    def policy(self) -> Policy:
        """What becomes of pixels that other objects have."""
        return "replace" if self._overlap == "replace" else "keep"

    @property
    def progress(self) -> tuple[int, int]:
        """Planes of objects written, and all of them."""
        return self.done, self._total

    def work(self) -> Generator[None, None, None]:
        """Write everything; one step between yields takes a few milliseconds.

        Raises
        ------
        LabelsError
            The layer cannot take the masks; what was written is one step of its undo.
        """
        acceptor, stack, image = self._acceptor, self._stack, self._stack.image
        if self._overlap == "new layer":
            self.labels = acceptor.new_layer(image, stack.view)
        acceptor.sync(self.labels)
        largest = acceptor.ids.largest(self.labels)
        ids = {object_id for object_id, _ in self.outcomes}
        if needs_widening(self.labels, max(ids, default=0)):
            narrow = self.labels
            self.labels, _ = acceptor.widen(narrow)
            self._widened = widening_note(narrow, self.labels)
        yield
        places = [*sorted(self.outcomes), *self._left_behind()]
        masks = (self._mask(place, largest) for place in places)
        writing = commit_many(self.labels, masks, self.policy, image=image)
        try:
            for place, result in zip(places, writing, strict=False):
                self._note(place, result)
                self.done += 1
                yield
            # The layer announces its new step when the generator comes to its end.
            next(writing, None)
        finally:
            writing.close()
            self._remember()

    def _left_behind(self) -> list[tuple[int, int]]:
        """Planes of an object that is open again on which it is not any more."""
        again = self._again
        if again is None or again.propagation is None:
            return []
        last = len(self._stack) - 1
        start, stop = again.propagation.start, again.propagation.stop
        first, last = start or 0, last if stop is None else min(stop, last)
        places = [(again.id, plane) for plane in range(first, last + 1)]
        return [place for place in places if place not in self.outcomes]

    def _mask(self, place: tuple[int, int], largest: int) -> PlaneMask:
        object_id, plane = place
        if place not in self.outcomes:
            self.erased.add(place)
            return PlaneMask(object_id, self._stack.view_at(plane), None, erase=True)
        outcome = self.outcomes[place]
        # Where an object was lost, what is there from before may well be right; only the
        # user's word that it is not there has a probability of exactly 0.
        known = outcome.mask is not None or outcome.object_score == 0
        known = known or self._again is not None
        erase = known and object_id <= largest
        if erase:
            self.erased.add(place)
        return PlaneMask(object_id, self._stack.view_at(plane), outcome.mask, erase=erase)

    def _note(self, place: tuple[int, int], result: CommitResult) -> None:
        object_id, plane = place
        if place not in self.outcomes:
            return
        outcome = self.outcomes[place]
        if self._followed is not None:
            self._followed.note(outcome)
        written = self._written.setdefault(object_id, _Written())
        written.pixels += result.written
        written.kept_out += result.kept_out
        if outcome.mask is None or not result.written:
            return
        box = outcome.mask.box or (0, 0, 0, 0)
        prompts = self._prompts.get(place, Prompts())
        key = self._stack.plane(plane).key
        written.planes.append(self._plane(place, key, prompts, result.written, box))
        if written.region is None and result.changed is not None:
            written.region = result.changed

    def _plane(
        self,
        place: tuple[int, int],
        key: PlaneKey,
        prompts: Prompts,
        area: int,
        box: tuple[int, int, int, int],
    ) -> ObjectPlane:
        outcome, state = self.outcomes[place], self.outcomes[place].state
        origin: PlaneOrigin = "tracked"
        if state == "prompted" or state == "locked":
            origin = state
        trust = self._trusts.get(place)
        return ObjectPlane(key, prompts, outcome.iou, area, box, trust, origin)

    def _remember(self) -> None:
        acceptor, labels = self._acceptor, self.labels
        store = acceptor.store(labels)
        for object_id, written in self._written.items():
            if not written.planes or written.region is None:
                continue
            before = store.get(object_id)
            new = {plane.key.index for plane in written.planes}
            new |= {self._stack.plane(p).key.index for _, p in self._left_behind()}
            old = () if before is None else before.planes
            planes = (*(one for one in old if one.key.index not in new), *written.planes)
            parent = self._parents.get(object_id, before.parent if before else None)
            followed = None if self._followed is None else self._followed.of(object_id)
            record = ObjectRecord(
                object_id,
                planes,
                parent,
                name=before.name if before else "",
                class_name=before.class_name if before else "",
                source="propagate",
                model=acceptor.model,
                propagation=followed,
            )
            acceptor.remember(labels, record, written.region)
            acceptor.ids.know(labels, object_id)
        _record_parents(
            labels, {k: v for k, v in self._parents.items() if k in self._written}
        )

    def note(self, steps: Steps) -> None:
        """Make what was written the last step of a history."""
        store = self._acceptor.store(self.labels)
        ids = [number for number, written in self._written.items() if written.planes]
        records = [store.get(number) for number in ids]
        steps.accepted(self.labels, [known for known in records if known is not None])

    @property
    def message(self) -> str:
        """What was done, for the user."""
        planes = sum(len(written.planes) for written in self._written.values())
        kept_out = sum(written.kept_out for written in self._written.values())
        ids = [str(number) for number, written in self._written.items() if written.planes]
        names = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
        word = self._stack.axis.plane_word
        text = (
            f"Object{'s' if len(ids) > 1 else ''} {names}: {planes} {word}"
            f"{'s' if planes != 1 else ''} in '{self.labels.name}'. "
            "One undo (Ctrl+Z) takes all of it back."
        )
        if kept_out:
            text += f" {kept_out} pixels stayed with other objects."
        return f"{text} {self._widened}".strip()


def parents_of(labels: Labels) -> dict[int, int]:
    """Parent of each daughter, as the layer's metadata has it."""
    own = labels.metadata.get(_METADATA_KEY, {})
    return {int(key): int(value) for key, value in own.get("parents", {}).items()}


def _record_parents(labels: Labels, parents: Mapping[int, int]) -> None:
    """Note parents in the layer's metadata, which goes wherever the layer goes."""
    if not parents:
        return
    own = dict(labels.metadata.get(_METADATA_KEY, {}))
    own["parents"] = {
        str(key): value for key, value in {**parents_of(labels), **parents}.items()
    }
    labels.metadata = {**labels.metadata, _METADATA_KEY: own}
