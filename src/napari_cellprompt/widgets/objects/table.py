"""Objects as a table that sorts and filters; two thousand rows at ease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from napari_cellprompt.session.object_rows import ObjectRow

__all__ = ["AREAS", "COLUMNS", "ROW", "ObjectFilter", "ObjectTable"]

COLUMNS = ("Id", "Class", "Planes", "Size", "By plane", "Trust", "Worst", "State")
AREAS = 4
"""The column in which areas along the axis are drawn."""
ROW = int(Qt.ItemDataRole.UserRole) + 1
"""Role of the whole row, which the drawing of areas asks for."""
_NONE = -1.0


class ObjectTable(QAbstractTableModel):
    """Rows of objects; sorts them itself, which is faster than a proxy in Python.

    Parameters
    ----------
    colour : callable
        ``colour(row)`` is the colour of an object, as ``#rrggbb``; empty for none.
    """

    def __init__(self, colour: Callable[[ObjectRow], str]) -> None:
        super().__init__()
        self._colour = colour
        self._rows: list[ObjectRow] = []
        self._sorted_by, self._descending = 0, False
        self.unit = "px"
        """Of areas or volumes."""

    @property
    def rows(self) -> list[ObjectRow]:
        """In the order of the table, without its filter."""
        return self._rows

    def put(self, rows: Mapping[int, ObjectRow]) -> None:
        """Show these rows; a table with the same objects only draws what is different."""
        ordered = sorted(rows.values(), key=self._key, reverse=self._descending)
        old = self._rows
        if [row.record.id for row in ordered] != [row.record.id for row in old]:
            self.beginResetModel()
            self._rows = ordered
            self.endResetModel()
            return
        changed = [
            number
            for number, (one, other) in enumerate(zip(old, ordered, strict=True))
            if one is not other
        ]
        self._rows = ordered
        if changed:
            self.dataChanged.emit(
                self.index(changed[0], 0), self.index(changed[-1], len(COLUMNS) - 1)
            )

    # --- what Qt asks ----------------------------------------------------------------

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of objects."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:
        """Titles of columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            title = COLUMNS[section]
            return f"{title} ({self.unit})" if title == "Size" else title
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """One cell."""
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(row, column)
        if role == ROW:
            return row
        if role == Qt.ItemDataRole.DecorationRole and column == 1:
            colour = self._colour(row)
            return QColor(colour) if colour else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(row)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (0, 3, 5, 6):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by a column."""
        self._sorted_by = max(column, 0)
        self._descending = order == Qt.SortOrder.DescendingOrder
        self.beginResetModel()
        self._rows = sorted(self._rows, key=self._key, reverse=self._descending)
        self.endResetModel()

    def _key(self, row: ObjectRow) -> tuple[Any, int]:
        record = row.record
        keys: tuple[Any, ...] = (
            record.id,
            record.class_name.lower(),
            row.planes[0] if row.planes else _NONE,
            row.size,
            float(row.outlying.sum()),
            _NONE if row.trust is None else row.trust,
            _NONE if row.worst is None else row.worst,
            record.state,
        )
        return keys[self._sorted_by], record.id


class ObjectFilter(QSortFilterProxyModel):
    """Shows the objects in which every word of a text is found; order is the model's."""

    def __init__(self, model: ObjectTable) -> None:
        super().__init__()
        self._words: tuple[str, ...] = ()
        self.setDynamicSortFilter(False)
        self.setSourceModel(model)

    def look_for(self, text: str) -> None:
        """Show only objects with all of these words."""
        words = tuple(text.lower().split())
        if words != self._words:
            self._words = words
            self.invalidateFilter()

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        """Whether a row has all words; a number means an id."""
        if not self._words:
            return True
        model = self.sourceModel()
        if not isinstance(model, ObjectTable):
            return True
        record = model.rows[row].record
        text = " ".join(
            (record.name, record.class_name, record.state, record.source, record.model)
        ).lower()
        return all(
            word == str(record.id) if word.isdigit() else word in text
            for word in self._words
        )

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Let the model sort."""
        model = self.sourceModel()
        if model is not None:
            model.sort(column, order)

    def ids(self, indexes: Iterable[QModelIndex]) -> list[int]:
        """Objects of these cells of the filtered table, each once, in order."""
        found = [index.data(ROW) for index in indexes]
        return list(dict.fromkeys(row.record.id for row in found if row is not None))


def _text(row: ObjectRow, column: int) -> str:
    record, planes = row.record, row.planes
    if column == 0:
        return str(record.id)
    if column == 1:
        return record.name or record.class_name
    if column == 2:
        if not planes:
            return ""
        return str(planes[0]) if len(planes) == 1 else f"{planes[0]} - {planes[-1]}"
    if column == 3:
        return f"{row.size:.4g}" if row.size < 10000 else f"{row.size:.0f}"
    if column == 5:
        return "" if row.trust is None else f"{row.trust:.2f}"
    if column == 6:
        return "" if row.worst is None else str(row.worst)
    return record.state if column == 7 else ""


def _tip(row: ObjectRow) -> str:
    record = row.record
    lines = [
        f"Object {record.id}, made by {record.source}"
        + (f" with {record.model}" if record.model else ""),
    ]
    if record.parent is not None:
        lines.append(f"Daughter of {record.parent}")
    out = [str(p) for p, o in zip(row.planes, row.outlying, strict=True) if o]
    if out:
        lines.append(f"The area stands out on {', '.join(out[:8])}")
    lines.append("Double-click opens it again")
    return "\n".join(lines)
