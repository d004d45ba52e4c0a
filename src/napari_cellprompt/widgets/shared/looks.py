"""Buttons, texts and sections that look alike in all widgets and follow napari's theme."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.theme import get_theme
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from napari.components import ViewerModel
    from qtpy.QtGui import QShowEvent

__all__ = [
    "Accent",
    "Section",
    "grid_of",
    "ignore_state",
    "key_label",
    "progress_bar",
    "push_button",
    "rule",
    "text_line",
]

_NARROWEST = 110


def push_button(
    text: str, tip: str = "", action: Callable[[], None] | None = None
) -> QPushButton:
    """A button that leaves the keys to the canvas after it was pressed."""
    button = QPushButton(text)
    button.setToolTip(tip)
    # With the focus, a button that is switched off would hand it to some spin box.
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    button.setMinimumWidth(_NARROWEST)
    if action is not None:
        button.clicked.connect(ignore_state(action))
    return button


def grid_of(buttons: Sequence[QPushButton]) -> QGridLayout:
    """Buttons in two columns; the last one of an odd number has the row to itself."""
    grid = QGridLayout()
    grid.setSpacing(4)
    for number, button in enumerate(buttons):
        alone = number == len(buttons) - 1 and number % 2 == 0
        grid.addWidget(button, number // 2, number % 2, 1, 2 if alone else 1)
    return grid


def rule() -> QFrame:
    """A thin line between groups."""
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    line.setFrameShadow(QFrame.Shadow.Plain)
    line.setFixedHeight(5)
    line.setEnabled(False)
    return line


def progress_bar() -> QProgressBar:
    """A thin bar that keeps its place while it is not shown: nothing below it moves."""
    bar = QProgressBar()
    bar.setTextVisible(False)
    bar.setMaximumHeight(8)
    policy = bar.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    bar.setSizePolicy(policy)
    return bar


def text_line(lines: int = 0) -> QLabel:
    """An empty text that breaks its lines and never widens the dock.

    Parameters
    ----------
    lines : int
        Room that is kept for so many lines: the buttons below stay where they are while
        texts come and go.
    """
    label = _Text(lines)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


class _Text(QLabel):
    """A text with room for some lines."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines = lines
        if lines:
            self.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Measure: font and padding are those of napari's style only from now on."""
        super().showEvent(event)
        if self._lines:
            text = self.text()
            self.setText("\n".join("x" * self._lines))
            self.setMinimumHeight(self.heightForWidth(self.width()))
            self.setText(text)


def key_label(table: Sequence[tuple[str, str]]) -> QLabel:
    """A table of keys and what they do."""
    rows = "".join(
        f'<tr><td width="95"><b>{key}</b></td><td>{text}</td></tr>' for key, text in table
    )
    label = QLabel(f"<table>{rows}</table>")
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def ignore_state(action: Callable[[], None]) -> Callable[[bool], None]:
    """An action as a button calls it: with whether it is pressed."""

    def run(_: bool = False) -> None:
        action()

    return run


class Section(QWidget):
    """A part that can be folded away; its title is a line of text, not a button.

    Parameters
    ----------
    title : str
        Above the part.
    content : QWidget
        What is folded.
    expanded : bool
        Whether it is seen at first.
    """

    def __init__(self, title: str, content: QWidget, *, expanded: bool = False) -> None:
        super().__init__()
        self._title = title
        self._content = content
        self.head = QPushButton()
        self.head.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        # Without colours of its own: they stay those of the theme.
        self.head.setStyleSheet(
            "QPushButton { background: transparent; border: 0px; padding: 3px 0px;"
            " text-align: left; font-weight: bold; }"
            "QPushButton:hover { text-decoration: underline; }"
        )
        self.head.clicked.connect(ignore_state(self.toggle))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.head)
        layout.addWidget(content)
        self.expand(expanded)

    @property
    def expanded(self) -> bool:
        """Whether the content is seen."""
        return not self._content.isHidden()

    def expand(self, expanded: bool = True) -> None:
        """Show or hide the content."""
        self._content.setVisible(expanded)
        self.head.setText(f"{'▾' if expanded else '▸'}  {self._title}")

    def rename(self, title: str) -> None:
        """Give it another title."""
        if title != self._title:
            self._title = title
            self.expand(self.expanded)

    def toggle(self) -> None:
        """Turn it round."""
        self.expand(not self.expanded)


class Accent:
    """Gives the one button that matters most the colour that the theme has for that.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose theme is followed.
    *buttons : QPushButton
        What to colour; while they are switched off they look as others do.
    """

    def __init__(self, viewer: ViewerModel, *buttons: QPushButton) -> None:
        self._viewer = viewer
        self._buttons = buttons
        viewer.events.theme.connect(self._paint)
        self._paint()

    def close(self) -> None:
        """Follow the theme no longer."""
        self._viewer.events.theme.disconnect(self._paint)

    def _paint(self, event: Any = None) -> None:
        theme = get_theme(self._viewer.theme)
        colour, text = theme.current.as_hex(), theme.text.as_hex()
        for button in self._buttons:
            if isalive(button):
                button.setStyleSheet(
                    "QPushButton { font-weight: bold; padding: 7px; }"
                    f"QPushButton:enabled {{ background-color: {colour}; color: {text}; }}"
                    f"QPushButton:enabled:hover {{ border: 1px solid {text}; }}"
                )
