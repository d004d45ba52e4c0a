"""The table of the Models widget: which models there are, and a line to find some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cellprompt.session.zoo import ModelRow

__all__ = ["COLUMNS", "ModelTable"]

COLUMNS = ("Model", "Here", "Licence", "Size", "Runs", "Good for", "Family")
# Sentences get lines instead of width, so that what comes after them stays in sight.
_WIDTHS = {"Licence": 130, "Good for": 180}
_BAR = 16
"""Width of a scroll bar."""


class ModelTable(QWidget):
    """One line a model; words in the line above leave those that have all of them."""

    chosen = Signal()
    """Another line is chosen, or another set of lines is shown."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[ModelRow] = []
        self.words = QLineEdit()
        self.words.setPlaceholderText("Filter: name, licence, family, purpose, here ...")
        self.words.setClearButtonEnabled(True)
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setHorizontalHeaderLabels(COLUMNS)
        numbers, header = self.table.verticalHeader(), self.table.horizontalHeader()
        if numbers is None or header is None:
            raise RuntimeError("a table has no headers")
        numbers.setVisible(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setMinimumHeight(110)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.words)
        layout.addWidget(self.table)
        self.words.textChanged.connect(self._filter)
        self.table.itemSelectionChanged.connect(self.chosen.emit)

    @property
    def rows(self) -> list[ModelRow]:
        """All models, those that the filter hides included."""
        return self._rows

    @property
    def selected(self) -> ModelRow | None:
        """The model of the chosen line; the first shown where none is chosen."""
        line = self.table.currentRow()
        if 0 <= line < len(self._rows) and not self.table.isRowHidden(line):
            return self._rows[line]
        return next((self._rows[number] for number in self._shown()), None)

    def choose(self, name: str) -> None:
        """Choose the line of a model."""
        names = [row.name for row in self._rows]
        if name in names:
            self.table.selectRow(names.index(name))

    def fill(self, rows: Sequence[ModelRow]) -> None:
        """Show these models; the chosen one stays so."""
        before = self.selected
        self._rows = list(rows)
        self.table.setRowCount(len(self._rows))
        for line, row in enumerate(self._rows):
            for column, text in enumerate(_cells(row)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                item.setTextAlignment(Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(line, column, item)
        self.table.resizeColumnsToContents()
        for name, width in _WIDTHS.items():
            self.table.setColumnWidth(COLUMNS.index(name), width)
        self.table.resizeRowsToContents()
        seen = COLUMNS[: COLUMNS.index("Licence") + 1]
        width = sum(self.table.columnWidth(column) for column in range(len(seen)))
        self.table.setMinimumWidth(width + 2 * self.table.frameWidth() + _BAR)
        self._filter()
        if self._rows:
            self.choose(self._rows[0].name if before is None else before.name)

    def _shown(self) -> list[int]:
        return [n for n in range(len(self._rows)) if not self.table.isRowHidden(n)]

    def _filter(self, _: str = "") -> None:
        words = self.words.text().lower().split()
        for line, row in enumerate(self._rows):
            text = " ".join(_cells(row)).lower()
            if row.here:
                text += " here"
            self.table.setRowHidden(line, not all(word in text for word in words))
        self.chosen.emit()


def _cells(row: ModelRow) -> tuple[str, ...]:
    """The texts of a line, in the order of ``COLUMNS``."""
    here = {"bundled": "bundled", "yours": "yours"}.get(row.kind)
    return (
        row.name,
        here or ("yes" if row.here else ""),
        row.licence or ("with this plugin" if row.kind == "bundled" else ""),
        f"{row.nbytes / 1e6:.0f} MB" if row.nbytes else "",
        row.fit,
        row.good_for,
        row.family,
    )
