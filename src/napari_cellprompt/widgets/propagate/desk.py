"""What a propagation works with: the run, its stage, its preview, and words about it.

Everything here runs on the GUI thread; what the engine tells arrives through the bridge.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.previews.stack import StackLabels
from napari_cellprompt.layers.stacks import show_plane
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint

from .run import progress_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.components import ViewerModel

    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.session.propagate import Progress
    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .run import Run

__all__ = ["PREVIEW_NAME", "READY", "Desk", "Stage"]

PREVIEW_NAME = "Propagation"
READY = "Choose what to follow, then press Propagate."
_STRIP_PAUSE = 150
_REDRAW_3D = 1000

Stage = Literal["idle", "asking", "announced", "running", "review", "changes", "writing"]


class Desk:
    """The state of one propagation, for those who run, correct and divide it.

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
    preview_returned = Signal()
    """The preview layer was deleted by the user and is a new one now."""

    def __init__(self, viewer: ViewerModel, *, warn: Callable[[str], None]) -> None:
        self.viewer = viewer
        self.warn = warn
        self.segment: SegmentController | None = None
        self.stage: Stage = "idle"
        self.status = READY
        self.progress: tuple[int, int] | None = None
        """Planes done and planes in all, while something runs."""
        self.unfinished = 0
        """Planes of objects that a resumed run would still track."""
        self.run: Run | None = None
        self.object_id: int | None = None
        """The object that is looked at and corrected."""
        self.bridge = ResultBridge()
        self.preview = StackLabels(viewer, PREVIEW_NAME)
        self._strip_timer = self.timer(_STRIP_PAUSE, self.strip_changed.emit)
        self._redraw_timer = self.timer(_REDRAW_3D, self.preview.refresh)

    def timer(self, milliseconds: int, callback: Callable[[], Any]) -> QTimer:
        """A single-shot timer that ends with the desk."""
        timer = QTimer(self.bridge)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(callback)
        return timer

    # --- words -----------------------------------------------------------------------

    def tell(self, text: str, warn: bool = False) -> None:
        """Show a message; one that must not be missed is also a notification."""
        self.status = text
        if warn:
            self.warn(text)
        self.changed.emit()

    def enter(self, stage: Stage, text: str | None = None) -> None:
        """Change the stage, and the status with it."""
        self.stage = stage
        if stage != "running":
            self.progress = None
        self.tell(self.status if text is None else text)

    def result_of(self, future: Future[Any]) -> Any:
        """The result, or None after telling the user what went wrong."""
        message = complaint(future)
        if message is None:
            return future.result()
        if message:
            self.tell(message, warn=True)
        return None

    # --- what the engine tells -------------------------------------------------------

    def listeners(self, run: Run) -> dict[str, Any]:
        """Callbacks for the engine, which calls them on its own thread."""
        bridge = self.bridge

        def on_plane(plane: int, outcomes: tuple[PlaneOutcome, ...]) -> None:
            bridge.post(lambda found: self._arrived(run, found), outcomes)

        def on_progress(progress: Progress) -> None:
            bridge.post(lambda found: self._advanced(run, found), progress)

        return {"on_plane": on_plane, "on_progress": on_progress}

    def _arrived(self, run: Run, outcomes: tuple[PlaneOutcome, ...]) -> None:
        if run is self.run:
            self.draw(outcomes)

    def _advanced(self, run: Run, progress: Progress) -> None:
        if run is not self.run or self.stage != "running":
            return
        self.progress = progress.done, progress.total
        self.tell(progress_text(run, progress))

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
        self.preview_returned.emit()
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

    def clear(self) -> None:
        """Forget the run, and take its preview away."""
        self._strip_timer.stop()
        self._redraw_timer.stop()
        self.preview.close()
        self.run = self.object_id = None
        self.unfinished = 0
