"""A sentence with a button for what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cellprompt.widgets.shared.looks import push_button, text_line

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ButtonNote"]


class ButtonNote(QWidget):
    """A line of text and a button below it; hidden until there is something to say.

    Parameters
    ----------
    text, tip : str
        Of the button.
    action : callable
        What it does.
    """

    def __init__(self, text: str, tip: str, action: Callable[[], None]) -> None:
        super().__init__()
        self.line = text_line()
        self.button = push_button(text, tip, action)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.line)
        layout.addWidget(self.button)
        self.hide()
