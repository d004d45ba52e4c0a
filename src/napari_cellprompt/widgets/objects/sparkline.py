"""Areas along the axis, drawn into a cell of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QSize
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QStyledItemDelegate

from .table import ROW

if TYPE_CHECKING:
    from qtpy.QtCore import QModelIndex
    from qtpy.QtWidgets import QStyleOptionViewItem

__all__ = ["Sparkline"]

_OUTLIER = QColor("#d55e00")
_MARGIN = 3


class Sparkline(QStyledItemDelegate):
    """A line of areas; planes whose area stands out have a dot."""

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw one cell."""
        super().paint(painter, option, index)
        row = index.data(ROW)
        if painter is None or row is None or len(row.planes) < 2:
            return
        area = option.rect.adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        first, last = row.planes[0], row.planes[-1]
        largest = float(row.areas.max()) or 1.0
        points = [
            QPointF(
                area.left() + area.width() * (place - first) / (last - first),
                area.bottom() - area.height() * float(value) / largest,
            )
            for place, value in zip(row.planes, row.areas, strict=True)
        ]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(option.palette.text().color(), 1.2))
        painter.drawPolyline(QPolygonF(points))
        painter.setPen(QPen(_OUTLIER, 1.0))
        painter.setBrush(_OUTLIER)
        for point, outlying in zip(points, row.outlying, strict=True):
            if outlying:
                painter.drawEllipse(point, 2.2, 2.2)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Wide enough to tell a slope from a jump."""
        return QSize(90, 20)
