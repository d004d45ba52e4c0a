"""What Everything and Few-shot share: results that are shown, and then written or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_cellprompt.layers.previews.found import FoundPreview
from napari_cellprompt.widgets.segment.controller import NO_IMAGE
from napari_cellprompt.widgets.shared.bridge import ResultBridge
from napari_cellprompt.widgets.shared.latest import Latest
from napari_cellprompt.widgets.shared.slices import SlicedWork
from napari_cellprompt.widgets.shared.written import ToldOfWritten

from .commit import FoundCommit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari.components import ViewerModel

    from napari_cellprompt.session.objects import Source
    from napari_cellprompt.widgets.segment.workplace import Workplace

    from .commit import FoundMask
    from .target import Target

__all__ = ["FoundController"]


class FoundController:
    """Objects found in the background, shown in a preview until they are accepted.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    place : Workplace
        Image, model, and where objects go.
    preview : str
        Name of the layer that shows what was found.
    status : str
        What the user reads first.
    """

    changed = Signal()
    """Status, progress or objects are not what they were."""
    source: Source = "everything"
    """What the ledger of objects says made them."""

    def __init__(
        self, viewer: ViewerModel, place: Workplace, *, preview: str, status: str
    ) -> None:
        self._viewer = viewer
        self._place = place
        self._bridge = ResultBridge()
        self.preview = FoundPreview(viewer, preview)
        self.status = status
        self.progress = (0, 0)
        """Steps done and all steps."""
        self.running = False
        self._drawing = Latest(self._bridge, "cellprompt-found")
        self._writing = SlicedWork(self._bridge)
        self._written = ToldOfWritten(lambda: self.status, self._tell)
        place.chosen_changed.connect(self.changed.emit)
        self._written.follow(place.steps.moved)

    @property
    def image_there(self) -> bool:
        """Whether there is an image to look at."""
        return self._place.chosen.image is not None

    @property
    def message(self) -> str:
        """What the user reads: how things stand, or that an image is missing."""
        there = self.image_there or self.running or self.holding
        return self.status if there else NO_IMAGE

    @property
    def holding(self) -> bool:
        """Whether something was found that can be accepted, its image there or not."""
        raise NotImplementedError

    @property
    def writing(self) -> bool:
        """Whether objects are being written into the Labels layer."""
        return self._writing.busy

    @property
    def settled(self) -> bool:
        """Whether what is shown is all that was asked for."""
        return not (self.running or self._drawing.busy or self._writing.busy)

    def discard(self) -> None:
        """Forget what was found."""
        self._stop()
        self._drawing.forget()
        self._forget()
        self.running = False
        self.progress = (0, 0)
        self.preview.close()
        self.changed.emit()

    def forget(self) -> None:
        """Forget what was found, as the user has asked for, and say so."""
        self.discard()
        self._tell("What was found is forgotten; nothing was written.")

    def close(self, *, leave_layers: bool = False) -> None:
        """No answer arrives after this.

        Parameters
        ----------
        leave_layers : bool
            While the window is being torn down, the layers go with it: to remove one
            then would wake widgets that Qt has deleted.
        """
        self._place.chosen_changed.disconnect(self.changed.emit)
        self._written.follow(None)
        if leave_layers:
            self._stop()
        else:
            self.discard()
        self._writing.stop()
        self._drawing.close()
        self._bridge.close()

    # --- for those that find ----------------------------------------------------------

    def _stop(self) -> object:
        """Tell what runs to stop soon."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Let go of what was found."""
        raise NotImplementedError

    def _write(
        self,
        target: Target,
        found: Iterable[FoundMask],
        largest: int,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Write objects as one step of undo; then forget them, and go on.

        Parameters
        ----------
        target : Target
            Their planes.
        found : iterable of FoundMask
            Unpacked one at a time.
        largest : int
            The highest number among them.
        then : callable, optional
            Called once all are written.
        """
        if not self.settled:
            self._tell("Wait until everything asked for is shown.")
            return
        place, image, view = self._place, target.image, target.view
        # of the image that was looked at, whichever is chosen by now
        if place.overlap == "new layer":
            labels = place.acceptor.new_layer(image, view)
        else:
            labels = place.target(image, view)
        commit = FoundCommit(place, target, labels, found, largest, source=self.source)

        def done(error: Exception | None) -> None:
            if error is not None:
                self._tell(str(error))
                return
            commit.note(self._place.steps)
            self.discard()
            self._written.note(commit.message)
            self._tell(commit.message)
            if then is not None:
                then()

        self._writing.start(commit.work(), done)
        self._tell("Writing the objects ...")

    def _tell(self, text: str) -> None:
        self.status = text
        self.changed.emit()
