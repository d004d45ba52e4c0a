"""The bar that offers to go on with a session, and the line that says where one is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cellprompt.widgets.shared.looks import grid_of, push_button, text_line

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OfferBar"]


class OfferBar(QWidget):
    """A question that stops nothing: it stays until it is answered.

    Parameters
    ----------
    go_on, anew : callable
        What the two buttons do.
    """

    def __init__(self, go_on: Callable[[], None], anew: Callable[[], None]) -> None:
        super().__init__()
        self.question, self.place = text_line(), text_line()
        self.go_on = push_button(
            "Go on", "Bring back objects, clicks and what was being followed", go_on
        )
        self.anew = push_button(
            "Start anew", "Leave that session as it is, and begin another one", anew
        )
        self._buttons = QWidget()
        row = grid_of([self.go_on, self.anew])
        row.setContentsMargins(0, 0, 0, 0)
        self._buttons.setLayout(row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (self.question, self._buttons, self.place):
            layout.addWidget(part)
            part.hide()
        self.hide()

    def ask(self, text: str) -> None:
        """Show the question; an empty text takes it away."""
        self.question.setText(text)
        self.question.setVisible(bool(text))
        self._buttons.setVisible(bool(text))
        self._adapt()

    @property
    def asking(self) -> bool:
        """Whether a question waits for its answer."""
        return bool(self.question.text())

    def tell(self, text: str, details: str = "") -> None:
        """Say where the session is kept; empty where it is not yet."""
        self.place.setText(text)
        self.place.setToolTip(details)
        self.place.setVisible(bool(text))
        self._adapt()

    def _adapt(self) -> None:
        self.setVisible(bool(self.question.text() or self.place.text()))
