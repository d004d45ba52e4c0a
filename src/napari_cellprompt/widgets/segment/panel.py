"""The buttons and texts of the Segment widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .controller import SegmentController

__all__ = ["ActionPanel", "collapsible", "ignore_state", "key_label", "text_line"]

# Name, text, tool tip, and whether the button shows a state; two to a row.
_BUTTONS = (
    ("click", "Clicks (G)", "Click on objects", True),
    ("box", "Boxes (G)", "Draw boxes around objects, close to their outlines", True),
    ("sign", "", "What the next click marks", False),
    ("next", "Next mask (N)", "Show the next of the masks that the model offers", False),
    ("accept", "Accept (A)", "Write this object and start the next one", False),
    ("discard", "Discard (Q)", "Delete the clicks and the box of this plane", False),
    ("undo", "Undo", "Undo the last click, else the last object (Ctrl+Z)", False),
    ("redo", "Redo", "Bring back the object that was undone (Ctrl+Shift+Z)", False),
    ("view", "What model sees", "Show exactly the pixels that the model gets", True),
    ("propagate", "Propagate ...", "Follow objects through the stack", False),
    ("export", "Export ...", "Save the objects as a label TIFF", False),
)


class ActionPanel(QWidget):
    """Buttons for the actions, and lines that say how things stand.

    Parameters
    ----------
    actions : mapping
        A function without arguments for the name of each button.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        super().__init__()
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        for number, (name, text, tip, has_state) in enumerate(_BUTTONS):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.setCheckable(has_state)
            # Keys keep going to the canvas after a button was pressed.
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(120)
            button.clicked.connect(ignore_state(actions[name]))
            self.buttons[name] = button
            grid.addWidget(button, *divmod(number, 2))
        self.status_line, self.mask_line, self.model_line = (text_line() for _ in range(3))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        for line in (self.status_line, self.mask_line, self.model_line):
            layout.addWidget(line)

    def show_state(
        self, controller: SegmentController, *, clicking: bool, boxing: bool, positive: bool
    ) -> None:
        """Bring everything up to date."""
        self.buttons["click"].setChecked(clicking)
        self.buttons["box"].setChecked(boxing)
        self.buttons["view"].setChecked(controller.model_view.layer is not None)
        self.buttons["sign"].setText(f"Mark {'object' if positive else 'background'} (T)")
        for line, text in (
            (self.status_line, controller.status),
            (self.mask_line, _mask_text(controller)),
            (self.model_line, _model_text(controller)),
        ):
            if line.text() != text:
                line.setText(text)


def collapsible(title: str, content: QWidget, *, expanded: bool = False) -> QCollapsible:
    """A section that can be folded away."""
    section = QCollapsible(title)
    section.addWidget(content)
    if expanded:
        section.expand(animate=False)
    return section


def key_label(table: Sequence[tuple[str, str]]) -> QLabel:
    """A table of keys and what they do."""
    rows = "".join(
        f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>" for key, text in table
    )
    return QLabel(f"<table>{rows}</table>")


def text_line() -> QLabel:
    """An empty text that breaks its lines and never widens the dock."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


def ignore_state(action: Callable[[], None]) -> Callable[[bool], None]:
    """An action as a button calls it: with whether it is pressed."""

    def run(_: bool = False) -> None:
        action()

    return run


def _mask_text(controller: SegmentController) -> str:
    candidate, prediction = controller.candidate, controller.prediction
    if candidate is None or prediction is None:
        return ""
    return (
        f"Mask {controller.candidate_number + 1} of {len(prediction.candidates)}: "
        f"{candidate.mask.area} pixels, predicted IoU {candidate.score:.2f}, "
        f"{prediction.seconds * 1000:.0f} ms"
    )


def _model_text(controller: SegmentController) -> str:
    model = controller.model
    return "No model is loaded" if model is None else f"{model.name} on {model.device}"
