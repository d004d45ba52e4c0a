"""The controls for refining objects of Labels layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from napari.layers import Labels
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.previews.mask import is_preview
from napari_cellprompt.widgets.segment.choices.form import fill_rows
from napari_cellprompt.widgets.shared.looks import grid_of, push_button, text_line

from .all import RefineAll
from .one import RefineOne

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_cellprompt.widgets.segment.controller import SegmentController

__all__ = ["RefinePanel"]


class RefinePanel(QWidget):
    """Which Labels layer, and whether one object of it or all.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose Labels layers are offered.
    segment : SegmentController
        Refines.
    """

    def __init__(self, viewer: ViewerModel, segment: SegmentController) -> None:
        super().__init__()
        self._viewer = viewer
        self._segment = segment
        self.one = RefineOne(segment)
        self.all = RefineAll(segment, self.show_state)
        self.labels = ComboBox(
            label="Labels",
            choices=self._choices,
            nullable=True,
            tooltip="Objects of Cellpose, StarDist, a brush: any Labels layer on the image",
        )
        self.one_button = push_button(
            "Refine object",
            "Draw the object that is selected in this layer as a prompt for the model",
            self._one,
        )
        self.all_button = push_button(
            "Refine all", "Refine every object into a new Labels layer", self._all
        )
        self.line = text_line()
        rows = QWidget()
        fill_rows(rows, self.labels)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(rows)
        layout.addLayout(grid_of([self.one_button, self.all_button]))
        layout.addWidget(self.line)
        self._followed: Labels | None = None
        self.labels.changed.connect(self._chosen)
        self._emitters = (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.selection.events.active,
        )
        for emitter in self._emitters:
            emitter.connect(self.look)
        self.look()

    def close_down(self) -> None:
        """Let go of layers and of a run."""
        for emitter in self._emitters:
            emitter.disconnect(self.look)
        if self.all.running:
            self.all.stop()
        self.one.stop()
        self._follow(None)
        self.labels.changed.disconnect()
        self.labels.choices = ()

    def look(self, event: Any = None) -> None:
        """Offer the Labels layers that are there; one that is selected is meant."""
        before, active = self.labels.value, self._viewer.layers.selection.active
        with self.labels.changed.blocked():
            self.labels.reset_choices()
            there = [layer for _, layer in self._choices(None)]
            wanted = next((one for one in (active, before) if one in there), None)
            self.labels.value = wanted or (there or [None])[-1]
        self._chosen()

    def show_state(self) -> None:
        """Bring buttons and text up to date."""
        layer, running = self.labels.value, self.all.running
        number = "" if layer is None else f" {layer.selected_label}"
        self.one_button.setText(f"Refine object{number}")
        self.one_button.setEnabled(layer is not None)
        self.all_button.setText("Stop" if running else "Refine all")
        self.all_button.setEnabled(running or layer is not None)
        self.line.setText(f"Refining: {self.all.progress}." if running else "")
        self.line.setVisible(running)

    def _choices(self, _: Any) -> list[tuple[str, Labels]]:
        return [
            (layer.name, layer)
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and not is_preview(layer)
        ]

    def _chosen(self, _: Any = None) -> None:
        self._follow(self.labels.value)
        self.show_state()

    def _follow(self, layer: Labels | None) -> None:
        """Show the number that is selected in the layer."""
        if self._followed is not None:
            self._followed.events.selected_label.disconnect(self._selected)
        self._followed = layer
        if layer is not None:
            layer.events.selected_label.connect(self._selected)

    def _selected(self, event: Any = None) -> None:
        self.show_state()

    def _one(self) -> None:
        self._try(self.one.start)

    def _all(self) -> None:
        if self.all.running:
            self.all.stop()
        else:
            self._try(self.all.start)

    def _try(self, action: Any) -> None:
        if self.labels.value is None:
            return
        try:
            action(self.labels.value)
        except CellpromptError as error:
            self._segment.tell(str(error), warn=True)
