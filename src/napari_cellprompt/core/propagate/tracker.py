"""Takes objects from plane to plane: which are due, what is kept, where they end."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.masks.packed import PackedMask

from .drift import Drift
from .endings import Endings
from .motion import displacement
from .objects import StoredPlane
from .passes import Pass
from .rules import main_parts
from .types import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.inference.following import Follower, Sighting
    from napari_cellprompt.core.inference.model import Model
    from napari_cellprompt.core.types import CroppedMask

    from .objects import Reach, TrackedObject
    from .types import PropagationSettings, State

__all__ = ["Tracker"]


class Tracker:
    """Runs passes: which plane is next, what of a follower's answers is kept.

    Parameters
    ----------
    model, stack, settings
        As in :class:`.propagator.StackPropagator`.

    Raises
    ------
    PromptError
        Where the model cannot follow objects as the settings say.
    """

    def __init__(self, model: Model, stack: Stack, settings: PropagationSettings) -> None:
        self.model = model
        self.stack = stack
        self.settings = settings
        self.seconds: float | None = None
        """Of one object on one plane, lately; None before the first."""
        self.follower: Follower = model.follower(stack, settings.following)
        self._passes: dict[tuple[int, int, int], Pass] = {}
        self._endings = Endings(stack, model.traits.certain)
        self._drift = Drift(stack)

    def use(self, model: Model) -> None:
        """Go on with another model; what the old one remembered is dropped."""
        self.follower = model.follower(self.stack, self.settings.following)
        self.model = model
        self._endings = Endings(self.stack, model.traits.certain)
        self.seconds = None
        self.forget_all()

    def follow_by(self, settings: PropagationSettings) -> None:
        """Go on with other settings; what was remembered is dropped."""
        self.follower = self.model.follower(self.stack, settings.following)
        self.settings = settings
        self.forget_all()

    def begin(self, known: TrackedObject, reach: Reach, pending: int) -> Pass:
        """Go on with a pass that was interrupted, or begin one."""
        key = (known.id, reach.anchor, reach.step)
        item = self._passes.get(key)
        if item is not None and item.next == pending:
            item.reach = reach
            return item
        recent: list[tuple[int, CroppedMask]] = []
        for plane in range(pending - reach.step, reach.anchor - reach.step, -reach.step):
            stored = known.planes[plane]
            if stored.mask is not None and len(recent) < 3:
                recent.insert(0, (plane, stored.mask.mask()))
        masks = [mask for _, mask in recent]
        # a gap that was begun goes on, rather than anew
        failed = known.planes[pending - reach.step].failed
        item = Pass(known, reach, pending, masks, recent[-1][0], failed=failed)
        self.follower.begin(item)
        self._passes[key] = item
        return item

    def forget(self, object_id: int, plane: int | None = None) -> None:
        """Drop memories of an object that a statement about a plane made obsolete.

        Without a plane, all of them.
        """
        self.follower.forget(object_id, plane)
        self._endings.forget(object_id, plane)
        for key in [key for key in self._passes if key[0] == object_id]:
            del self._passes[key]

    def forget_all(self) -> None:
        """Drop all memories."""
        self._passes.clear()
        self.follower.forget()
        self._endings.forget()

    # -- tracking --------------------------------------------------------------
    def advance(
        self,
        plane: int,
        due: Sequence[Pass],
        touched: dict[int, set[int]],
        cancelled: Callable[[], bool] | None,
    ) -> None:
        """Track all passes that are due on a plane.

        Parameters
        ----------
        plane
            The next one of every pass.
        due
            Passes of one direction.
        touched
            Receives the ids of the objects whose outcome is kept, by plane; also when
            cancelled. Planes before this one are those that an object turned out not to
            reach.
        cancelled
            Asked before each slow step.

        Raises
        ------
        concurrent.futures.CancelledError
            Where ``cancelled`` said so; passes not taken can go on from here.
        """
        started = time.perf_counter()
        if self.settings.motion and self.stack.is_time:
            for item in due:
                self._foresee(item)
        passes = {id(item): item for item in due}
        if self.stack.is_time and self._endings.shows_nothing(plane):
            for item in due:
                self._pass_over(plane, item)
                touched.setdefault(plane, set()).add(item.id)
            return
        waiting, looks = list(due), 0
        while waiting:
            again = []
            for track, sighting in self.follower.look(plane, waiting, cancelled=cancelled):
                item = passes[id(track)]
                taken = self._take(plane, item, sighting, final=looks > 0)
                if not taken:
                    again.append(item)
                for known in taken:
                    touched.setdefault(known, set()).add(item.id)
            waiting, looks = again, looks + 1
        if self.stack.is_time and len(due) > 1 and all(item.failed for item in due):
            # that all are gone at once is the frame's fault
            for item in due:
                item.failed -= 1
                stored = item.object.planes[plane]
                item.object.track(plane, replace(stored, failed=item.failed))
        seconds = (time.perf_counter() - started) / max(len(due), 1)
        # the latest planes count most: the first may have been in the cache
        self.seconds = (
            seconds if self.seconds is None else 0.8 * self.seconds + 0.2 * seconds
        )

    def estimate(
        self, passes: Sequence[Pass], cancelled: Callable[[], bool] | None
    ) -> Estimate:
        """What these passes will take; one plane is timed where nothing is known yet."""
        planes = sum(item.remaining for item in passes)
        if not passes:
            return Estimate(0, 0.0, 0)
        longest: dict[tuple[object, int], int] = {}
        for item in passes:
            key = (self.follower.place(item), item.step)
            longest[key] = max(longest.get(key, 0), item.remaining)
        looks = sum(longest.values())
        timed = self.seconds is None
        cost = self.follower.cost(passes[0], timed=timed, cancelled=cancelled)
        seconds = looks * cost.shared_seconds + planes * cost.seconds
        if self.seconds is not None:
            seconds = planes * self.seconds
        shared = looks * cost.shared_nbytes
        if cost.most_shared_nbytes is not None:
            shared = min(cost.most_shared_nbytes, shared)
        return Estimate(planes, seconds, shared + len(passes) * cost.nbytes)

    def _foresee(self, item: Pass) -> None:
        """Look where an object has gone."""
        before, here = self.stack.plane(item.last_plane), self.stack.plane(item.next)
        box = item.last.box
        if box is not None:
            middle = ((box[1] + box[3]) / 2, (box[0] + box[2]) / 2)
            drift = self._drift.between(item.last_plane, item.next, middle)
            item.moved = displacement(before, here, item.last, drift)
        if item.expected.box is None:
            item.moved = (0.0, 0.0)
            return
        self.follower.foresee(item)

    def _pass_over(self, plane: int, item: Pass) -> None:
        """Leave out a plane on which there is nothing to see."""
        nothing = StoredPlane(None, 0.0, 0.0, "absent", 0, item.step, failed=item.failed)
        item.object.track(plane, nothing)
        item.moved = (0.0, 0.0)
        item.next = plane + item.step

    def _take(
        self, plane: int, item: Pass, sighting: Sighting, *, final: bool
    ) -> list[int]:
        """Keep what was found; the planes on which something is new now.

        None of them where the object has to be looked at again.
        """
        found = sighting.candidate
        verdict = self._endings.judge(
            plane, item, found.mask, sighting.presence, self.settings
        )
        lost = verdict.lost
        kept = not verdict.gone and lost is None
        if kept and not self.follower.arrive(item, found.mask, final=final):
            return []
        step = item.step
        ended = False
        if not kept:
            item.failed += 1
            ended = lost is not None or item.failed >= self.settings.patience(
                is_time=self.stack.is_time
            )
            state: State = "ended" if ended else "absent"
            stored = StoredPlane(
                None, found.score, sighting.presence, state, 0, step, failed=item.failed
            )
            item.next = item.reach.last + step if ended else plane + step
        else:
            item.failed = 0
            item.moved = (0.0, 0.0)
            item.recent = [*item.recent[-2:], found.mask]
            item.last_plane = plane
            stored = StoredPlane(
                PackedMask.pack(found.mask, found.logits),
                found.score,
                sighting.presence,
                "tracked",
                len(main_parts(found.mask)),
                step,
                contrast=verdict.contrast,
            )
            item.next = plane + step
            self.follower.keep(plane, item, sighting)
        item.object.track(plane, stored)
        for before in lost or ():
            taken = item.object.planes[before]
            item.object.track(before, replace(taken, mask=None, state="ended", parts=0))
        if ended:
            item.object.forget_beyond(plane, item.reach)
            self._passes.pop((item.id, item.anchor, step), None)
        return [*(lost or ()), plane]
