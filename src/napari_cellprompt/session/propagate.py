"""A propagation as a screen or a command line runs it: queued, cancellable, resumable.

The engine lives on the inference thread and is driven plane by plane, each plane as a
job of its own: clicks and corrections get their turn in between.
"""

from __future__ import annotations

import itertools
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar, cast

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.tasks.following import Seed, Span, follow_planes, prompt_seeds

from .runs import Changes, Known, PlaneChange, Progress, RunState, RunSummary
from .thread import Priority
from .trust import KnownTrust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.propagate.objects import TrackedObject
    from napari_cellprompt.core.propagate.outcomes import Outcomes
    from napari_cellprompt.core.propagate.propagator import StackPropagator
    from napari_cellprompt.core.propagate.types import (
        Direction,
        Division,
        Estimate,
        PlaneConfidence,
        PlaneOutcome,
        PropagationSettings,
    )
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.session_types import RunCall

    from .runs import OnPlane, OnProgress
    from .saved.run_log import LoggedPropagator
    from .segment import Segmenter, SegmentSession
    from .thread import JobContext

__all__ = [
    "Changes",
    "PlaneChange",
    "Progress",
    "PropagationRun",
    "RunSummary",
    "Seed",
]

T = TypeVar("T")


class PropagationRun:
    """One stack and the objects followed through it.

    Methods that return a future only queue; callbacks and the functions of futures run
    on the inference thread. The others are cheap reads, safe from any thread.

    Parameters
    ----------
    session : SegmentSession
        Its model and thread.
    stack : Stack
        The planes.
    settings : PropagationSettings, optional
        How objects are followed.
    """

    _numbers = itertools.count()

    def __init__(
        self,
        session: SegmentSession,
        stack: Stack,
        settings: PropagationSettings | None = None,
    ) -> None:
        self._session = session
        self._stack = stack
        self.settings = settings
        self._engine: LoggedPropagator | None = None
        self._run: RunState | None = None
        self._last = Span()
        self._plan = 0
        self._before: dict[int, TrackedObject] | None = None
        self._trust = KnownTrust()
        self._rejected: set[tuple[int, int]] = set()
        self.parents: dict[int, int] = {}
        """Id of the parent by id of the daughter, of accepted divisions."""

    def kept(self) -> tuple[dict[int, TrackedObject], list[RunCall]]:
        """All that is known now, and what has led to it, for a session."""
        engine = self._engine
        return ({}, []) if engine is None else engine.kept()

    def go_on(
        self, objects: Mapping[int, TrackedObject], calls: Sequence[RunCall], **limits: Any
    ) -> Future[int]:
        """Become what :meth:`kept` gave; planes that a resumed run would still track."""

        def job(engine: StackPropagator) -> int:
            cast("LoggedPropagator", engine).go_on(objects, calls)
            self._trust.note_all(engine)
            self._last = Span(None, **limits)
            return engine.count(**limits)

        return self._ask(job)

    # -- runs ------------------------------------------------------------------
    @property
    def running(self) -> bool:
        """Whether planes are being tracked."""
        return self._run is not None

    def start(
        self,
        seeds: Sequence[Seed],
        *,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "both",
        on_plane: OnPlane | None = None,
        on_progress: OnProgress | None = None,
    ) -> Future[RunSummary]:
        """Prompt objects and follow all objects, planes up to date excepted.

        Parameters
        ----------
        seeds : sequence of Seed
            Those that are known already and unchanged are left alone.
        start, stop : int, optional
            First and last plane wanted, both inclusive.
        direction : str
            ``"both"``, ``"forward"`` or ``"backward"``.
        on_plane : callable, optional
            ``on_plane(plane, outcomes)`` with what is new, the seeds' planes included.
        on_progress : callable, optional
            Called after each plane.

        Raises
        ------
        PromptError
            When a run is in progress.
        """
        span = Span(None, start, stop, direction)
        return self._begin(span, tuple(seeds), on_plane, on_progress)

    def resume(
        self, *, on_plane: OnPlane | None = None, on_progress: OnProgress | None = None
    ) -> Future[RunSummary]:
        """Go on with the last run where it was cancelled."""
        return self._begin(self._last, (), on_plane, on_progress)

    def cancel(self) -> None:
        """End the run within a plane; what was tracked stays."""
        run = self._run
        if run is not None:
            run.cancelled.set()

    def repropagate(
        self,
        ids: Sequence[int] | None = None,
        *,
        on_plane: OnPlane | None = None,
        on_progress: OnProgress | None = None,
    ) -> Future[Changes]:
        """Track again what corrections have made obsolete; report what is different.

        :meth:`accept_changes` or :meth:`discard_changes` decides about it.
        """
        changes: Future[Changes] = Future()
        changes.set_running_or_notify_cancel()
        span = Span(
            None if ids is None else tuple(ids),
            self._last.start,
            self._last.stop,
            self._last.direction,
        )

        def finished(future: Future[RunSummary]) -> None:
            try:
                changes.set_result(Changes(future.result(), self._differences()))
            except BaseException as error:  # goes to whoever asked
                changes.set_exception(error)

        def remember(engine: StackPropagator) -> None:
            self._before = engine.snapshot()

        self._begin(span, (), on_plane, on_progress, remember).add_done_callback(finished)
        return changes

    def accept_changes(self) -> Known | None:
        """Keep what :meth:`repropagate` has found; the state before, for :meth:`swap`."""
        before, self._before = self._before, None
        return None if before is None else self._known(before)

    def _known(self, objects: dict[int, TrackedObject]) -> Known:
        return Known(objects, dict(self.parents), frozenset(self._rejected))

    def swap(self, state: Known | None) -> Future[Known]:
        """What is known now; goes back to another state first where one is given.

        Changes that :meth:`repropagate` found and nobody has agreed to are no part of it.
        """

        def job(engine: StackPropagator) -> Known:
            now = self._known(self._before or engine.snapshot())
            if state is not None:
                engine.restore(state.objects)
                self.parents = dict(state.parents)
                self._rejected = set(state.rejected)
                self._before = None
                self._trust.note_all(engine)
            return now

        return self._ask(job)

    def discard_changes(self) -> Future[None]:
        """Go back to before :meth:`repropagate`; the corrections stay."""
        return self._ask(self._forget_changes)

    def _forget_changes(self, engine: StackPropagator) -> None:
        if self._before is not None:
            engine.restore(self._before)
            self._before = None
            self._trust.note_all(engine)

    def estimate(
        self,
        seeds: Sequence[Seed] = (),
        *,
        start: int | None = None,
        stop: int | None = None,
        direction: Direction = "both",
    ) -> Future[Estimate]:
        """What :meth:`start` with the same arguments would take; takes the seeds."""
        span = Span(None, start, stop, direction)

        def job(engine: StackPropagator) -> Estimate:
            self._take_seeds(engine, tuple(seeds), None)
            return engine.estimate(**span.arguments())

        return self._ask(job)

    # -- what the user says ----------------------------------------------------
    def correct(self, seed: Seed) -> Future[PlaneOutcome]:
        """Prompt or correct one object on one plane; sticks."""

        def job(engine: StackPropagator) -> PlaneOutcome:
            outcome = engine.prompt(seed.id, seed.plane, seed.prompts)
            self._trust.note(engine, [outcome])
            return outcome

        return self._say(job)

    def lock(self, object_id: int, plane: int) -> Future[PlaneOutcome]:
        """Take the mask of a plane as verified."""
        return self._state(lambda engine: engine.lock(object_id, plane))

    def unlock(self, object_id: int, plane: int) -> Future[PlaneOutcome | None]:
        """Take back a lock or a clear."""

        def job(engine: StackPropagator) -> PlaneOutcome | None:
            outcome = engine.unlock(object_id, plane)
            self._trust.note_all(engine, object_id)
            return outcome

        return self._say(job)

    def clear(self, object_id: int, plane: int) -> Future[PlaneOutcome]:
        """Say that the object is not on this plane."""
        return self._state(lambda engine: engine.clear(object_id, plane))

    def remove(self, object_id: int) -> Future[None]:
        """Forget an object."""

        def job(engine: StackPropagator) -> None:
            engine.remove(object_id)
            self._trust.note_all(engine, object_id)

        return self._say(job)

    def accept_division(
        self, division: Division, ids: tuple[int, int] | None = None
    ) -> Future[tuple[int, int]]:
        """End an object where it divides, and begin its daughters there.

        They are followed by the next run.

        Parameters
        ----------
        division : Division
            From :meth:`divisions`.
        ids : tuple of int, optional
            Of the daughters; default the next two free ones.
        """

        def job(engine: StackPropagator) -> tuple[int, int]:
            free = max(engine.ids, default=0) + 1
            daughters = (free, free + 1) if ids is None else ids
            engine.split(division, daughters)
            for daughter in daughters:
                self.parents[daughter] = division.id
            self._trust.note_all(engine)
            return daughters

        return self._say(job)

    def reject_division(self, division: Division) -> None:
        """Do not propose this division again."""
        self._rejected.add((division.id, division.plane))

    # -- what is known ---------------------------------------------------------
    def outcomes(self) -> Outcomes | dict[tuple[int, int], PlaneOutcome]:
        """All outcomes by id and plane, as known now."""
        engine = self._engine
        return {} if engine is None else engine.outcomes()

    def confidence(self, object_id: int) -> list[PlaneConfidence]:
        """How far each plane of an object can be trusted, in order of planes."""
        return self._trust.of(self._engine, object_id)

    def worst_plane(self, object_id: int, after: int | None = None) -> int | None:
        """The plane most worth a look; with ``after``, the next one in that ranking."""
        from napari_cellprompt.core.propagate.rules import next_worst

        doubtful = [
            item
            for item in self.confidence(object_id)
            if item.state not in ("prompted", "locked")
        ]
        return next_worst(doubtful, after)

    def divisions(self) -> list[Division]:
        """Objects that stay in two parts; for time series."""
        engine = self._engine
        found = [] if engine is None else engine.divisions()
        return [item for item in found if (item.id, item.plane) not in self._rejected]

    # -- on the inference thread -----------------------------------------------
    def _begin(
        self,
        span: Span,
        seeds: tuple[Seed, ...],
        on_plane: OnPlane | None,
        on_progress: OnProgress | None,
        first: Callable[[StackPropagator], None] | None = None,
    ) -> Future[RunSummary]:
        if self._run is not None:
            raise PromptError("A propagation is running: cancel it first.")
        future: Future[RunSummary] = Future()
        future.set_running_or_notify_cancel()
        run = RunState(span, on_plane, on_progress, future)
        self._run = run
        self._last = span

        def job(segmenter: Segmenter, context: JobContext) -> None:
            engine = self._ready(segmenter)
            if first is not None:
                first(engine)
            run.not_found += self._take_seeds(engine, seeds, on_plane)
            if engine.ids or not run.not_found:
                self._next(run)
            else:
                self._finish(run)

        self._submit(run, job)
        return future

    def _submit(self, run: RunState, job: Callable[[Segmenter, JobContext], None]) -> None:
        """Queue a part of a run; a part that never runs ends it."""
        queued = self._session.submit(
            job,
            kind=f"propagation-{next(self._numbers)}",
            priority=Priority.NEIGHBOUR,
        )

        def check(future: Future[None]) -> None:
            error = CancelledError() if future.cancelled() else future.exception()
            if error is not None and not run.future.done():
                self._run = None
                run.future.set_exception(error)

        queued.add_done_callback(check)

    def _next(self, run: RunState) -> None:
        """Queue the next plane."""

        def job(segmenter: Segmenter, context: JobContext) -> None:
            if self._step(run, self._ready(segmenter)):
                self._next(run)
            else:
                self._finish(run)

        self._submit(run, job)

    def _step(self, run: RunState, engine: StackPropagator) -> bool:
        """Track one plane; False when there is no other."""
        if run.cancelled.is_set():
            return False
        if run.planes is None or run.plan != self._plan:
            # what the user said in between may have changed what has to be tracked
            run.planes = follow_planes(engine, run.span, run.cancelled.is_set)
            run.plan = self._plan
        step = next(run.planes, None)
        if step is None:
            return False
        run.seconds += step.seconds
        run.done += step.tracked
        self._trust.note(engine, step.outcomes)
        if run.on_plane is not None:
            run.on_plane(step.plane, step.outcomes)
        if run.on_progress is not None:
            each = run.seconds / max(run.done, 1)
            total = run.done + step.left
            run.on_progress(Progress(step.plane, run.done, total, each, step.left * each))
        return True

    def _finish(self, run: RunState) -> None:
        engine = self._engine
        remaining = 0
        if engine is not None and engine.ids:
            remaining = engine.count(**run.span.arguments())
        self._run = None
        run.future.set_result(
            RunSummary(
                run.done,
                remaining,
                run.seconds,
                run.cancelled.is_set() and remaining > 0,
                tuple(run.not_found),
            )
        )

    def _ready(self, segmenter: Segmenter) -> StackPropagator:
        """The engine, with the model that is loaded now."""
        from .saved.run_log import LoggedPropagator

        real = cast("PlaneSegmenter", segmenter)
        if self._engine is None:
            self._engine = LoggedPropagator(real, self._stack, self.settings)
        elif self._engine.segmenter is not real:
            self._engine.use(real)
        return self._engine

    def _ask(self, job: Callable[[StackPropagator], T]) -> Future[T]:
        """Queue something for the engine ahead of the planes of a run."""

        def run(segmenter: Segmenter, context: JobContext) -> T:
            self._plan += 1
            return job(self._ready(segmenter))

        return self._session.submit(run, kind=f"propagation-{next(self._numbers)}")

    def _state(
        self, job: Callable[[StackPropagator], PlaneOutcome]
    ) -> Future[PlaneOutcome]:
        def noted(engine: StackPropagator) -> PlaneOutcome:
            outcome = job(engine)
            self._trust.note_all(engine, outcome.id)
            return outcome

        return self._say(noted)

    def _say(self, job: Callable[[StackPropagator], T]) -> Future[T]:
        """Queue what the user says: it is about what was shown, changes found excepted."""

        def said(engine: StackPropagator) -> T:
            self._forget_changes(engine)
            return job(engine)

        return self._ask(said)

    def _take_seeds(
        self, engine: StackPropagator, seeds: tuple[Seed, ...], on_plane: OnPlane | None
    ) -> list[int]:
        """Prompt the seeds that are new; ids of those for which nothing was found."""
        missing = []
        new = [s for s in seeds if engine.prompts_at(s.id, s.plane) != s.prompts]
        for plane, outcomes in prompt_seeds(engine, new):
            missing += [item.id for item in outcomes if item.mask is None]
            self._trust.note(engine, outcomes)
            if on_plane is not None:
                on_plane(plane, tuple(outcomes))
        return missing

    def _differences(self) -> tuple[PlaneChange, ...]:
        """The planes that look different from before."""
        engine = self._engine
        if engine is None or self._before is None:
            return ()
        return tuple(
            PlaneChange(object_id, plane, before, after)
            for object_id, plane, before, after in engine.differences(self._before)
        )
