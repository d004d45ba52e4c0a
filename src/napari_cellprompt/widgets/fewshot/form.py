"""The choices of the Few-shot widget, and the examples as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox, FloatSlider
from napari.layers import Labels
from qtpy.QtCore import QSize
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QListView, QListWidget, QListWidgetItem, QWidget

from napari_cellprompt.layers.previews.mask import is_preview
from napari_cellprompt.tasks.requests import DEFAULT_THRESHOLD
from napari_cellprompt.widgets.segment.choices.form import fill_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel

    from napari_cellprompt.core.fewshot.examples import Example

__all__ = ["ExampleList", "FewshotForm"]

_KINDS = (("wanted", "wanted"), ("not wanted", "other"))
_WHICH = (("the selected label", "selected"), ("all on this plane", "all"))


class FewshotForm:
    """The controls, without what they lead to.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose Labels layers can hold examples.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.labels = ComboBox(
            label="Examples in",
            choices=self._layers,
            nullable=True,
            tooltip="The Labels layer that shows what to look for",
        )
        self.which = ComboBox(label="Take", choices=_WHICH)
        self.kind = ComboBox(
            label="They are",
            choices=_KINDS,
            tooltip="A few objects that are not wanted help to tell the kinds apart",
        )
        self.threshold = FloatSlider(
            label="Threshold",
            value=DEFAULT_THRESHOLD,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Score from which on an object is taken; the model is not asked again",
        )
        self.teach, self.choose = QWidget(), QWidget()
        fill_rows(self.teach, self.labels, self.which, self.kind)
        fill_rows(self.choose, self.threshold)

    def update_layers(self, usual: Labels | None = None) -> None:
        """Follow the layer list.

        Parameters
        ----------
        usual : napari.layers.Labels, optional
            What is chosen where nothing is: where Segment writes objects.
        """
        before = self.labels.value
        self.labels.reset_choices()
        wanted = before if before in self._viewer.layers else usual
        if wanted is not None and wanted in self._viewer.layers:
            self.labels.value = wanted

    def _layers(self, _: object) -> list[Labels]:
        return [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, Labels) and not is_preview(layer)
        ]


class ExampleList(QListWidget):
    """The examples as thumbnails, in a row that wraps."""

    def __init__(self) -> None:
        super().__init__()
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setIconSize(QSize(44, 44))
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QListWidget.SelectionMode.ExtendedSelection)
        self.setFixedHeight(140)
        self.setToolTip("Choose examples to remove them")

    def show_examples(self, examples: Sequence[Example]) -> None:
        """Draw all examples anew."""
        self.clear()
        for example in examples:
            height, width, _ = example.thumbnail.shape
            picture = QImage(
                example.thumbnail.tobytes(),
                width,
                height,
                3 * width,
                QImage.Format.Format_RGB888,
            ).copy()
            name = "wanted" if example.kind == "wanted" else "not"
            item = QListWidgetItem(QIcon(QPixmap.fromImage(picture)), name)
            item.setToolTip(f"{example.kind}, {example.size:.0f} px, from {example.source}")
            self.addItem(item)

    @property
    def chosen(self) -> list[int]:
        """Numbers of the examples that are selected, the last one first."""
        return sorted((self.row(item) for item in self.selectedItems()), reverse=True)
