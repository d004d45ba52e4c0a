"""A strip along the stack that shows where propagated masks can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from .strip_rows import StripRow, row_text, shade

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtGui import QPaintEvent

    from napari_cellprompt.core.propagate.types import PlaneConfidence

__all__ = ["ConfidenceStrip"]

_LEFT = 58
_RIGHT = 6
_MARKS, _LANE, _ROW, _GAP = 14, 20, 10, 3
# Below this a value is drawn as a stub that can still be seen.
_LEAST = 0.08


_LANES: tuple[tuple[str, Callable[[PlaneConfidence], float]], ...] = (
    ("IoU", lambda plane: plane.iou),
    ("Present", lambda plane: plane.object_score),
    # Twice or half the area is the bottom of the scale.
    ("Same size", lambda plane: 1 - min(plane.area_jump, 1.0)),
)


class ConfidenceStrip(QWidget):
    """Bars for the chosen object, and one coloured row for each object.

    A click emits ``plane_picked``; one on the row of another object also
    ``object_picked``.
    """

    plane_picked = Signal(int)
    object_picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[StripRow, ...] = ()
        self._length = 0
        self._current: int | None = None
        self._chosen: int | None = None
        self._axis = "plane"
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(160)

    # --- what is shown ---------------------------------------------------------------

    def show_rows(
        self, rows: Sequence[StripRow], length: int, *, chosen: int | None, axis: str
    ) -> None:
        """Show these objects over ``length`` planes of an axis, with bars for one."""
        before = self.sizeHint()
        self._rows, self._length, self._chosen = tuple(rows), length, chosen
        self._axis = axis
        if self.sizeHint() != before:
            self.updateGeometry()
        self.update()

    def show_current(self, plane: int | None) -> None:
        """Mark the plane on screen."""
        if plane != self._current:
            self._current = plane
            self.update()

    @property
    def rows(self) -> tuple[StripRow, ...]:
        """The objects that are shown."""
        return self._rows

    def sizeHint(self) -> QSize:
        """As high as its lanes and rows."""
        lanes = len(_LANES) * (_LANE + _GAP)
        rows = len(self._rows) * (_ROW + 2) if len(self._rows) > 1 else 0
        return QSize(240, _MARKS + lanes + rows + 16)

    def minimumSizeHint(self) -> QSize:
        """Never cut off."""
        return QSize(160, self.sizeHint().height())

    # --- places ----------------------------------------------------------------------

    def plane_at(self, x: float) -> int | None:
        """The plane drawn at a horizontal position in the widget."""
        if not self._length or not _LEFT <= x < self.width() - _RIGHT:
            return None
        return min(int((x - _LEFT) / self._step), self._length - 1)

    def centre_of(self, plane: int, row: int | None = None) -> QPointF:
        """Where a plane is drawn: in the first lane, or in the row of an object."""
        y = _MARKS + _LANE / 2 if row is None else self._row_top(row) + _ROW / 2
        return QPointF(_LEFT + (plane + 0.5) * self._step, y)

    @property
    def _step(self) -> float:
        return max(self.width() - _LEFT - _RIGHT, 1) / max(self._length, 1)

    def _row_top(self, row: int) -> float:
        return _MARKS + len(_LANES) * (_LANE + _GAP) + row * (_ROW + 2)

    def _row_at(self, y: float) -> StripRow | None:
        if len(self._rows) < 2 or y < self._row_top(0):
            return self._chosen_row
        number = int((y - self._row_top(0)) // (_ROW + 2))
        return self._rows[number] if number < len(self._rows) else None

    @property
    def _chosen_row(self) -> StripRow | None:
        return next((row for row in self._rows if row.id == self._chosen), None)

    # --- events ----------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go to the plane, and choose the object whose row was clicked."""
        if event is None:
            return
        plane = self.plane_at(event.position().x())
        row = self._row_at(event.position().y())
        if row is not None and row.id != self._chosen:
            self.object_picked.emit(row.id)
        if plane is not None:
            self.plane_picked.emit(plane)

    def event(self, event: QEvent | None) -> bool:
        """Say in a tool tip what is under the mouse."""
        if isinstance(event, QHelpEvent):
            plane, row = self.plane_at(event.pos().x()), self._row_at(event.pos().y())
            if plane is None or row is None:
                QToolTip.hideText()
            else:
                text = row_text(row, plane, self._axis)
                QToolTip.showText(event.globalPos(), text, self)
            return True
        return bool(super().event(event))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw everything; a few hundred rectangles."""
        painter = QPainter(self)
        text = self.palette().windowText().color()
        ground = QColor(text)
        ground.setAlpha(28)
        row = self._chosen_row
        for number, (name, value) in enumerate(_LANES):
            top = _MARKS + number * (_LANE + _GAP)
            self._paint_name(painter, text, name, top, _LANE)
            painter.fillRect(self._lane(top, _LANE), ground)
            if row is not None:
                self._paint_bars(painter, row, value, top)
        if len(self._rows) > 1:
            for number, other in enumerate(self._rows):
                top = round(self._row_top(number))
                bold = other.id == self._chosen
                self._paint_name(painter, text, f"{other.id}", top, _ROW, bold=bold)
                painter.fillRect(self._lane(top, _ROW), ground)
                self._paint_row(painter, other, top)
        if row is not None:
            self._paint_marks(painter, row, text)
        self._paint_axis(painter, text)
        painter.end()

    # --- painting --------------------------------------------------------------------

    def _lane(self, top: float, height: float) -> QRectF:
        return QRectF(_LEFT, top, self.width() - _LEFT - _RIGHT, height)

    def _cell(self, plane: int, top: float, height: float) -> QRectF:
        step = self._step
        # A pixel of ground between planes, as long as they are wide enough for that.
        gap = 1.0 if step >= 4 else 0.0
        return QRectF(_LEFT + plane * step, top, max(step - gap, 1.0), height)

    def _paint_name(
        self,
        painter: QPainter,
        colour: QColor,
        name: str,
        top: float,
        height: float,
        *,
        bold: bool = False,
    ) -> None:
        font = self.font()
        font.setPixelSize(10)
        font.setBold(bold)
        painter.setFont(font)
        painter.setPen(colour)
        flags = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        painter.drawText(QRectF(0, top, _LEFT - 4, height), flags, name)

    def _paint_bars(
        self,
        painter: QPainter,
        row: StripRow,
        value: Callable[[PlaneConfidence], float],
        top: float,
    ) -> None:
        # The worst of planes that share a pixel is drawn last and stays visible.
        for plane, known in sorted(row.planes.items(), key=lambda item: -value(item[1])):
            if known.state in ("absent", "ended"):
                continue
            share = min(max(value(known), _LEAST), 1.0)
            height = share * _LANE
            painter.fillRect(
                self._cell(plane, top + _LANE - height, height), shade(value(known))
            )

    def _paint_row(self, painter: QPainter, row: StripRow, top: float) -> None:
        for plane, known in sorted(
            row.planes.items(), key=lambda item: -item[1].confidence
        ):
            if known.state not in ("absent", "ended"):
                painter.fillRect(self._cell(plane, top, _ROW), shade(known.confidence))

    def _paint_marks(self, painter: QPainter, row: StripRow, text: QColor) -> None:
        """Diamond: prompted. Square: locked. Cross: the object ended here."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(text)
        for plane, known in row.planes.items():
            x, y = self.centre_of(plane).x(), _MARKS / 2
            if known.state == "prompted":
                painter.setBrush(text)
                corners = ((x, y - 4), (x + 4, y), (x, y + 4), (x - 4, y))
                painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))
            elif known.state == "locked":
                painter.setBrush(text)
                painter.drawRect(QRectF(x - 3, y - 3, 6, 6))
            elif known.state == "ended":
                painter.drawLine(QPointF(x - 3, y - 3), QPointF(x + 3, y + 3))
                painter.drawLine(QPointF(x - 3, y + 3), QPointF(x + 3, y - 3))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)

    def _paint_axis(self, painter: QPainter, text: QColor) -> None:
        if not self._length:
            return
        bottom = self.sizeHint().height() - 14
        font = self.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(text)
        area = self._lane(bottom, 13)
        painter.drawText(area, int(Qt.AlignmentFlag.AlignLeft), "0")
        last = f"{self._length - 1}"
        painter.drawText(area, int(Qt.AlignmentFlag.AlignRight), last)
        if self._current is not None and 0 <= self._current < self._length:
            # A frame around the plane, which hides none of its bars.
            frame = self._cell(self._current, 1, bottom - 2).adjusted(-1, 0, 0, 0)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(frame)
            here = frame.center().x()
            side = QRectF(min(max(here - 20, _LEFT), self.width() - 46), bottom, 40, 13)
            if 18 < here - _LEFT < self.width() - _LEFT - 30:
                centred = int(Qt.AlignmentFlag.AlignHCenter)
                painter.drawText(side, centred, f"{self._current}")
