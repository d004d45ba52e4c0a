"""The choices of the Segment widget: layers, channel, contrast, model, overlaps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.layers import Image, Labels, Points, Shapes
from qtpy.QtWidgets import QFormLayout, QSizePolicy, QWidget

from napari_cellprompt.layers.previews.mask import is_preview
from napari_cellprompt.widgets.segment.canvas.prompt_layers import Chosen

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from napari.components import ViewerModel

__all__ = ["CONTRASTS", "MORE_MODELS", "OPEN_FILE", "OVERLAPS", "SegmentForm", "fill_rows"]

CONTRASTS = ("layer limits", "percentiles")
OVERLAPS = ("keep", "replace", "new layer")
OPEN_FILE = "Open a file ..."
MORE_MODELS = "More models ..."
_RGB = (("red", 0), ("green", 1), ("blue", 2))


class SegmentForm:
    """Typed choosers that follow the layer list.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers can be chosen.
    model, contrast, overlap : str
        What is chosen at first.
    """

    def __init__(
        self, viewer: ViewerModel, *, model: str, contrast: str, overlap: str
    ) -> None:
        self._viewer = viewer
        self._models = [model]
        self.image = self._layer_box("Image", Image, "The image to segment")
        self.channel_axis = ComboBox(
            label="Channel axis", choices=self._axes, tooltip="Axis that holds channels"
        )
        self.channel = ComboBox(
            label="Channel", choices=self._channels, tooltip="What the model looks at"
        )
        self.contrast = ComboBox(
            label="Contrast",
            choices=CONTRASTS,
            value=contrast,
            tooltip="Black and white of the layer, or percentiles over the whole stack",
        )
        self.model = ComboBox(
            label="Model",
            choices=self._model_choices,
            tooltip="Models on this computer; more can be downloaded",
        )
        self.points = self._layer_box("Clicks", Points, "Points layer with the clicks")
        self.boxes = self._layer_box("Boxes", Shapes, "Shapes layer with the boxes")
        self.labels = self._layer_box("Objects", Labels, "Accepted objects go here")
        self.overlap = ComboBox(
            label="Overlaps",
            choices=OVERLAPS,
            value=overlap,
            tooltip="Keep the pixels of earlier objects, replace them, or put an object "
            "that overlaps others into a new layer",
        )
        self.top = QWidget()
        self._rows = fill_rows(
            self.top, self.image, self.channel_axis, self.channel, self.contrast, self.model
        )
        self.more = QWidget()
        fill_rows(self.more, self.points, self.boxes, self.labels, self.overlap)
        self.update_channels()

    @property
    def layer_boxes(self) -> tuple[ComboBox, ...]:
        """The choosers of layers."""
        return self.image, self.points, self.boxes, self.labels

    @property
    def chosen(self) -> Chosen:
        """The chosen layers."""
        return Chosen(*(box.value for box in self.layer_boxes))

    @chosen.setter
    def chosen(self, chosen: Chosen) -> None:
        values = (chosen.image, chosen.points, chosen.boxes, chosen.labels)
        for box, value in zip(self.layer_boxes, values, strict=True):
            with box.changed.blocked():
                box.reset_choices()
                box.value = value

    def update_channels(self, axis: int | None = None, channel: int | None = None) -> None:
        """Offer the axes and channels of the chosen image, and choose among them."""
        for box, value in ((self.channel_axis, axis), (self.channel, channel)):
            with box.changed.blocked():
                box.reset_choices()
                box.value = value
        self._show_channels()

    def channel_axis_changed(self) -> None:
        """Offer the channels of the axis that was chosen; the one on screen counts."""
        with self.channel.changed.blocked():
            self.channel.reset_choices()
            self.channel.value = None
        self._show_channels()

    def list_models(self, names: list[str]) -> None:
        """Offer these models, the one in use, and files that were opened by hand."""
        used = self.model.value
        kept = [name for name in self._models if name == used or Path(name).is_absolute()]
        self._models = [*names, *(name for name in kept if name not in names)]
        self._offer_again()

    def _offer_again(self) -> None:
        with self.model.changed.blocked():
            value = self.model.value
            self.model.reset_choices()
            self.model.value = value

    def choose_model(self, name: str) -> None:
        """Choose a model without telling anyone."""
        if name not in self._models:
            self._models.append(name)
            self._offer_again()
        with self.model.changed.blocked():
            self.model.value = name

    def close(self) -> None:
        """Forget all layers and listeners."""
        for box in (
            *self.layer_boxes,
            self.channel_axis,
            self.channel,
            self.contrast,
            self.model,
            self.overlap,
        ):
            box.changed.disconnect()
        for box in self.layer_boxes:
            box.choices = ()

    def _layers(self, kind: type[Any]) -> list[Any]:
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, kind) and not is_preview(layer)
        ]

    def _layer_box(self, label: str, kind: type[Any], tooltip: str) -> ComboBox:
        def choices(_: Any) -> list[tuple[str, Any]]:
            return [(layer.name, layer) for layer in self._layers(kind)]

        return ComboBox(
            label=label, choices=choices, nullable=True, value=None, tooltip=tooltip
        )

    def _axes(self, _: Any) -> list[tuple[str, int | None]]:
        image = getattr(self, "image", None) and self.image.value
        none: list[tuple[str, int | None]] = [("none", None)]
        if image is None or image.ndim < 3:
            return none
        shape = image.data[0].shape if image.multiscale else image.data.shape
        return none + [(f"{axis} ({shape[axis]})", axis) for axis in range(image.ndim - 2)]

    def _channels(self, _: Any) -> list[tuple[str, int | None]]:
        image = getattr(self, "image", None) and self.image.value
        axis = self.channel_axis.value
        if image is None:
            return [("all", None)]
        if axis is not None:
            shape = image.data[0].shape if image.multiscale else image.data.shape
            numbers: list[tuple[str, int | None]] = [
                (str(number), number) for number in range(shape[axis])
            ]
            return [("on screen", None), *numbers]
        if image.rgb:
            return [("colour", None), *_RGB]
        return [("all", None)]

    def _model_choices(self, _: Any) -> list[str]:
        return [*self._models, MORE_MODELS, OPEN_FILE]

    def _show_channels(self) -> None:
        """Hide what offers no choice."""
        for box in (self.channel_axis, self.channel):
            box.native.setVisible(len(box.choices) > 1)
            label = self._rows.labelForField(box.native)
            if label is not None:
                label.setVisible(len(box.choices) > 1)


def fill_rows(widget: QWidget, *boxes: ValueWidget[Any]) -> QFormLayout:
    """Put labelled choosers below each other, labels in one column."""
    layout = QFormLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for box in boxes:
        # Long names of layers must not widen the dock.
        box.native.setMinimumWidth(80)
        box.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout.addRow(box.label, box.native)
    return layout
