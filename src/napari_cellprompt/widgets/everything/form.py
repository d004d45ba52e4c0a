"""The choices of the Everything widget: how to look, and what to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox, FloatSlider, SpinBox
from napari.layers import Shapes
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_cellprompt.widgets.segment.choices.form import fill_rows

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_cellprompt.core.masks.found import FilterSettings

__all__ = ["EverythingForm"]

_MODES = (("cells, at their size", "auto"), ("grid on the whole plane", "grid"))
_PLANES = (("this plane", "one"), ("all planes, linked", "all"))
_NO_LIMIT = 10_000_000


class EverythingForm:
    """The controls, without what they lead to.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose Shapes layers can be the region.
    """

    filters_changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.mode = ComboBox(
            label="Look for",
            choices=_MODES,
            tooltip="Cells in tiles that fit their size; or SAM's automatic mask "
            "generator, which squeezes the whole plane into the model's input",
        )
        self.planes = ComboBox(
            label="On",
            choices=_PLANES,
            tooltip="Objects that overlap from plane to plane get one id",
        )
        self.region = ComboBox(
            label="Inside",
            choices=self._regions,
            nullable=True,
            tooltip="A Shapes layer: only inside the bounding box of its last shape here",
        )
        self.size = SpinBox(
            label="Cell size",
            value=0,
            min=0,
            max=10_000,
            tooltip="Longer side in pixels; 0 finds it from the image",
        )
        self.min_area = _pixels("Smallest area", 0, "Pixels; smaller objects are left out")
        self.max_area = _pixels(
            "Largest area", _NO_LIMIT, "Pixels; larger objects are left out"
        )
        self.score = _share("Predicted IoU", "The model's own rating, at least")
        self.stability = _share(
            "Stability", "How little the outline depends on its threshold, at least"
        )
        self.consensus = _share(
            "Agreement", "Share of the clicks in an object that gave this object, at least"
        )
        self.overlap = _share(
            "Overlap",
            "Of two objects that share more of the smaller one, the worse is left out",
            0.4,
        )
        self.clean = _pixels(
            "Holes, islands", 0, "Pixels; smaller ones are filled, dropped"
        )
        self.border = CheckBox(text="Drop what the border cuts", value=False, label="")
        self.top, self.filters = QWidget(), QWidget()
        fill_rows(self.top, self.mode, self.planes, self.region, self.size)
        fill_rows(self.filters, *self._boxes)
        for box in self._boxes:
            box.changed.connect(self._changed)

    @property
    def _boxes(self) -> tuple[Any, ...]:
        return (
            *(self.min_area, self.max_area, self.score, self.stability),
            *(self.consensus, self.overlap, self.clean, self.border),
        )

    @property
    def settings(self) -> FilterSettings:
        """What to keep."""
        from napari_cellprompt.core.masks.found import FilterSettings

        largest = self.max_area.value
        return FilterSettings(
            min_area=self.min_area.value,
            max_area=float("inf") if largest >= _NO_LIMIT else largest,
            min_score=self.score.value,
            min_stability=self.stability.value,
            min_consensus=self.consensus.value,
            max_overlap=self.overlap.value,
            drop_border=self.border.value,
            clean_below=self.clean.value,
        )

    def update_layers(self) -> None:
        """Follow the layer list."""
        before = self.region.value
        self.region.reset_choices()
        if before in self._viewer.layers:
            self.region.value = before

    def close(self) -> None:
        """Forget all listeners."""
        for box in self._boxes:
            box.changed.disconnect()

    def _regions(self, _: Any) -> list[Shapes]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Shapes)]

    def _changed(self, _: Any = None) -> None:
        self.filters_changed.emit()


def _share(label: str, tooltip: str, value: float = 0.0) -> FloatSlider:
    return FloatSlider(
        label=label, value=value, min=0.0, max=1.0, step=0.01, tooltip=tooltip
    )


def _pixels(label: str, value: int, tooltip: str) -> SpinBox:
    return SpinBox(label=label, value=value, min=0, max=_NO_LIMIT, tooltip=tooltip)
