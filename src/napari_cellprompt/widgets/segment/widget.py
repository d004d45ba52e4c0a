"""The Segment dock widget: click a cell, see its mask, accept it."""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QWidget

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.zoo import models_changed
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import open_dock
from napari_cellprompt.widgets.shared.keys import KeyBinder, key_table
from napari_cellprompt.widgets.shared.looks import Accent, Section, key_label
from napari_cellprompt.widgets.shared.settings import read_settings

from .controller import SegmentController
from .export import Exporter
from .form import SegmentForm
from .model_choice import ModelChoice
from .panel import ActionPanel
from .peek import Peek
from .prompt_layers import complete, drop_unused, same_size, start_tool
from .sign import SignSwitch

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Layer

__all__ = ["SegmentWidget"]


class SegmentWidget(QWidget):
    """Interactive segmentation of one image layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in.
    session : SegmentSession, optional
        Runs the model; one of its own when left out.
    """

    closed = Signal()
    """The widget lets go of its layers and of its model."""

    def __init__(
        self, viewer: napari.viewer.Viewer, *, session: SegmentSession | None = None
    ) -> None:
        super().__init__()
        settings = read_settings()
        self._viewer = viewer
        self._made: list[Layer] = []
        self._busy = self._closed = False
        self._session = session or SegmentSession(
            cache_bytes=settings.cache_bytes, disk_bytes=settings.disk_bytes
        )
        # Children.
        self.form = SegmentForm(
            viewer,
            model=settings.model,
            contrast=settings.contrast,
            overlap=settings.overlap,
        )
        self.controller = SegmentController(
            viewer,
            self._session,
            warn=show_warning,
            percentiles=settings.percentiles,
        )
        self.models = ModelChoice(
            self.form,
            self.controller,
            settings.device,
            parent=self,
            more=self._show_models,
        )
        self.sign = SignSwitch()
        self._peek = Peek(viewer, lambda: self.form.chosen.prompts)
        self.exporter = Exporter(self.controller.bridge, self.controller.tell)
        self.keys = KeyBinder(
            {
                "accept": self.accept,
                "discard": self.discard,
                "toggle_sign": self.toggle_sign,
                "next_candidate": self.controller.next_candidate,
                "toggle_tool": self.toggle_tool,
                "outline": self.controller.toggle_outline,
                "peek": self._peek.hold,
                "undo": self.controller.undo,
                "redo": self.controller.redo,
            }
        )
        self.panel = ActionPanel(
            {
                "click": self.start,
                "box": self.start_boxes,
                "sign": self.toggle_sign,
                "outline": self.controller.toggle_outline,
                "next": self.controller.next_candidate,
                "accept": self.accept,
                "discard": self.discard,
                "undo": self.controller.undo,
                "redo": self.controller.redo,
                "view": self.controller.show_model_view,
                "propagate": self.propagate,
                "export": self.export,
            }
        )
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        # Layout, state, connections.
        self._accent = Accent(viewer, self.panel.buttons["accept"])
        layout = Body(self).rows
        layout.addWidget(self.form.top)
        layout.addWidget(self.panel)
        layout.addWidget(Section("Layers and overlaps", self.form.more))
        layout.addWidget(Section("Mouse and keys", key_label(key_table()), expanded=True))
        layout.addStretch()
        self.controller.contrast.by_percentiles = settings.contrast == "percentiles"
        self.controller.overlap = self.form.overlap.value
        self._connect()
        self.models.load(settings.model)
        self.models.look_on_disk(self._session)
        self.form.update_layers()
        self._image_picked()

    def look_for_models(self) -> None:
        """Offer models that came to this computer in the meantime."""
        self.models.look_on_disk(self._session)

    # --- actions -------------------------------------------------------------------

    def accept(self) -> None:
        """Write the object on screen and get ready for the next."""
        if self.form.labels.value is None:
            self._use_layers(make=True)
        self.controller.accept()
        self.sign.reset()
        self._show()

    def discard(self) -> None:
        """Delete the prompts of the object that is not accepted yet."""
        self.controller.discard()
        self.sign.reset()
        self._show()

    def toggle_sign(self) -> None:
        """Let the next clicks mark the background, or the object again."""
        self.sign.toggle()
        self._show()

    def toggle_tool(self) -> None:
        """Change between clicking and drawing boxes."""
        boxes = self.form.boxes.value
        active = self._viewer.layers.selection.active
        if boxes is None or active != boxes:
            self.start_boxes()
        else:
            self.start()

    def start(self) -> None:
        """Make the layers that are missing, and be ready for a click on an object."""
        self._use_layers(make=True)
        start_tool(self._viewer, self.form.chosen, box=False)

    def start_boxes(self) -> None:
        """Make the layers that are missing, and be ready for a box to be drawn."""
        self._use_layers(make=True)
        start_tool(self._viewer, self.form.chosen, box=True)

    def export(self) -> None:
        """Save the objects as a label TIFF."""
        labels = self.form.labels.value
        if labels is None:
            self.controller.tell("There is no Labels layer to export.", True)
        else:
            self.exporter.ask(self, labels, self.form.image.value)

    def _show_models(self) -> None:
        open_dock(self._viewer, "Models")

    def propagate(self) -> None:
        """Open the widget that follows objects through the stack."""
        open_dock(self._viewer, "Propagate")

    # --- life ----------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """End the session when napari takes the widget out of its dock."""
        if event is None:
            return False
        taken_out = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if taken_out and not self._closed:
            self.shut_down()
        return bool(super().event(event))

    def shut_down(self, *, remove_layers: bool = True) -> None:
        """Let go of viewer, layers and model; what was accepted stays."""
        if self._closed:
            return
        self._closed = True
        self.closed.emit()
        self._disconnect()
        self.controller.close(remove_layers=remove_layers)
        if remove_layers:
            self._later.stop()
            self.form.close()
            drop_unused(self._viewer, self._made)
        self._made.clear()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.connect(self._layers_changed)
        self._viewer.layers.selection.events.active.connect(self._show)
        form = self.form
        form.image.changed.connect(self._image_picked)
        for box in (form.points, form.boxes, form.labels):
            box.changed.connect(self._layer_picked)
        form.channel_axis.changed.connect(self._channel_axis_picked)
        for box in (form.channel, form.contrast, form.overlap):
            box.changed.connect(self._option_picked)
        form.model.changed.connect(self.models.pick)
        self.controller.changed.connect(self._show)
        self.controller.target_changed.connect(self._target_changed)
        self._later.timeout.connect(self._image_picked)
        models_changed.connect(self.look_for_models)
        self.destroyed.connect(partial(_destroyed, weakref.ref(self)))

    def _disconnect(self) -> None:
        models_changed.disconnect(self.look_for_models)
        self.controller.target_changed.disconnect(self._target_changed)
        self.controller.changed.disconnect(self._show)
        self._viewer.layers.selection.events.active.disconnect(self._show)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.disconnect(self._layers_changed)
        self.keys.unbind()
        self._peek.show()
        self._accent.close()
        self.sign.detach()
        self.exporter.close()

    # --- from controls and layers to the controller ----------------------------------

    def _layers_changed(self, event: Any = None) -> None:
        """Follow the layer list; get ready when there is an image for the first time."""
        if self._busy:
            return
        before = self.form.image.value
        self.form.update_layers()
        image = self.form.image.value
        self._use_layers()
        if image is not None and image != before:
            # napari makes a new layer the active one after it has announced it.
            self._later.start()

    def _image_picked(self, _: Any = None) -> None:
        self.form.update_channels()
        self.controller.channel_axis = self.controller.channel = None
        chosen = self.form.chosen
        if chosen.image is None:
            self._use_layers()
            return
        if chosen.labels is not None:
            view = plane_of(self._viewer, chosen.image)
            if not same_size(chosen.labels, chosen.image, view):
                self.form.chosen = replace(chosen, labels=None)
        self.sign.reset()
        self.start()

    def _layer_picked(self, _: Any = None) -> None:
        self._use_layers()

    def _channel_axis_picked(self, _: Any = None) -> None:
        self.form.channel_axis_changed()
        self._option_picked()

    def _option_picked(self, _: Any = None) -> None:
        controller, form = self.controller, self.form
        controller.channel_axis = form.channel_axis.value
        controller.channel = form.channel.value
        controller.contrast.by_percentiles = form.contrast.value == "percentiles"
        controller.overlap = form.overlap.value
        controller.options_changed()

    def _target_changed(self, labels: Any) -> None:
        self.form.chosen = replace(self.form.chosen, labels=labels)

    def _use_layers(self, *, make: bool = False) -> None:
        """Hand the chosen layers on, after making the missing ones if asked to."""
        chosen = self.form.chosen
        if make and chosen.image is not None:
            self._busy = True
            try:
                chosen = complete(
                    self._viewer, chosen, self._made, self.form.channel_axis.value
                )
            except CellpromptError as error:
                self.controller.tell(str(error), True)
            finally:
                self._busy = False
            self.form.chosen = chosen
        self.sign.attach(chosen.points)
        self.keys.bind(self._viewer, chosen.prompts)
        self.controller.set_layers(chosen)
        self._show()

    def _show(self, event: Any = None) -> None:
        """Bring buttons and texts up to date."""
        active = self._viewer.layers.selection.active
        chosen, controller = self.form.chosen, self.controller
        self.panel.show_state(
            controller,
            clicking=active is not None and active == chosen.points,
            boxing=active is not None and active == chosen.boxes,
            positive=self.sign.positive,
        )


def _destroyed(reference: weakref.ref[SegmentWidget], _: Any = None) -> None:
    """End the session of a widget whose window was closed."""
    widget = reference()
    if widget is not None:
        widget.shut_down(remove_layers=False)
