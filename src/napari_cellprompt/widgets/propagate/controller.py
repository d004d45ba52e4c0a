"""Follows objects through a stack: asks, shows, corrects, accepts.

Everything here runs on the GUI thread and none of it waits. The engine works on the
inference thread; what it tells arrives through one queued signal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.stack_preview import StackLabels
from napari_cellprompt.layers.stacks import show_plane
from napari_cellprompt.session.propagate import PropagationRun
from napari_cellprompt.widgets.segment.prompt_layers import put_below_prompts
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint
from napari_cellprompt.widgets.shared.slices import SlicedWork

from .commit import StackCommit
from .review import Review
from .run import (
    Run,
    estimate_text,
    expected,
    limits_of,
    progress_text,
    read_stack,
    summary_text,
)
from .seeds import make_seeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.components import ViewerModel

    from napari_cellprompt.core.propagate.types import (
        Estimate,
        PlaneOutcome,
        PropagationSettings,
    )
    from napari_cellprompt.session.propagate import Progress, RunSummary, Seed
    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .form import Choices

__all__ = ["PREVIEW_NAME", "PropagateController", "Stage"]

PREVIEW_NAME = "Propagation"
READY = "Choose what to follow, then press Propagate."
_STRIP_PAUSE = 150
_REDRAW_3D = 1000

Stage = Literal["idle", "asking", "announced", "running", "review", "changes", "writing"]


class PropagateController:
    """The interaction of the Propagate widget, apart from its controls.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    warn : callable
        Told each message that the user must not miss.
    """

    changed = Signal()
    """Stage, status or progress are not what they were."""
    strip_changed = Signal()
    """More is known about planes, or another object was chosen."""

    def __init__(self, viewer: ViewerModel, *, warn: Callable[[str], None]) -> None:
        self.viewer = viewer
        self._warn = warn
        self.segment: SegmentController | None = None
        self.stage: Stage = "idle"
        self.status = READY
        self.progress: tuple[int, int] | None = None
        """Planes done and planes in all, while something runs."""
        self.unfinished = 0
        """Planes of objects that a resumed run would still track."""
        self.run: Run | None = None
        self._measured: float | None = None
        self.object_id: int | None = None
        """The object that is looked at and corrected."""
        self.bridge = ResultBridge()
        self.preview = StackLabels(viewer, PREVIEW_NAME)
        self.review = Review(self)
        viewer.layers.events.removed.connect(self._layer_removed)
        self._work = SlicedWork(self.bridge)
        self._strip_timer = self.timer(_STRIP_PAUSE, self.strip_changed.emit)
        self._redraw_timer = self.timer(_REDRAW_3D, self.preview.refresh)

    def timer(self, milliseconds: int, callback: Callable[[], Any]) -> QTimer:
        """A single-shot timer that ends with this controller."""
        timer = QTimer(self.bridge)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(callback)
        return timer

    # --- what the widget tells -------------------------------------------------------

    def attach(self, segment: SegmentController | None) -> None:
        """Work with the model and the layers of this Segment widget."""
        if segment is not self.segment:
            self.discard()
            self.segment = segment

    def tell(self, text: str, warn: bool = False) -> None:
        """Show a message; one that must not be missed is also a notification."""
        self.status = text
        if warn:
            self._warn(text)
        self.changed.emit()

    def result_of(self, future: Future[Any]) -> Any:
        """The result, or None after telling the user what went wrong."""
        message = complaint(future)
        if message is None:
            return future.result()
        if message:
            self.tell(message, warn=True)
        return None

    # --- starting --------------------------------------------------------------------

    def start(self, choices: Choices, settings: PropagationSettings) -> None:
        """Look how long it takes, and go ahead unless that is long."""
        run = self.run
        if self.stage == "announced" and run is not None and run.choices == choices:
            self._follow()
            return
        if self.stage not in ("idle", "announced"):
            self.tell("Accept or discard the present propagation first.", warn=True)
            return
        try:
            stack, collected = read_stack(self.viewer, self.segment, choices)
        except CellpromptError as error:
            self.tell(str(error), warn=True)
            return
        segment = self.segment
        if segment is None:
            return
        self.run = None
        self.enter("asking", "Looking how long it takes ...")
        engine = PropagationRun(segment.session, stack, settings)
        limits = limits_of(choices, collected, stack, segment)
        made = segment.session.submit(
            lambda model, context: make_seeds(collected), kind="propagation-seeds"
        )

        def seeded(future: Future[tuple[Seed, ...]]) -> None:
            seeds = self.result_of(future)
            if self.stage != "asking":
                return
            if seeds is None:
                self.enter("idle")
                return
            self.run = Run(engine, stack, choices, collected, seeds, limits)
            self.bridge.deliver(engine.estimate(seeds, **limits), self._estimated)

        self.bridge.deliver(made, seeded)

    def _estimated(self, future: Future[Estimate]) -> None:
        run = self.run
        estimate = self.result_of(future)
        if run is None or self.stage != "asking":
            return
        if estimate is None:
            self.run = None
            self.enter("idle")
            return
        if estimate.planes == 0:
            self.run = None
            self.enter(
                "idle",
                "There is no plane to follow the objects to: choose another range. With "
                "'up to here', go to the last plane wanted first.",
            )
            return
        cost = expected(run, estimate, self._measured)
        if cost.much:
            self.enter("announced", estimate_text(run, cost))
        else:
            self._follow()

    def _follow(self) -> None:
        """Start the run that was estimated."""
        run, segment = self.run, self.segment
        if run is None or segment is None:
            return
        labels = segment.chosen.labels
        self.object_id = run.collected.ids[0]
        look = {} if labels is None else {"colormap": labels.colormap}
        try:
            self.preview.open(
                run.stack, largest_id=max(run.collected.ids) + 2000, opacity=0.6, **look
            )
        except CellpromptError as error:
            self.run = None
            self.enter("idle")
            self.tell(str(error), warn=True)
            return
        segment.hold()
        put_below_prompts(self.viewer, self.preview.layer, segment.chosen)
        self.review.begin(run)
        self.enter("running", "Following ...")
        future = run.engine.start(run.seeds, **run.limits, **self.listeners(run))
        self.bridge.deliver(future, self._finished)
        self.draw(run.engine.outcomes().values())

    def listeners(self, run: Run) -> dict[str, Any]:
        """Callbacks for the engine, which calls them on its own thread."""
        bridge = self.bridge

        def on_plane(plane: int, outcomes: tuple[PlaneOutcome, ...]) -> None:
            bridge.post(lambda found: self._arrived(run, found), outcomes)

        def on_progress(progress: Progress) -> None:
            bridge.post(lambda found: self._advanced(run, found), progress)

        return {"on_plane": on_plane, "on_progress": on_progress}

    # --- while it runs ---------------------------------------------------------------

    def cancel(self) -> None:
        """Stop after the plane in work; what is done stays."""
        if self.stage == "asking":
            self.run = None
            self.enter("idle", READY)
        elif self.run is not None and self.stage == "running":
            self.run.engine.cancel()
            self.tell(f"Stopping after this {self.run.stack.axis.plane_word} ...")

    def resume(self) -> None:
        """Go on where the run was stopped."""
        run = self.run
        if run is None or self.stage != "review":
            return
        self.go_on(run, "Following ...")

    def go_on(self, run: Run, text: str) -> None:
        """Follow all objects of a run to where they are wanted."""
        self.review.pause()
        self.enter("running", text)
        future = run.engine.start((), **run.limits, **self.listeners(run))
        self.bridge.deliver(future, self._finished)

    def _arrived(self, run: Run, outcomes: tuple[PlaneOutcome, ...]) -> None:
        if run is self.run:
            self.draw(outcomes)

    def _advanced(self, run: Run, progress: Progress) -> None:
        if run is not self.run or self.stage != "running":
            return
        self.progress = progress.done, progress.total
        self.tell(progress_text(run, progress))

    def _finished(self, future: Future[RunSummary]) -> None:
        summary = self.result_of(future)
        run = self.run
        if run is None or self.stage != "running":
            return
        if summary is None:
            failure = self.status
            self.unfinished = 0
            self.enter("review", failure)
            self.review.ready(divisions=False)
            return
        if summary.done:
            self._measured = summary.seconds / summary.done
        self.unfinished = summary.remaining
        self.enter("review", summary_text(run, summary))
        self.review.ready(divisions=not summary.cancelled)

    # --- showing ---------------------------------------------------------------------

    def draw(self, outcomes: Any) -> None:
        """Draw outcomes of one or more planes, and bring the strip up to date soon."""
        run = self.run
        if run is None:
            return
        if self.preview.layer is None and self.stage != "writing":
            self._redraw_all(run)
            return
        here, seen = self.plane, False
        for outcome in outcomes:
            self.preview.draw(outcome.plane, outcome.id, outcome.mask)
            seen = seen or outcome.plane == here
        if self.viewer.dims.ndisplay == 3:
            if not self._redraw_timer.isActive():
                self._redraw_timer.start()
        elif seen:
            self.preview.refresh()
        if not self._strip_timer.isActive():
            self._strip_timer.start()

    def _redraw_all(self, run: Run) -> None:
        """Give back the preview that the user has deleted."""
        largest = max(run.engine.outcomes(), default=(1, 0))[0] + 2000
        self.preview.open(run.stack, largest_id=largest, opacity=0.6)
        self.review.follow_preview()
        self.draw(run.engine.outcomes().values())

    @property
    def plane(self) -> int | None:
        """The plane of the stack on screen; None when another one is."""
        run = self.run
        if run is None:
            return None
        view = run.stack.view
        now = plane_of(self.viewer, run.stack.image, channel_axis=view.channel_axis)
        return run.stack.number_of(replace(now, axes=view.axes)) if now.in_range else None

    def go_to(self, plane: int) -> None:
        """Show a plane of the stack."""
        if self.run is not None:
            show_plane(self.viewer, self.run.stack.image, self.run.stack.view_at(plane))

    def choose(self, object_id: int) -> None:
        """Look at another object."""
        if self.run is not None and object_id != self.object_id:
            self.object_id = object_id
            self.review.object_chosen()
            self.strip_changed.emit()

    # --- the end ---------------------------------------------------------------------

    def accept(self) -> None:
        """Write all planes into the Labels layer, as one step of its undo."""
        run, segment = self.run, self.segment
        if run is None or segment is None or self.stage != "review":
            self.tell("There is no propagation to accept yet.", warn=True)
            return
        labels = segment.chosen.labels
        if labels is None:
            self.tell("Choose a Labels layer for the objects in Segment first.", warn=True)
            return
        self.review.pause()
        commit = StackCommit(
            segment.acceptor,
            labels,
            run.stack,
            run.engine.outcomes(),
            prompts=self.review.said,
            overlap=segment.overlap,
            parents=run.engine.parents,
        )
        self.enter("writing", "Writing the objects ...")

        def done(error: Exception | None) -> None:
            if error is not None:
                self.enter("review", str(error))
                self.review.ready(divisions=False)
                self._warn(str(error))
                return
            segment.target_written(labels, commit.labels)
            self._close_run(
                clear=run.collected.planes[0] if run.collected.on_screen else None
            )
            self.enter("idle", commit.message)

        self._work.start(commit.work(), done)

    def discard(self) -> None:
        """Throw the propagation away; the Labels layer was never touched."""
        if self.stage == "writing":
            self.tell("The objects are being written: undo that afterwards.", warn=True)
            return
        if self.run is not None:
            self.run.engine.cancel()
        self._close_run()
        self.enter("idle", READY)

    def _close_run(self, *, clear: int | None = None) -> None:
        self._strip_timer.stop()
        self._redraw_timer.stop()
        held = self.run is not None and self.review.active
        self.review.end(clear=clear)
        self.preview.close()
        self.run = self.object_id = None
        self.unfinished = 0
        if held and self.segment is not None:
            self.segment.release()
        self.strip_changed.emit()

    def _layer_removed(self, event: Any) -> None:
        if self.run is not None and event.value == self.run.stack.image:
            self._work.stop()
            self.stage = "review"
            self.discard()
            self.tell("The image was removed, and its propagation with it.", warn=True)

    def close(self) -> None:
        """Let go of everything; what was accepted stays."""
        self.viewer.layers.events.removed.disconnect(self._layer_removed)
        self._work.stop()
        self.stage = "idle"
        self.discard()
        self.bridge.close()
        self.segment = None

    def enter(self, stage: Stage, text: str | None = None) -> None:
        """Change the stage, and the status with it."""
        self.stage = stage
        if stage != "running":
            self.progress = None
        self.tell(self.status if text is None else text)
