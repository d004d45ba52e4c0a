"""Which model runs: the bundled one, others on this computer, or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QWidget

from .form import MORE_MODELS, OPEN_FILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari_cellprompt.session.segment import SegmentSession
    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .form import SegmentForm

__all__ = ["ModelChoice"]


class ModelChoice:
    """Fills the chooser of models and loads what is picked.

    Parameters
    ----------
    form : SegmentForm
        Holds the chooser.
    controller : SegmentController
        Loads models.
    device : str
        Where they run.
    parent : QWidget
        Parent of the file dialog.
    more : callable
        Shows which models there are to download.
    """

    def __init__(
        self,
        form: SegmentForm,
        controller: SegmentController,
        device: str,
        *,
        parent: QWidget,
        more: Callable[[], None],
    ) -> None:
        self._form = form
        self._controller = controller
        self._device = device
        self._parent = parent
        self._more = more
        self._name = ""

    @property
    def name(self) -> str:
        """The model that was loaded last, or its file."""
        return self._name

    def load(self, name: str) -> None:
        """Load a model by name or path."""
        self._name = name
        self._form.choose_model(name)
        self._controller.load_model(name, self._device)

    def pick(self, name: str) -> None:
        """Load what was chosen in the form; a dialog asks for a file when that was it."""
        if name == MORE_MODELS:
            self._form.choose_model(self._name)
            self._more()
            return
        if name == OPEN_FILE:
            name, _ = QFileDialog.getOpenFileName(
                self._parent, "Open weights", "", "Weights (*.safetensors *.pt *.pth)"
            )
        if name:
            self.load(name)
        else:
            self._form.choose_model(self._name)

    def look_on_disk(self, session: SegmentSession) -> None:
        """Offer the models that are on this computer, once they are known."""
        self._controller.bridge.deliver(session.models_on_disk(), self._found)

    def _found(self, future: Future[list[str]]) -> None:
        # Without the list there is still the bundled model, and the file dialog.
        if not future.cancelled() and future.exception() is None:
            self._form.list_models(future.result())
