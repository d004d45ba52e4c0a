"""Follows objects through a stack: asks, shows, corrects, accepts.

Everything here runs on the GUI thread and none of it waits. The engine works on the
inference thread; what it tells arrives through one queued signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.session.propagate import PropagationRun
from napari_cellprompt.widgets.propagate.review.review import Review
from napari_cellprompt.widgets.segment.canvas.prompt_layers import put_below
from napari_cellprompt.widgets.shared.slices import SlicedWork
from napari_cellprompt.widgets.shared.written import ToldOfWritten

from .commit import StackCommit
from .desk import READY, Desk
from .record import Followed, trusts_of
from .reopening import reopened, say_again, shown_of
from .run import Run, estimate_text, expected, limits_of, read_stack, summary_text
from .saved import followed, half_done, refused, restore_said, run_from
from .seeds import make_seeds

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.components import ViewerModel

    from napari_cellprompt.core.propagate.types import Estimate, PropagationSettings
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.session.propagate import RunSummary, Seed
    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .form import Choices

__all__ = ["PropagateController"]


class PropagateController:
    """The interaction of the Propagate widget, apart from its controls.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    warn : callable
        Told each message that the user must not miss.
    """

    def __init__(self, viewer: ViewerModel, *, warn: Callable[[str], None]) -> None:
        self.desk = Desk(viewer, warn=warn)
        self.review = Review(self.desk, follow=self.go_on)
        self._measured: float | None = None
        self._written = ToldOfWritten(lambda: self.desk.status, self.desk.tell)
        viewer.layers.events.removed.connect(self._layer_removed)
        self._work = SlicedWork(self.desk.bridge)

    # --- what the widget tells -------------------------------------------------------

    def attach(self, segment: SegmentController | None) -> None:
        """Work with the model and the layers of this Segment widget."""
        if segment is not self.desk.segment:
            self._put_away()
            self.discard()
            self.desk.segment = segment
            self._written.follow(None if segment is None else segment.place.steps.moved)
        if segment is not None:
            segment.place.half_done = lambda image: half_done(
                self.desk, self.review.said, image
            )
            segment.place.go_on = self.bring_back

    def bring_back(self) -> None:
        """Go on with the propagation that the session of the image has kept."""
        segment = self.desk.segment
        entry = None if segment is None else segment.place.unfinished
        if segment is None or entry is None or self.desk.stage != "idle":
            return
        try:
            run, tracks = run_from(segment, entry)
        except CellpromptError as error:
            self.desk.tell(refused(error), warn=True)
            return

        def arrived(future: Future[int]) -> None:
            remaining = self.desk.result_of(future)
            if self.desk.stage != "asking" or remaining is None:
                return
            self.desk.run = run
            if not self._show(run, segment):
                return
            segment.place.unfinished = None
            restore_said(self.review.said, entry)
            self.review.object_chosen()
            self.desk.unfinished = remaining
            text = "Back from the session. "
            if remaining:
                what = "1 plane is" if remaining == 1 else f"{remaining} planes are"
                text += f"{what} left: press Resume."
            self.desk.enter("review", text.strip())
            self.review.ready(divisions=False)
            self.desk.draw(run.engine.outcomes().values())

        self.desk.enter("asking", "Bringing the propagation back ...")
        future = run.engine.go_on(tracks, entry.calls, **run.limits)
        self.desk.bridge.deliver(future, arrived)

    def _put_away(self) -> None:
        """Leave a propagation that is not accepted to the session of its image."""
        run, segment = self.desk.run, self.desk.segment
        if run is not None and segment is not None:
            kept = half_done(self.desk, self.review.said, run.stack.image)
            segment.place.unfinished = None if kept is None else kept[1]()

    # --- starting --------------------------------------------------------------------

    def start(self, choices: Choices, settings: PropagationSettings) -> None:
        """Look how long it takes, and go ahead unless that is long."""
        run = self.desk.run
        if self.desk.stage == "announced" and run is not None and run.choices == choices:
            self._follow()
            return
        if self.desk.stage not in ("idle", "announced"):
            self.desk.tell("Accept or discard the present propagation first.", warn=True)
            return
        try:
            stack, collected = read_stack(self.desk.viewer, self.desk.segment, choices)
        except CellpromptError as error:
            self.desk.tell(str(error), warn=True)
            return
        segment = self.desk.segment
        if segment is None:
            return
        target = segment.place.chosen.labels
        self.desk.run = None
        self.desk.enter("asking", "Looking how long it takes ...")
        engine = PropagationRun(segment.place.session, stack, settings)
        limits = limits_of(choices, collected, stack, segment)
        made = segment.place.session.submit(
            lambda model, context: make_seeds(collected), kind="propagation-seeds"
        )

        def seeded(future: Future[tuple[Seed, ...]]) -> None:
            seeds = self.desk.result_of(future)
            if self.desk.stage != "asking":
                return
            if seeds is None:
                self.desk.enter("idle")
                return
            self.desk.run = Run(
                engine, stack, choices, collected, seeds, limits, target, settings
            )
            self.desk.bridge.deliver(engine.estimate(seeds, **limits), self._estimated)

        self.desk.bridge.deliver(made, seeded)

    def _estimated(self, future: Future[Estimate]) -> None:
        run = self.desk.run
        estimate = self.desk.result_of(future)
        if run is None or self.desk.stage != "asking":
            return
        if estimate is None:
            self.desk.run = None
            self.desk.enter("idle")
            return
        if estimate.planes == 0:
            self.desk.run = None
            self.desk.enter(
                "idle",
                "There is no plane to follow the objects to: choose another range. With "
                "'up to here', go to the last plane wanted first.",
            )
            return
        cost = expected(run, estimate, self._measured)
        if cost.much:
            self.desk.enter("announced", estimate_text(run, cost))
        else:
            self._follow()

    def reopen(self, record: ObjectRecord) -> None:
        """Follow an accepted object again, from what the user once said of it.

        Accepting it replaces its own pixels; discarding leaves it as it is.
        """
        if self.desk.stage not in ("idle", "announced"):
            self.desk.tell("Accept or discard the present propagation first.", warn=True)
            return
        try:
            run = reopened(self.desk.viewer, self.desk.segment, record)
        except CellpromptError as error:
            self.desk.tell(str(error), warn=True)
            return
        self.desk.run = run
        self.desk.enter("asking", f"Opening object {record.id} again ...")

        def ready(future: Future[Estimate]) -> None:
            estimate = self.desk.result_of(future)
            if run is not self.desk.run or self.desk.stage != "asking":
                return
            if estimate is None:
                self.desk.run = None
                self.desk.enter("idle")
                return
            say_again(run.engine, record)
            self._follow()
            self.review.said.shown.update(shown_of(record))
            self.review.object_chosen()

        self.desk.bridge.deliver(run.engine.estimate(run.seeds, **run.limits), ready)

    def _follow(self) -> None:
        """Start the run that was estimated."""
        run, segment = self.desk.run, self.desk.segment
        if run is None or segment is None:
            return
        if not self._show(run, segment):
            return
        self.desk.enter("running", "Following ...")
        future = run.engine.start(run.seeds, **run.limits, **self.desk.listeners(run))
        self.desk.bridge.deliver(future, self._finished)
        self.desk.draw(run.engine.outcomes().values())

    def _show(self, run: Run, segment: SegmentController) -> bool:
        """Have the preview, and the prompts for corrections."""
        place = segment.place
        if place.chosen.image != run.stack.image:
            # another image was chosen since; clicks are to correct this one
            place.choose(run.stack.image)
        place.need_points()
        labels = run.target
        self.desk.object_id = run.collected.ids[0]
        look = {} if labels is None else {"colormap": labels.colormap}
        try:
            self.desk.preview.open(
                run.stack, largest_id=max(run.collected.ids) + 2000, opacity=0.6, **look
            )
        except CellpromptError as error:
            self.desk.run = None
            self.desk.enter("idle")
            self.desk.tell(str(error), warn=True)
            return False
        segment.hold()
        put_below(self.desk.viewer, self.desk.preview.layer, segment.place.chosen.prompts)
        self.review.begin(run)
        return True

    # --- while it runs ---------------------------------------------------------------

    def cancel(self) -> None:
        """Stop after the plane in work; what is done stays."""
        if self.desk.stage == "asking":
            self.desk.run = None
            self.desk.enter("idle", READY)
        elif self.desk.run is not None and self.desk.stage == "running":
            self.desk.run.engine.cancel()
            self.desk.tell(f"Stopping after this {self.desk.run.stack.axis.plane_word} ...")

    def resume(self) -> None:
        """Go on where the run was stopped."""
        run = self.desk.run
        if run is None or self.desk.stage != "review":
            return
        self.go_on(run, "Following ...")

    def go_on(self, run: Run, text: str) -> None:
        """Follow all objects of a run to where they are wanted."""
        self.review.pause()
        self.desk.enter("running", text)
        future = run.engine.start((), **run.limits, **self.desk.listeners(run))
        self.desk.bridge.deliver(future, self._finished)

    def _finished(self, future: Future[RunSummary]) -> None:
        summary = self.desk.result_of(future)
        run = self.desk.run
        if run is None or self.desk.stage != "running":
            return
        if summary is None:
            failure = self.desk.status
            self.desk.unfinished = 0
            self.desk.enter("review", failure)
            self.review.ready(divisions=False)
            return
        if summary.done:
            self._measured = summary.seconds / summary.done
        self.desk.unfinished = summary.remaining
        self.desk.enter("review", summary_text(run, summary))
        self.review.ready(divisions=not summary.cancelled)

    def choose(self, object_id: int) -> None:
        """Look at another object."""
        if self.desk.run is not None and object_id != self.desk.object_id:
            self.desk.object_id = object_id
            self.review.object_chosen()
            self.desk.strip_changed.emit()

    # --- the end ---------------------------------------------------------------------

    def accept(self) -> None:
        """Write all planes into the Labels layer, as one step of its undo."""
        run, segment = self.desk.run, self.desk.segment
        if run is None or segment is None or self.desk.stage != "review":
            self.desk.tell("There is no propagation to accept yet.", warn=True)
            return
        try:
            labels = segment.place.target(run.stack.image, run.stack.view)
        except CellpromptError as error:
            self.desk.tell(str(error), warn=True)
            return
        self.review.pause()
        commit = StackCommit(
            segment.place.acceptor,
            labels,
            run.stack,
            run.engine.outcomes(),
            prompts=self.review.said.prompts,
            overlap=segment.place.overlap,
            parents=run.engine.parents,
            trusts=trusts_of(run),
            followed=Followed(run, self.review.said),
            again=run.again,
        )
        self.desk.enter("writing", "Writing the objects ...")

        def done(error: Exception | None) -> None:
            if error is not None:
                self.desk.enter("review", str(error))
                self.review.ready(divisions=False)
                self.desk.warn(str(error))
                return
            segment.place.target_written(labels, commit.labels)
            commit.note(segment.place.steps)
            segment.place.decided.emit(commit.labels, followed(run, commit))
            self._close_run(
                clear=run.collected.planes[0] if run.collected.on_screen else None
            )
            self._written.note(commit.message)
            self.desk.enter("idle", commit.message)

        self._work.start(commit.work(), done)

    def discard(self) -> None:
        """Throw the propagation away; the Labels layer was never touched."""
        if self.desk.stage == "writing":
            self.desk.tell(
                "The objects are being written: undo that afterwards.", warn=True
            )
            return
        if self.desk.run is not None:
            self.desk.run.engine.cancel()
        self._close_run()
        self.desk.enter("idle", READY)

    def _close_run(self, *, clear: int | None = None) -> None:
        held = self.desk.run is not None and self.review.active
        self.review.end(clear=clear)
        self.desk.clear()
        if held and self.desk.segment is not None:
            self.desk.segment.release()
        self.desk.strip_changed.emit()

    def _layer_removed(self, event: Any) -> None:
        run = self.desk.run
        if run is None or event.value != run.stack.image:
            return
        if self.desk.stage in ("asking", "announced"):
            self.desk.stage = "review"
            self.discard()
            self.desk.tell("The image was removed, and its propagation with it.", warn=True)
        else:
            self.desk.tell(
                f"'{run.stack.image.name}' was removed. What was followed is still here: "
                "look through it, then accept or discard.",
                warn=True,
            )

    def close(self) -> None:
        """Let go of everything; what was accepted stays."""
        self.desk.viewer.layers.events.removed.disconnect(self._layer_removed)
        self._work.stop()
        self._put_away()
        self.desk.stage = "idle"
        self.discard()
        self.desk.bridge.close()
        self._written.follow(None)
        self.desk.segment = None
