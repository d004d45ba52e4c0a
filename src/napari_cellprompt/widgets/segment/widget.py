"""The Segment dock widget: click a cell, see its mask, accept it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.session.choices import model_at_start, read_choices, remember
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.zoo import models_changed
from napari_cellprompt.widgets.segment.canvas.peek import Peek
from napari_cellprompt.widgets.segment.canvas.prompt_layers import drop_unused, start_tool
from napari_cellprompt.widgets.segment.canvas.sign import SignSwitch
from napari_cellprompt.widgets.segment.channels.panel import ChannelPanel
from napari_cellprompt.widgets.segment.choices.calibration import CalibrationNote
from napari_cellprompt.widgets.segment.choices.copying import CopyNote
from napari_cellprompt.widgets.segment.choices.form import SegmentForm
from napari_cellprompt.widgets.segment.choices.image import ImageFollower
from napari_cellprompt.widgets.segment.choices.model import ModelChoice
from napari_cellprompt.widgets.segment.choices.official import OfficialModels
from napari_cellprompt.widgets.shared.ahead import when_imported
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import (
    has_left_dock,
    open_dock,
    shut_down_with_window,
)
from napari_cellprompt.widgets.shared.keys import KeyBinder, key_table
from napari_cellprompt.widgets.shared.looks import Accent, Section, key_label
from napari_cellprompt.widgets.shared.questions import agrees
from napari_cellprompt.widgets.shared.settings import read_settings

from .adapting import AdaptOffer
from .controller import SegmentController
from .export import Exporter
from .filling.filling import Filling
from .keeping.keeper import SessionKeeper
from .keeping.offer import OfferBar
from .panel import ActionPanel
from .refining.panel import RefinePanel
from .workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from qtpy.QtCore import QEvent

__all__ = ["SegmentWidget"]


class SegmentWidget(QWidget):
    """Interactive segmentation of one image layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in.
    session : SegmentSession, optional
        Runs the model; one of its own when left out.
    ask : callable, optional
        ``ask(parent, question)`` is True when the user agrees; a dialog when left out.
    """

    closed = Signal()
    """The widget lets go of its layers and of its model."""

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        *,
        session: SegmentSession | None = None,
        ask: Callable[[QWidget, str], bool] = agrees,
    ) -> None:
        super().__init__()
        settings, choices = read_settings(), read_choices()
        name = model_at_start(settings.model, choices.model)
        self._viewer = viewer = plain(viewer)
        self._closed = False
        self._session = session or SegmentSession(
            cache_bytes=settings.cache_bytes, disk_bytes=settings.disk_bytes
        )
        self.place = Workplace(viewer, self._session, ask=partial(ask, self))
        """Image, layers and options, for the other widgets too."""
        self.place.one_per_point = choices.one_per_point
        # Children.
        self.form = SegmentForm(
            viewer,
            model=name,
            contrast=settings.contrast,
            overlap=settings.overlap,
        )
        self.controller = SegmentController(
            self.place, warn=show_warning, percentiles=settings.percentiles
        )
        self.follower = ImageFollower(
            self.place,
            self.form,
            parent=self,
            held=lambda: self.controller.held,
            taken=self._image_taken,
        )
        self.models = ModelChoice(
            self.form,
            self.controller,
            settings.device,
            parent=self,
            more=self._show_models,
        )
        self.calibration = CalibrationNote(self.place, self.controller.bridge)
        self.copying = CopyNote(self.place, self.controller.bridge, self.controller.tell)
        self._offer = AdaptOffer(self.controller)
        self.sign = SignSwitch(self._box_tapped)
        self.keeper = SessionKeeper(
            self.controller,
            settings=self._choices,
            restore=self._choose,
            parent=self,
            beside=settings.beside,
        )
        self.official = OfficialModels(self._download, self._show_models)
        self.offer = OfferBar(self.keeper.go_on, self.keeper.start_anew)
        self._peek = Peek(viewer, lambda: self.place.chosen.prompts)
        self.exporter = Exporter(
            self.controller.bridge, self.controller.tell, self.keeper.exported
        )
        self.filling = Filling(self.controller)
        self.refining = RefinePanel(viewer, self.controller)
        self.channels = ChannelPanel(self.place, percentiles=settings.percentiles)
        self._channels = Section("Channels", self.channels)
        self.keys = KeyBinder(
            {
                "accept": self.accept,
                "discard": self.discard,
                "toggle_sign": self.toggle_sign,
                "one_per_point": self.toggle_one_per_point,
                "next_candidate": self.controller.next_candidate,
                "toggle_tool": self.toggle_tool,
                "outline": self.controller.toggle_outline,
                "peek": self._peek.hold,
                "fill": self.filling.start,
                "undo": self.undo,
                "redo": self.controller.redo,
            }
        )
        self.panel = ActionPanel(
            {
                "click": self.start,
                "box": self.start_boxes,
                "sign": self.toggle_sign,
                "each": self.toggle_one_per_point,
                "outline": self.controller.toggle_outline,
                "next": self.controller.next_candidate,
                "accept": self.accept,
                "discard": self.discard,
                "undo": self.undo,
                "redo": self.controller.redo,
                "fill": self.filling.start,
                "view": self.controller.show_model_view,
                "propagate": self.propagate,
                "adapt": self.adapt,
                "export": self.export,
            }
        )
        # Layout, state, connections.
        self._accent = Accent(viewer, self.panel.buttons["accept"])
        layout = Body(self).rows
        layout.addWidget(self.offer)
        layout.addWidget(self.form.top)
        layout.addWidget(self._channels)
        layout.addWidget(self.official)
        layout.addWidget(self.calibration)
        layout.addWidget(self.copying)
        layout.addWidget(self.panel)
        layout.addWidget(Section("Refine labels", self.refining))
        layout.addWidget(Section("Layers and overlaps", self.form.more))
        layout.addWidget(Section("Mouse and keys", key_label(key_table()), expanded=True))
        layout.addStretch()
        self.controller.contrast.by_percentiles = settings.contrast == "percentiles"
        self.place.overlap = self.form.overlap.value
        self._connect()
        self.models.load(name)
        self.models.look_on_disk(self._session)
        self.follower.look()
        self.follower.show()
        self.keeper.attach(self.offer)
        self.official.look()

    def look_for_models(self) -> None:
        """Offer models that came to this computer in the meantime."""
        self.models.look_on_disk(self._session)

    # --- actions -------------------------------------------------------------------

    def accept(self) -> None:
        """Write the object on screen and get ready for the next."""
        if self.filling.active:
            self.filling.accept()
            return
        self.controller.accept()
        self._offer.look()
        self.sign.reset()
        self._show()

    def discard(self) -> None:
        """Delete the prompts of the object that is not accepted yet."""
        if self.filling.active:
            self.filling.discard()
            return
        self.controller.discard()
        self.sign.reset()
        self._show()

    def undo(self) -> None:
        """Take back what was done last, be it shown only."""
        if self.filling.active:
            self.filling.discard()
        else:
            self.controller.undo()

    def toggle_sign(self) -> None:
        """Let the next clicks mark the background, or the object again."""
        self.sign.toggle()
        self._show()

    def _box_tapped(self) -> None:
        self.controller.refresh()
        self.controller.tell("Drag to draw a box, or press G and click.")

    def toggle_one_per_point(self) -> None:
        """Let each click on an object mean one of its own, or all of them one together."""
        self.place.one_per_point = not self.place.one_per_point
        remember(one_per_point=self.place.one_per_point)
        self.controller.refresh()
        self._show()

    def toggle_tool(self) -> None:
        """Change between clicking and drawing boxes."""
        boxes = self.place.chosen.boxes
        active = self._viewer.layers.selection.active
        if boxes is None or active != boxes:
            self.start_boxes()
        else:
            self.start()

    def start(self) -> None:
        """Be ready for a click on an object."""
        self.place.need_points()
        self.place.raise_prompts()
        start_tool(self._viewer, self.place.chosen, box=False)

    def start_boxes(self) -> None:
        """Be ready for a box to be drawn."""
        self.place.need_boxes()
        self.place.raise_prompts()
        start_tool(self._viewer, self.place.chosen, box=True)

    def export(self) -> None:
        """Save the objects in a format that is asked for."""
        labels = self.place.chosen.labels
        if labels is None:
            self.controller.tell("There is no Labels layer to export.", True)
        else:
            self.exporter.ask(
                self,
                labels,
                self.place.chosen.image,
                self.place.acceptor.store(labels),
                channel_axis=self.place.channel_axis,
            )

    def _show_models(self) -> None:
        open_dock(self._viewer, "Models")

    def adapt(self) -> None:
        """Open the widget that trains a copy of the model on what was accepted."""
        self._offer.taken()
        open_dock(self._viewer, "Adapt")
        self._show()

    def _download(self, name: str) -> None:
        open_dock(self._viewer, "Models").download(name)

    def propagate(self) -> None:
        """Open the widget that follows objects through the stack."""
        open_dock(self._viewer, "Propagate").suggest()

    # --- life ----------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """End the session when napari takes the widget out of its dock."""
        if has_left_dock(self, event):
            self.shut_down()
        return event is not None and bool(super().event(event))

    def shut_down(self, *, remove_layers: bool = True) -> None:
        """Let go of viewer, layers and model; what was accepted stays."""
        if self._closed:
            return
        self._closed = True
        self.keeper.close()
        self.closed.emit()
        self._disconnect()
        self.filling.close()
        self.refining.close_down()
        self.channels.close_down()
        self.controller.close(remove_layers=remove_layers)
        if remove_layers:
            self.form.close()
            drop_unused(self._viewer, self.place.made)
        self.place.close()

    def _connect(self) -> None:
        self._viewer.layers.selection.events.active.connect(self._show)
        form = self.form
        form.channel_axis.changed.connect(self._channel_axis_picked)
        for box in (form.channel, form.contrast, form.overlap):
            box.changed.connect(self._option_picked)
        form.model.changed.connect(self.models.pick)
        self.place.chosen_changed.connect(self._use_layers)
        self.channels.changed.connect(self._channels_chosen)
        self.controller.changed.connect(self._show)
        self.filling.changed.connect(self._show)
        self.controller.released.connect(self.follower.look_soon)
        models_changed.connect(self.look_for_models)
        shut_down_with_window(self, remove_layers=False)

    def _disconnect(self) -> None:
        models_changed.disconnect(self.look_for_models)
        self.follower.close()
        self.calibration.close_down()
        self.copying.close_down()
        self.official.close_down()
        self.place.chosen_changed.disconnect(self._use_layers)
        self.controller.changed.disconnect(self._show)
        self.filling.changed.disconnect(self._show)
        self._viewer.layers.selection.events.active.disconnect(self._show)
        self.keys.unbind()
        self._peek.show()
        self._accent.close()
        self.sign.detach()
        self.exporter.close()

    # --- from controls and layers to the controller ----------------------------------

    def _image_taken(self, free: bool) -> None:
        """Get ready for another image; ``free`` hands do not lose their tool."""
        self.sign.reset()
        if free:
            # the first Points layer of a session would hold the window for that
            when_imported("pandas", self.controller.bridge, self._be_ready)

    def _be_ready(self) -> None:
        if self.place.chosen.image is not None:
            self.start()

    def _channel_axis_picked(self, _: Any = None) -> None:
        self.form.channel_axis_changed()
        self.place.composition = ()
        self._option_picked()
        self.channels.look()

    def _channels_chosen(self) -> None:
        """Show the model other channels than before."""
        self.controller.follow()
        self._show()

    def _option_picked(self, _: Any = None) -> None:
        place, form = self.place, self.form
        place.channel_axis = form.channel_axis.value
        place.chosen_channel = form.channel.value
        place.overlap = form.overlap.value
        self.controller.contrast.by_percentiles = form.contrast.value == "percentiles"
        self.controller.follow()

    def _choices(self) -> dict[str, Any]:
        """What is chosen, for the session."""
        form = self.form
        return {
            "model": form.model.value,
            "overlap": form.overlap.value,
            "contrast": form.contrast.value,
            **self.chosen_channels(),
        }

    def chosen_channels(self) -> dict[str, Any]:
        """Which channels the model sees, for the session and for the next image."""
        form = self.form
        return {
            "channel_axis": form.channel_axis.value,
            "channel": form.channel.value,
            "channels": self.channels.written(),
        }

    def choose_channels(self, choices: dict[str, Any]) -> None:
        """Choose what :meth:`chosen_channels` gave, as far as the image has it."""
        for name in ("channel_axis", "channel"):
            box = getattr(self.form, name)
            if name in choices and choices[name] in box.choices:
                box.value = choices[name]
        if choices.get("channels"):
            self.channels.restore(choices["channels"])

    def _choose(self, choices: dict[str, Any]) -> None:
        """Choose what was chosen in a session; what there is no more is left as it is."""
        for name in ("overlap", "contrast"):
            box = getattr(self.form, name)
            if name in choices and choices[name] in box.choices:
                box.value = choices[name]
        self.choose_channels(choices)
        model = str(choices.get("model", ""))
        if model in self.form.model.choices and model != self.form.model.value:
            self.models.load(model)
        if self.place.unfinished is not None:
            self.propagate()
            self.place.go_on()

    def _use_layers(self) -> None:
        """Hand the chosen layers on."""
        chosen = self.place.chosen
        if (chosen.points, chosen.boxes) != self.sign.layers:
            self.sign.attach(chosen.points, chosen.boxes)
        keyed = list(chosen.prompts)
        if chosen.labels is not None and chosen.labels.multiscale:
            keyed.append(chosen.labels)
        if self.keys.targets != [self._viewer, *keyed]:
            self.keys.bind(self._viewer, keyed)
        self._show()

    def _show(self, event: Any = None) -> None:
        """Bring buttons and texts up to date."""
        active = self._viewer.layers.selection.active
        chosen = self.place.chosen
        self._channels.rename(self.channels.title)
        for box in (self.form.channel, self.form.contrast):
            box.enabled = not self.place.composition
        self.panel.show_state(
            self.controller,
            clicking=active is not None and active == chosen.points,
            boxing=active is not None and active == chosen.boxes,
            positive=self.sign.positive,
            filling=self.filling.active,
            one_per_point=self.place.one_per_point,
            note=self._offer.note,
        )
