"""The buttons, lists and texts of the Propagate widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QGroupBox,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cellprompt.widgets.shared.looks import (
    grid_of,
    progress_bar,
    push_button,
    text_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .desk import Desk, Stage

__all__ = ["ChoiceList", "PropagatePanel"]

# Name, text, tool tip, and the stages in which it can be pressed; two to a row.
_BUTTONS: tuple[tuple[str, str, str, tuple[Stage, ...]], ...] = (
    (
        "start",
        "Propagate",
        "Follow the chosen objects; what will take long is announced first",
        ("idle", "announced"),
    ),
    ("cancel", "Stop", "Stop after this plane; what is done stays", ("asking", "running")),
    ("resume", "Resume", "Go on where it was stopped", ("review",)),
    ("worst", "Doubtful (W)", "Go to the next doubtful plane", ("running", "review")),
    (
        "lock",
        "Is right (Shift+A)",
        "Keep the mask of this plane whatever happens; once more: let it change again",
        ("running", "review"),
    ),
    (
        "clear",
        "Not here (Shift+Q)",
        "The object is not on this plane",
        ("running", "review", "changes"),
    ),
    (
        "accept",
        "Accept all",
        "Write all planes into the Labels layer, as one step of undo",
        ("review",),
    ),
    (
        "discard",
        "Discard all",
        "Throw the propagation away; the Labels layer was never touched",
        ("announced", "running", "review", "changes"),
    ),
)


class PropagatePanel:
    """Buttons for the actions, how far things are, and what is to be decided.

    No widget itself: the Propagate widget lays out its rows among others.

    Parameters
    ----------
    actions : mapping
        A function without arguments for the name of each button.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]]) -> None:
        self.buttons: dict[str, QPushButton] = {}
        self.start_row, self.plane_row, self.end_row = QWidget(), QWidget(), QWidget()
        places = {
            "start": (self.start_row, 0, 0, 1, 2),
            "cancel": (self.start_row, 1, 0, 1, 1),
            "resume": (self.start_row, 1, 1, 1, 1),
            "worst": (self.plane_row, 0, 0, 1, 2),
            "lock": (self.plane_row, 1, 0, 1, 1),
            "clear": (self.plane_row, 1, 1, 1, 1),
            "accept": (self.end_row, 0, 0, 1, 2),
            "discard": (self.end_row, 1, 0, 1, 2),
        }
        for row in (self.start_row, self.plane_row, self.end_row):
            grid = QGridLayout(row)
            grid.setContentsMargins(0, 0, 0, 0)
        self._stages: dict[str, tuple[Stage, ...]] = {}
        for name, text, tip, stages in _BUTTONS:
            button = push_button(text, tip, actions[name])
            self.buttons[name], self._stages[name] = button, stages
            row, *place = places[name]
            layout = row.layout()
            if isinstance(layout, QGridLayout):
                layout.addWidget(button, *place)
        self.status_line = text_line(3)
        self.bar = progress_bar()

    def show_state(self, desk: Desk) -> None:
        """Bring everything up to date."""
        stage = desk.stage
        for name, button in self.buttons.items():
            possible = stage in self._stages[name]
            if name == "resume":
                possible = possible and desk.unfinished > 0
            button.setEnabled(possible)
        announced = stage == "announced"
        self.buttons["start"].setText("Propagate now" if announced else "Propagate")
        if self.status_line.text() != desk.status:
            self.status_line.setText(desk.status)
        busy = stage in ("asking", "running", "writing")
        self.bar.setVisible(busy)
        done, total = desk.progress or (0, 0)
        self.bar.setRange(0, total)
        self.bar.setValue(done)


class ChoiceList(QGroupBox):
    """Things to decide about, each with the plane where it can be seen.

    Parameters
    ----------
    title : str
        Above the list.
    yes, no, *others : tuple
        Text, tool tip and action of each button.
    """

    plane_picked = Signal(int)

    def __init__(
        self,
        title: str,
        yes: tuple[str, str, Callable[[], None]],
        no: tuple[str, str, Callable[[], None]],
        *others: tuple[str, str, Callable[[], None]],
    ) -> None:
        super().__init__(title)
        self.items = QListWidget()
        self.items.setMaximumHeight(110)
        self.items.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.items.itemClicked.connect(self._clicked)
        self.yes, self.no = push_button(*yes), push_button(*no)
        self.others = [push_button(*other) for other in others]
        grid = grid_of([self.yes, self.no, *self.others])
        layout = QVBoxLayout(self)
        layout.addWidget(self.items)
        layout.addLayout(grid)
        self.setVisible(False)

    def offer(self, found: list[tuple[str, int, Any]]) -> None:
        """Show ``(text, plane, value)`` of each; nothing to decide hides the list."""
        if found == self._found():
            return
        self.items.clear()
        for text, plane, value in found:
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, (plane, value))
            self.items.addItem(item)
        if found:
            self.items.setCurrentRow(0)
        self.setVisible(bool(found))

    @property
    def chosen(self) -> Any:
        """The value of the entry that is picked; None when there is none."""
        item = self.items.currentItem()
        return None if item is None else item.data(Qt.ItemDataRole.UserRole)[1]

    def _found(self) -> list[tuple[str, int, Any]]:
        entries = [self.items.item(row) for row in range(self.items.count())]
        return [
            (entry.text(), *entry.data(Qt.ItemDataRole.UserRole))
            for entry in entries
            if entry is not None
        ]

    def _clicked(self, item: QListWidgetItem) -> None:
        self.plane_picked.emit(item.data(Qt.ItemDataRole.UserRole)[0])
