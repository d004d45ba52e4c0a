"""Parts of the Objects widget: the table, and the round of verified quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHeaderView,
    QSpinBox,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_cellprompt.widgets.shared.looks import grid_of, push_button, text_line

from .sparkline import Sparkline
from .table import AREAS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtCore import QAbstractItemModel
    from qtpy.QtWidgets import QPushButton

    from .quality import QualityRound

__all__ = ["ClassBox", "QualityPanel", "changes_of", "object_view"]

_WIDTHS = (40, 58, 54, 62, 72, 44, 48, 80)


def object_view(model: QAbstractItemModel) -> QTableView:
    """The table as it is seen: whole rows are chosen, rows are all of one height."""
    view = QTableView()
    view.setModel(model)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setWordWrap(False)
    view.setShowGrid(False)
    view.setAlternatingRowColors(False)
    rows, columns = view.verticalHeader(), view.horizontalHeader()
    if rows is not None:
        rows.hide()
        rows.setDefaultSectionSize(22)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    if columns is not None:
        columns.setHighlightSections(False)
        columns.setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        columns.setStretchLastSection(True)
    for number, width in enumerate(_WIDTHS):
        view.setColumnWidth(number, width)
    view.setItemDelegateForColumn(AREAS, Sparkline(view))
    view.setSortingEnabled(True)
    view.setMinimumHeight(170)
    return view


class ClassBox(QComboBox):
    """The classes that there are, and a place to type a new one."""

    def __init__(self) -> None:
        super().__init__()
        self.setEditable(True)
        self.setToolTip("A class; a new name makes a new one")

    def offer(self, names: Sequence[str]) -> None:
        """Offer other classes; what is typed stays."""
        if list(names) != [self.itemText(number) for number in range(self.count())]:
            text = self.currentText()
            self.clear()
            self.addItems(list(names))
            self.setEditText(text)


def changes_of(buttons: Sequence[QPushButton], classes: ClassBox) -> QWidget:
    """What changes objects: six buttons, and the class that one of them gives."""
    box = QWidget()
    grid = grid_of(buttons)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.addWidget(classes, 3, 0, 1, 2)
    box.setLayout(grid)
    return box


class QualityPanel(QWidget):
    """Draw objects at random, say of each whether it is right, save the result.

    Parameters
    ----------
    quality : QualityRound
        What the buttons act on.
    save : callable
        Asks where to save.
    """

    def __init__(self, quality: QualityRound, save: Callable[[], None]) -> None:
        super().__init__()
        self._quality = quality
        self.count = _number(30, 1, 10000, "Objects to draw; by class if there are classes")
        self.seed = _number(0, 0, 2**30, "The sample of a seed is always the same")
        self.buttons: dict[str, QPushButton] = {
            "draw": push_button("Draw", "Draw objects at random", self._draw),
            "right": push_button(
                "Right", "It is right as it is", lambda: quality.judge("right")
            ),
            "mended": push_button(
                "Mended",
                "It was not, and now is: mend it with Segment, the brush, split or merge",
                lambda: quality.judge("mended"),
            ),
            "none": push_button(
                "No object", "There is no such object", lambda: quality.judge("no object")
            ),
            "save": push_button("Save report ...", "As JSON or text", save),
        }
        self.result = text_line()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Objects", self.count)
        form.addRow("Seed", self.seed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addLayout(grid_of(list(self.buttons.values())))
        layout.addWidget(self.result)
        self.show_state()

    def show_state(self) -> None:
        """Bring buttons and text up to date."""
        sample = self._quality.sample
        judged = 0 if sample is None else sum(i.verdict is not None for i in sample.drawn)
        for name in ("right", "mended", "none"):
            self.buttons[name].setEnabled(self._quality.current is not None)
        self.buttons["save"].setEnabled(judged > 0)
        self.result.setText(self._quality.report().methods() if judged else "")

    def _draw(self) -> None:
        self._quality.start(self.count.value(), self.seed.value())


def _number(value: int, least: int, most: int, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(least, most)
    box.setValue(value)
    box.setToolTip(tip)
    return box
