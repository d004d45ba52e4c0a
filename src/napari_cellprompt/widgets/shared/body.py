"""The inside of a dock: it scrolls, joins the tabs of its kind, leaves keys to napari."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QMainWindow,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

__all__ = ["Body"]

_LOWEST = 60
"""Pixels of height that a dock can be shrunk to: some rows."""
_NARROWEST, _USUAL = 300, 330
"""Pixels of width in which two buttons a row and labelled sliders can be read."""
_PACKAGE = "napari_cellprompt.widgets."
_INPUTS = (QAbstractSpinBox, QAbstractSlider, QComboBox, QAbstractItemView)
"""Controls that keep the keyboard after use and have no need of letters."""
_CONTROL_KEYS = (
    *(Qt.Key.Key_Z, Qt.Key.Key_Return, Qt.Key.Key_Enter),
    *(Qt.Key.Key_PageUp, Qt.Key.Key_PageDown),
)


class Body(QScrollArea):
    """Fills a widget with a layout that scrolls when its dock is too low.

    Letters and Ctrl+Z that are pressed while a slider, a list or a box of numbers has
    the focus go to napari, and the focus with them. The wheel scrolls, and changes a
    value only where the user has clicked. Docked beside other widgets of this plugin,
    the widget becomes a tab of theirs: stacked, they would not fit a screen.

    Parameters
    ----------
    widget : QWidget
        Without a layout yet.
    """

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._owner = widget
        self._docked = False
        content = QWidget()
        self.rows = QVBoxLayout(content)
        """Put controls here."""
        self.rows.setContentsMargins(6, 4, 6, 4)
        self.setWidget(content)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer = QVBoxLayout(widget)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._join_tabs)
        widget.installEventFilter(self)

    # --- size ------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """As large as what is in it."""
        return self._wide(self._inside().sizeHint(), _USUAL)

    def minimumSizeHint(self) -> QSize:
        """As wide as what is in it; the height can be scrolled."""
        smallest = self._inside().minimumSizeHint()
        height = min(smallest.height(), _LOWEST)
        return self._wide(QSize(smallest.width(), height), _NARROWEST)

    def _wide(self, size: QSize, least: int) -> QSize:
        bar = self.verticalScrollBar()
        width = size.width() + (0 if bar is None else bar.sizeHint().width())
        return QSize(max(width, least), size.height())

    def _inside(self) -> QWidget:
        return self.widget() or self

    def event(self, event: QEvent | None) -> bool:
        """Follow the size of what is in it, and the controls that come and go."""
        if event is not None and event.type() in (
            QEvent.Type.LayoutRequest,
            QEvent.Type.Show,
        ):
            self._watch_inputs()
            self.updateGeometry()
        return bool(super().event(event))

    # --- keys and wheel --------------------------------------------------------------

    def _watch_inputs(self) -> None:
        for kind in _INPUTS:
            for child in self._inside().findChildren(kind):
                if isinstance(child.window(), QWidget) and child.window() != self.window():
                    continue  # the open list of a combo box, which takes letters
                # Twice is once: Qt moves a filter that is there to the front.
                child.installEventFilter(self)
                if not isinstance(child, QAbstractItemView):
                    child.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Keys to napari, the wheel to the scroll bar, and tabs when docked."""
        if watched is None or event is None:
            return False
        if watched is self._owner:
            if event.type() == QEvent.Type.ParentChange:
                self._moved()
            return bool(super().eventFilter(watched, event))
        if not isinstance(watched, _INPUTS):
            return bool(super().eventFilter(watched, event))
        if event.type() == QEvent.Type.Wheel and not isinstance(watched, QAbstractItemView):
            if not watched.hasFocus():
                event.ignore()
                return True
        elif isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            window = self._main_window()
            if window is not None and _for_napari(event):
                window.setFocus()
                QApplication.sendEvent(window, event)
                return True
        return False

    # --- docks -----------------------------------------------------------------------

    def _moved(self) -> None:
        """Become a tab when docked; go for good when taken out of the dock.

        Such a widget has shut itself down and is of no more use, and napari leaves it
        without an owner: nobody else would delete it.
        """
        if self._dock() is not None:
            self._docked = True
            self._soon.start(0)
        elif self._docked and self._owner.parentWidget() is None:
            self._owner.deleteLater()

    def _dock(self) -> QDockWidget | None:
        parent = self._owner.parentWidget()
        return parent if isinstance(parent, QDockWidget) else None

    def _main_window(self) -> QMainWindow | None:
        dock = self._dock()
        parent = None if dock is None else dock.parentWidget()
        return parent if isinstance(parent, QMainWindow) else None

    def _join_tabs(self) -> None:
        """Become a tab beside the other widgets of this plugin."""
        dock, window = self._dock(), self._main_window()
        if dock is None or window is None or dock.isFloating():
            return
        together = [other for other in _docks_of_ours(window) if _beside(other, dock)]
        first = together[0]
        if dock is first or dock in window.tabifiedDockWidgets(first):
            return
        window.tabifyDockWidget(first, dock)
        dock.show()
        dock.raise_()


def _docks_of_ours(window: QMainWindow) -> list[QDockWidget]:
    """Docks with widgets of this plugin, the oldest first."""
    return [
        dock
        for dock in window.findChildren(QDockWidget)
        if type(dock.widget()).__module__.startswith(_PACKAGE)
    ]


def _beside(other: QDockWidget, dock: QDockWidget) -> bool:
    """Whether two docks are at one side of the window; each is beside itself."""
    window = dock.parentWidget()
    if not isinstance(window, QMainWindow) or other.isFloating():
        return other is dock
    return window.dockWidgetArea(other) == window.dockWidgetArea(dock)


def _for_napari(event: QKeyEvent) -> bool:
    """Whether a key is none of those that sliders and boxes of numbers use."""
    modifiers = event.modifiers()
    if modifiers & Qt.KeyboardModifier.AltModifier:
        return False
    if modifiers & Qt.KeyboardModifier.ControlModifier:
        return event.key() in _CONTROL_KEYS
    return Qt.Key.Key_A <= event.key() <= Qt.Key.Key_Z
