"""What a correction changes on other planes: found, shown, then used or dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import ChangesOverlay

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from napari_cellprompt.session.propagate import Changes
    from napari_cellprompt.widgets.propagate.desk import Desk
    from napari_cellprompt.widgets.propagate.run import Run
    from napari_cellprompt.widgets.shared.slices import SlicedWork

    from .undo import ReviewSteps, Said

__all__ = ["Consequences"]

# After the last click of a correction, other planes are tracked again.
_PAUSE = 600


class Consequences:
    """Tracks planes again after corrections, and asks before it replaces any.

    Parameters
    ----------
    desk : Desk
        Holds the run that is looked through.
    said : Said
        What the user said; ``corrected`` is cleared once it has been decided about.
    steps : ReviewSteps
        Where decisions are noted.
    work : SlicedWork
        Draws in slices of time; whoever starts to draw stops what is being drawn.
    used : callable
        Called after the changes were taken over.
    """

    def __init__(
        self,
        desk: Desk,
        said: Said,
        steps: ReviewSteps,
        *,
        work: SlicedWork,
        used: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._said = said
        self._steps = steps
        self._used = used
        self.overlay = ChangesOverlay(desk.viewer)
        self.tracking = False
        self._again = False
        """Whether a correction came while tracking, which has to start anew."""
        self._void = False
        """Whether what is being tracked again is not wanted any more."""
        self._later = desk.timer(_PAUSE, self.find)
        self._work = work

    @property
    def waiting(self) -> bool:
        """Whether planes are to be tracked again once no correction comes for a while."""
        return bool(self._later.isActive())

    def find_soon(self) -> None:
        """Track again once no correction has come for a while."""
        self._later.start()

    def pause(self) -> None:
        """Start nothing new by itself."""
        self._later.stop()

    def end(self) -> None:
        """Forget everything."""
        self.pause()
        self.overlay.close()
        self.tracking = self._again = self._void = False

    def drop_pending(self) -> None:
        """Changes that were not decided about are found again from the new state."""
        run = self._desk.run
        if run is not None and self._desk.stage == "changes":
            self.overlay.close()
            run.engine.discard_changes()
            self._desk.enter("review")
        elif run is not None and self.tracking:
            self._again = True
            run.engine.cancel()

    def find(self) -> None:
        """Track the planes again that corrections have made obsolete."""
        desk, run = self._desk, self._desk.run
        if run is None or not self._said.corrected:
            return
        if desk.stage != "review":
            self._again = self._again or self.tracking
            return
        self.tracking, self._again = True, False
        desk.enter("running", "Following again from the correction ...")
        listener = desk.listeners(run)["on_progress"]
        future = run.engine.repropagate(tuple(self._said.corrected), on_progress=listener)
        desk.bridge.deliver(future, lambda done: self._tracked(run, done))

    def _tracked(self, run: Run, future: Future[Changes]) -> None:
        desk = self._desk
        if run is not desk.run:
            return
        changes = desk.result_of(future)
        self.tracking = False
        if self._void:
            self._void = False
            desk.enter("review")
            if self._again:
                self.find()
            return
        if changes is None:
            desk.enter("review")
            return
        desk.unfinished = changes.summary.remaining
        if self._again:
            run.engine.discard_changes()
            desk.enter("review")
            self.find()
            return
        if not changes.planes:
            run.engine.accept_changes()
            self._said.corrected.clear()
            self._steps.decided()
            desk.enter("review", "No other plane has changed.")
            desk.strip_changed.emit()
            return

        def drawn(error: Exception | None) -> None:
            if error is not None:
                desk.tell(str(error), warn=True)
            count, word = len(changes.planes), run.stack.axis.plane_word
            desk.enter(
                "changes",
                f"{count} {word}{'s' * (count > 1)} would change: blue is added, orange "
                "removed. Use these changes, or keep what was there?",
            )

        self._work.start(self.overlay.show(run.stack, changes.planes), drawn)

    def use(self) -> None:
        """Replace the planes that tracking again has changed."""
        desk, run = self._desk, self._desk.run
        if run is None or desk.stage != "changes":
            return
        moment = self._steps.moment(run.engine.accept_changes())
        self._said.corrected.clear()
        self._steps.note("The use of the changes", moment)
        planes = [change for change, _, _ in self.overlay.planes]
        self.overlay.close()

        def draw() -> Generator[None, None, None]:
            for change in planes:
                mask = None if change.after is None else change.after.mask
                desk.preview.draw(change.plane, change.id, mask)
                yield

        def drawn(error: Exception | None) -> None:
            desk.preview.refresh()
            desk.strip_changed.emit()
            self._used()

        what = "1 plane was" if len(planes) == 1 else f"{len(planes)} planes were"
        desk.enter("review", f"{what} replaced.")
        self._work.start(draw(), drawn)

    def drop(self) -> None:
        """Keep all planes as they were, the corrected ones too."""
        if self._desk.run is not None and self._desk.stage == "changes":
            self._steps.take_back()
            self.leave()
            self._desk.tell("All planes are as they were before the correction.")

    def only_here(self) -> None:
        """Keep the corrected planes, and all other planes as they were."""
        desk, run = self._desk, self._desk.run
        if run is None or desk.stage != "changes":
            return
        self.overlay.close()
        self._said.corrected.clear()
        self._steps.decided()
        desk.enter("review", "The other planes stay as they were.")
        desk.bridge.deliver(
            run.engine.discard_changes(), lambda done: desk.strip_changed.emit()
        )

    def leave(self) -> None:
        """Give up what is tracked or asked, since another moment is gone to."""
        self.pause()
        self.overlay.close()
        if self.tracking and self._desk.run is not None:
            self._void, self._again = True, False
            self._desk.run.engine.cancel()
        elif self._desk.stage == "changes":
            self._desk.enter("review")
