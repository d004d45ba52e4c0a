"""Follows objects through the planes of a stack, and keeps what the user corrected.

The network conditions each plane on memories of others (Ravi et al. 2024,
arXiv:2408.00714). Around it this module decides where to look, what to remember, when
an object has ended, and which planes a correction makes obsolete.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.heap import give_back_memory
from napari_cellprompt.core.masks.packed import PackedMask
from napari_cellprompt.core.masks.rle import encode as encode_rle
from napari_cellprompt.core.types import Prompts

from .anchors import predict_anchors
from .objects import StoredPlane, TrackedObject
from .outcomes import Outcomes, differences, divisions_of, outcome_of
from .passes import Pass
from .rules import confidence_of, next_worst
from .tracker import Tracker
from .types import (
    DIRECTIONS,
    Direction,
    Division,
    Estimate,
    PlaneConfidence,
    PlaneOutcome,
    PropagationSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

__all__ = ["StackPropagator"]

_TIDY = 32
"""Every so many planes freed memory goes back to the operating system."""


class StackPropagator:
    """Objects of one stack: their prompts, and their masks on every plane.

    Not safe to use from two threads at once.

    Parameters
    ----------
    segmenter
        The model; its cache keeps the features of planes.
    stack
        The planes.
    settings
        See :class:`PropagationSettings`.

    Raises
    ------
    PromptError
        When the model cannot follow objects as the settings say.
    """

    def __init__(
        self,
        segmenter: PlaneSegmenter,
        stack: Stack,
        settings: PropagationSettings | None = None,
    ) -> None:
        settings = settings or PropagationSettings()
        self.segmenter = segmenter
        self.stack = stack
        self._tracker = Tracker(segmenter.model, stack, settings)
        self._objects: dict[int, TrackedObject] = {}
        self._running: list[Pass] = []
        self.tracked = 0
        """Planes of objects that were tracked so far, those tracked again included."""

    @property
    def settings(self) -> PropagationSettings:
        """How objects are followed from now on; may be replaced."""
        return self._tracker.settings

    @settings.setter
    def settings(self, value: PropagationSettings) -> None:
        self._tracker.follow_by(value)

    # -- what the user says ----------------------------------------------------
    def prompt(self, object_id: int, plane: int, prompts: Prompts) -> PlaneOutcome:
        """Say what an object is on a plane; it becomes (or stays) an anchor.

        Where the plane was tracked before, points correct the mask that was found; a
        box or a mask replaces it. All prompts of the plane count as one: a later call
        for the same plane replaces an earlier one.

        Parameters
        ----------
        object_id
            A positive number; new or known.
        plane
            Place in the stack.
        prompts
            In pixels of the plane. A mask alone is taken as it is, unless it is a sketch.

        Returns
        -------
        PlaneOutcome
            The mask there; without a mask nothing was found and nothing has changed.

        Raises
        ------
        PromptError
            Where prompts are empty or do not fit the plane.
        """
        return self.prompt_many(plane, {object_id: prompts})[0]

    def prompt_many(
        self,
        plane: int,
        prompts: Mapping[int, Prompts],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[PlaneOutcome]:
        """:meth:`prompt` for several objects of one plane, which are decoded together."""
        source = self.stack.plane(self._checked(plane))
        for object_id in prompts:
            if object_id <= 0:
                raise PromptError(f"Ids of objects must be positive: got {object_id}.")
        priors = {i: self._prior(i, plane, item) for i, item in prompts.items()}
        found = predict_anchors(self.segmenter, source, prompts, priors, cancelled)
        outcomes = []
        for object_id in prompts:
            stored = found[object_id]
            if stored.mask is None or stored.mask.area == 0:
                outcomes.append(
                    PlaneOutcome(
                        object_id, plane, None, 0.0, stored.object_score, "absent", 0
                    )
                )
                continue
            known = self._objects.setdefault(object_id, TrackedObject(object_id))
            known.vouch(plane, stored)
            self._tracker.forget(object_id, plane)
            outcomes.append(self._outcome(object_id, plane))
        return outcomes

    def lock(self, object_id: int, plane: int) -> PlaneOutcome:
        """Take the mask of a plane as verified: it never changes, others start from it.

        Raises
        ------
        PromptError
            Where the object has no mask there.
        """
        stored = self._stored(object_id, plane)
        if stored is None or stored.mask is None:
            raise PromptError(
                f"Object {object_id} has no mask on plane {plane} that could be locked."
            )
        known = self._objects[object_id]
        if stored.state != "locked":
            known.lock(plane)
            mask = self._outcome(object_id, plane).mask
            if mask is not None:
                sure = PackedMask.pack(mask, rank=2)
                known.planes[plane] = replace(known.planes[plane], mask=sure)
            self._tracker.forget(object_id, plane)
        return self._outcome(object_id, plane)

    def unlock(self, object_id: int, plane: int) -> PlaneOutcome | None:
        """Take back a lock or a clear; None where nothing is known of the plane then."""
        stored = self._stored(object_id, plane)
        if stored is not None and (stored.state == "locked" or stored.is_barrier):
            self._objects[object_id].unlock(plane)
            self._tracker.forget(object_id, plane)
        return self.outcome(object_id, plane)

    def clear(self, object_id: int, plane: int) -> PlaneOutcome:
        """Say that the object is not on this plane; nothing is followed through it.

        What lies beyond has to be reached from an anchor there.
        """
        known = self._known(object_id)
        self._checked(plane)
        before = known.planes.get(plane)
        known.vouch(plane, StoredPlane(None, 1.0, 0.0, "absent", 0, before=before))
        self._tracker.forget(object_id, plane)
        return self._outcome(object_id, plane)

    def remove(self, object_id: int) -> None:
        """Forget an object."""
        self._known(object_id)
        del self._objects[object_id]
        self._tracker.forget(object_id)

    # -- what is known ---------------------------------------------------------
    @property
    def ids(self) -> list[int]:
        """The objects, in the order in which they came."""
        return list(self._objects)

    def planes(self, object_id: int) -> list[int]:
        """Planes of which something is known of the object, in order."""
        return sorted(self._known(object_id).planes)

    def stale(self, object_id: int) -> list[int]:
        """Planes whose mask a correction has made obsolete, in order."""
        return sorted(self._known(object_id).stale)

    def outcome(self, object_id: int, plane: int) -> PlaneOutcome | None:
        """One object on one plane; None where it was not looked for (yet)."""
        if self._stored(object_id, plane) is None:
            return None
        return self._outcome(object_id, plane)

    def confidence_at(self, object_id: int, plane: int) -> PlaneConfidence | None:
        """How far one plane can be trusted; None where it was not looked at (yet)."""
        outcome = self.outcome(object_id, plane)
        if outcome is None:
            return None
        step = self._objects[object_id].planes[plane].step
        return confidence_of(
            outcome, self.outcome(object_id, plane - step) if step else None
        )

    def confidence(self, object_id: int) -> list[PlaneConfidence]:
        """How far each plane of an object can be trusted, in order of planes."""
        found = (self.confidence_at(object_id, p) for p in self.planes(object_id))
        return [item for item in found if item is not None]

    def worst_plane(self, object_id: int, after: int | None = None) -> int | None:
        """The plane most worth a look; with ``after``, the next one in that ranking.

        Planes that the user vouched for are left out; None when there is no other.
        """
        known = self._known(object_id)
        return next_worst(
            [c for c in self.confidence(object_id) if known.planes[c.plane].step], after
        )

    def divisions(self) -> list[Division]:
        """Objects that stay in two parts for two planes or more, for time series."""
        return divisions_of(self._objects)

    def prompts_at(self, object_id: int, plane: int) -> Prompts | None:
        """What a plane was prompted with; None where it was not."""
        stored = self._stored(object_id, plane)
        return None if stored is None else stored.prompts

    def differences(
        self, snapshot: Mapping[int, TrackedObject]
    ) -> list[tuple[int, int, PlaneOutcome | None, PlaneOutcome | None]]:
        """Id, plane, old and new outcome of every mask that a snapshot has otherwise."""
        old = Outcomes(snapshot, non_overlap=self.settings.non_overlap)
        return differences(old, self.outcomes())

    def outcomes(self) -> Outcomes:
        """Everything that is known now, by id and plane; safe from any thread."""
        return Outcomes(self._objects, non_overlap=self.settings.non_overlap)

    def snapshot(self) -> dict[int, TrackedObject]:
        """What is known of all objects, for :meth:`restore`; cheap."""
        return {object_id: known.copy() for object_id, known in self._objects.items()}

    def use(self, segmenter: PlaneSegmenter) -> None:
        """Go on with another model; what is known of planes stays."""
        self._tracker.use(segmenter.model)
        self.segmenter = segmenter

    def split(self, division: Division, ids: tuple[int, int]) -> None:
        """Accept a division: the object ends before it, its parts go on as new objects.

        Parameters
        ----------
        division
            As proposed by :meth:`divisions`.
        ids
            Of the daughters, the larger one first; not in use yet.

        Raises
        ------
        PromptError
            When an id is taken.
        """
        taken = [i for i in ids if i in self._objects or i <= 0]
        if taken or ids[0] == ids[1]:
            raise PromptError(f"The daughters need two new ids: got {ids}.")
        plane, parent = division.plane, division.id
        before = self._stored(parent, plane - 1)
        if before is not None and before.mask is not None:
            # what came before the division stays as it is
            self.lock(parent, plane - 1)
        self.clear(parent, plane)
        for object_id, part in zip(ids, division.parts, strict=True):
            self.prompt(object_id, plane, Prompts(mask=encode_rle(part.to_plane())))
            if plane > 0:
                self.clear(object_id, plane - 1)

    def restore(self, snapshot: Mapping[int, TrackedObject]) -> None:
        """Go back to what was known when the snapshot was taken."""
        self._objects = {object_id: known.copy() for object_id, known in snapshot.items()}
        self._tracker.forget_all()

    # -- following -------------------------------------------------------------
    def propagate(
        self,
        *,
        ids: Sequence[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "both",
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[int, list[PlaneOutcome]]]:
        """Follow objects from their anchors, plane by plane.

        Planes that are up to date are left alone: a second call goes on where the first
        was cancelled, and after a correction only the planes up to the next anchor are
        tracked again. The planes between an anchor and the range are tracked too.

        Parameters
        ----------
        ids
            Which objects; default all.
        start, stop
            First and last plane wanted, both inclusive; default the whole stack.
        direction
            Along the axis; ``"both"`` goes forward first, then backward.
        cancelled
            Asked several times a plane; the generator ends early where it says so, and
            what was tracked stays.

        Yields
        ------
        tuple
            The plane and what is new: the objects tracked there, and those that lost
            pixels to them; also objects on planes before it that they turned out not to
            reach, now without a mask.

        Raises
        ------
        PromptError
            Where range or direction make no sense, or there is nothing to follow.
        """
        self._running = passes = self._plan(ids, start, stop, direction)
        for step in (1, -1):
            active = [item for item in passes if item.reach.step == step]
            while active:
                plane = min((item.next for item in active), key=lambda p: p * step)
                due = [item for item in active if item.next == plane]
                touched: dict[int, set[int]] = {}
                try:
                    self._tracker.advance(plane, due, touched, cancelled)
                except CancelledError:
                    self.tracked += len(touched.get(plane, ()))
                    if touched:
                        yield plane, self._news(plane, touched)
                    return
                self.tracked += len(touched.get(plane, ()))
                active = [item for item in active if not item.is_done]
                if plane % _TIDY == 0:
                    give_back_memory()
                yield plane, self._news(plane, touched)

    def count(
        self,
        *,
        ids: Sequence[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "both",
    ) -> int:
        """Planes of objects that :meth:`propagate` would track now, at most."""
        passes = self._plan(ids, start, stop, direction)
        return sum(item.remaining for item in passes)

    @property
    def remaining(self) -> int:
        """Planes of objects that the running :meth:`propagate` has still to track."""
        return sum(item.remaining for item in self._running)

    def estimate(
        self,
        *,
        ids: Sequence[int] | None = None,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "both",
        cancelled: Callable[[], bool] | None = None,
    ) -> Estimate:
        """What :meth:`propagate` with the same arguments would take.

        From the speed so far; before any plane was tracked one is timed, whose features
        stay in the cache.
        """
        passes = self._plan(ids, start, stop, direction)
        return self._tracker.estimate(passes, cancelled)

    # -- planning --------------------------------------------------------------
    def _plan(
        self,
        ids: Sequence[int] | None,
        start: int | None,
        stop: int | None,
        direction: Direction,
    ) -> list[Pass]:
        if direction not in DIRECTIONS:
            raise PromptError(
                f"direction must be one of {', '.join(DIRECTIONS)}: got {direction!r}."
            )
        first = 0 if start is None else self._checked(start, "start")
        last = len(self.stack) - 1 if stop is None else self._checked(stop, "stop")
        if first > last:
            raise PromptError(f"start must not come after stop: got {first} and {last}.")
        if not self._objects:
            raise PromptError("There is no object to follow: prompt one on any plane.")
        passes = []
        for object_id in self._objects if ids is None else ids:
            known = self._known(object_id)
            for reach in known.reaches(direction, len(self.stack)):
                end = min(reach.last, last) if reach.step > 0 else max(reach.last, first)
                if (end - reach.anchor) * reach.step <= 0:
                    continue
                wanted = replace(reach, last=end)
                pending = known.pending(wanted)
                if pending is not None:
                    passes.append(self._tracker.begin(known, wanted, pending))
        return passes

    # -- single planes ---------------------------------------------------------
    def _prior(self, object_id: int, plane: int, prompts: Prompts) -> PackedMask | None:
        """The tracked mask that points on this plane correct."""
        stored = self._stored(object_id, plane)
        if stored is None or prompts.box is not None or prompts.mask is not None:
            return None
        if stored.state == "prompted":
            return stored.prior
        return stored.mask

    def _stored(self, object_id: int, plane: int) -> StoredPlane | None:
        known = self._objects.get(object_id)
        return None if known is None else known.planes.get(plane)

    def _known(self, object_id: int) -> TrackedObject:
        known = self._objects.get(object_id)
        if known is None:
            raise PromptError(f"There is no object {object_id}.")
        return known

    def _checked(self, plane: int, name: str = "plane") -> int:
        if not 0 <= plane < len(self.stack):
            raise PromptError(
                f"{name} must lie in 0 to {len(self.stack) - 1}, the planes of the "
                f"stack: got {plane}."
            )
        return int(plane)

    def _outcome(self, object_id: int, plane: int) -> PlaneOutcome:
        overlap = self.settings.non_overlap
        return outcome_of(self._objects, object_id, plane, non_overlap=overlap)

    def _news(self, plane: int, touched: Mapping[int, set[int]]) -> list[PlaneOutcome]:
        """Outcomes of objects tracked, and of those that share pixels with them."""
        found = []
        for place, ids in touched.items():
            boxes = []
            for object_id in ids:
                stored = self._objects[object_id].planes[place].mask
                if stored is not None and stored.box is not None:
                    boxes.append(stored.box)
            for object_id, known in self._objects.items():
                box = known.planes[place].box if place in known.planes else None
                met = box is not None and any(box.meets(other) for other in boxes)
                # what an object has given back on an earlier plane others may have now
                met = met or (box is not None and place != plane)
                if object_id in ids or (met and self.settings.non_overlap):
                    found.append(self._outcome(object_id, place))
        return found
