"""The Objects dock widget: every accepted object, and what can be done with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QItemSelectionModel
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QLineEdit, QWidget

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import (
    has_left_dock,
    open_beside,
    open_dock,
    shut_down_with_window,
)
from napari_cellprompt.widgets.shared.keys import OBJECT_KEYS, KeyBinder
from napari_cellprompt.widgets.shared.looks import (
    Section,
    grid_of,
    push_button,
    text_line,
)
from napari_cellprompt.widgets.shared.save_dialog import ask_where_to_save

from .controller import ObjectsController
from .panel import QualityPanel, object_view
from .reopening import Reopening, drawable
from .table import ObjectFilter, ObjectTable

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtCore import QModelIndex

    from napari_cellprompt.widgets.segment.widget import SegmentWidget

__all__ = ["ObjectsWidget"]


class ObjectsWidget(QWidget):
    """Lists the objects of the Labels layer that Segment writes into.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in. Segment is opened beside it, since its
        image and Labels layer are used.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer = plain(viewer)
        self._closed = False
        self._shown: tuple[int, int] | None = None
        """What of the ledger the table shows."""
        # Children.
        segment: SegmentWidget = open_beside(viewer, "Segment")
        self._segment: SegmentWidget | None = segment
        self.controller = ObjectsController(viewer, segment.place, warn=show_warning)
        self.reopening = Reopening(viewer, segment.controller, self.controller.tell)
        self.table = ObjectTable(self.controller.colour)
        self.filter = ObjectFilter(self.table)
        self.view = object_view(self.filter)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Filter: number, class, state, source, model")
        self.search.setClearButtonEnabled(True)
        self.class_box = QComboBox()
        self.class_box.setEditable(True)
        self.class_box.setToolTip("A class; a new name makes a new one")
        self.buttons = self._make_buttons()
        self.quality = QualityPanel(self.controller.quality, self.save_report)
        self.status_line = text_line()
        self.keys = KeyBinder(
            {
                "next_object": self.controller.next_object,
                "next_plane": self.controller.next_plane,
                "verify": self.verify_current,
            },
            OBJECT_KEYS,
        )
        # Layout, state, connections.
        layout = Body(self).rows
        layout.addWidget(self.search)
        layout.addWidget(self.view, stretch=1)
        layout.addWidget(self.status_line)
        names = ("next", "plane", "verify", "doubt", "reopen", "delete")
        layout.addLayout(grid_of([self.buttons[name] for name in names]))
        layout.addWidget(Section("Change objects", self._changes(), expanded=False))
        layout.addWidget(Section("Verified quality", self.quality, expanded=False))
        self._connect()
        self._show()

    def _make_buttons(self) -> dict[str, Any]:
        do, ids = self.controller, self.chosen_ids
        return {
            "next": push_button(
                "Next doubtful (J)", "By what is not trusted, times size", do.next_object
            ),
            "plane": push_button(
                "Next plane (K)", "The next doubtful plane of this object", do.next_plane
            ),
            "verify": push_button(
                "Verified (Y)", "I looked at it", lambda: do.set_state(ids(), "verified")
            ),
            "doubt": push_button(
                "Needs work",
                "To be mended later",
                lambda: do.set_state(ids(), "needs work"),
            ),
            "reopen": push_button(
                "Open again", "With its own prompts, to be changed", self.reopen
            ),
            "delete": push_button(
                "Delete", "The pixels become background", lambda: do.delete(ids())
            ),
            "merge": push_button(
                "Merge", "All chosen objects become the first", lambda: do.merge(ids())
            ),
            "renumber": push_button("Renumber ...", "Another id", self.renumber),
            "line": push_button(
                "Split by line", "Draw a cut", lambda: do.start_split(ids(), "line")
            ),
            "clicks": push_button(
                "Split at clicks", "Click on each part, then press again", self.split
            ),
            "class": push_button("Set class", "Of all chosen objects", self.set_class),
            "classes": push_button(
                "Class layer", "Show the classes as a layer of their own", do.classes.show
            ),
        }

    def _changes(self) -> QWidget:
        box = QWidget()
        row = QHBoxLayout(box)
        row.setContentsMargins(0, 0, 0, 0)
        names = ("merge", "renumber", "line", "clicks", "class", "classes")
        grid = grid_of([self.buttons[name] for name in names])
        grid.addWidget(self.class_box, 3, 0, 1, 2)
        row.addLayout(grid)
        return box

    # --- what the user does ----------------------------------------------------------

    def chosen_ids(self) -> list[int]:
        """Objects whose rows are chosen, in the order of the table."""
        selection = self.view.selectionModel()
        return [] if selection is None else self.filter.ids(selection.selectedRows())

    def verify_current(self) -> None:
        """Verify the object that was gone to last."""
        number = self.controller.current
        if number is not None:
            self.controller.set_state([number], "verified")

    def set_class(self) -> None:
        """Give the chosen objects the class of the box."""
        self.controller.set_class(self.chosen_ids(), self.class_box.currentText())

    def split(self) -> None:
        """Start clicking parts of an object, or cut it."""
        tool = self.controller.tool
        if tool.object_id is not None and tool.kind == "clicks":
            self.controller.cut()
        else:
            self.controller.start_split(self.chosen_ids(), "clicks")

    def renumber(self) -> None:
        """Ask for another number."""
        ids, store = self.chosen_ids(), self.controller.ledger.store
        if len(ids) != 1 or store is None:
            self.controller.tell("Choose one object in the table to renumber.")
            return
        new, sure = QInputDialog.getInt(
            self, "Renumber", f"New number of object {ids[0]}", store.next_id(), 1
        )
        if sure:
            self.controller.renumber(ids[0], new)

    def reopen(self) -> None:
        """Open the chosen object again."""
        ids = self.chosen_ids()
        if len(ids) == 1:
            self._reopen(ids[0])
        else:
            self.controller.tell("Choose one object in the table to open again.")

    def _reopen(self, object_id: int) -> None:
        """Open an object with what it was made from, or with the brush."""
        store, labels = self.controller.ledger.store, self.controller.ledger.labels
        record = None if store is None else store.get(object_id)
        if record is None or labels is None or self._segment is None:
            return
        plane = drawable(record)
        try:
            if record.propagation is not None:
                open_dock(self._viewer, "Propagate").controller.reopen(record)
            elif plane is not None:
                self.reopening.start(record, plane)
            else:
                self._viewer.layers.selection.active = labels
                labels.selected_label = object_id
                labels.mode = "paint"
                self.controller.tell(
                    f"Object {object_id} came without prompts: the brush paints it now."
                )
        except CellpromptError as error:
            self.controller.tell(str(error), warn=True)

    def save_report(self) -> None:
        """Save what the sample says, as JSON or text."""
        path = ask_where_to_save(
            self, "Save report", Path("quality.json"), "Report", (".json", ".txt")
        )
        if path is None:
            return
        try:
            self.controller.quality.save(path)
        except CellpromptError as error:
            self.controller.tell(str(error), warn=True)
        else:
            self.controller.tell(f"Saved {path}.")

    # --- life ------------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """Stop when napari takes the widget out of its dock."""
        if has_left_dock(self, event):
            self.shut_down()
        return event is not None and bool(super().event(event))

    def shut_down(self) -> None:
        """Let go of viewer and layers; what was accepted stays."""
        if self._closed:
            return
        self._closed = True
        self.keys.unbind()
        self.controller.changed.disconnect(self._show)
        self.controller.chosen.disconnect(self._choose)
        if self._segment is not None:
            self._segment.place.chosen_changed.disconnect(self._bind)
            self._segment.closed.disconnect(self._segment_closed)
        self.reopening.stop()
        self._segment = None
        self.controller.close()

    def _connect(self) -> None:
        self.search.textChanged.connect(self.filter.look_for)
        self.view.clicked.connect(self._clicked)
        self.view.doubleClicked.connect(self._double_clicked)
        self.controller.changed.connect(self._show)
        self.controller.chosen.connect(self._choose)
        if self._segment is not None:
            self._segment.place.chosen_changed.connect(self._bind)
            self._segment.closed.connect(self._segment_closed)
        self._bind()
        shut_down_with_window(self)

    def _bind(self) -> None:
        if self._segment is not None:
            self.keys.bind(self._viewer, self._segment.place.chosen.prompts)

    def _segment_closed(self) -> None:
        if isalive(self):
            self.shut_down()
            self.setEnabled(False)
            self.status_line.setText("Segment was closed: open this widget again.")

    # --- table and controller --------------------------------------------------------

    def _clicked(self, index: QModelIndex) -> None:
        ids = self.filter.ids([index])
        if ids and len(self.chosen_ids()) == 1:
            self.controller.go_to(ids[0])

    def _double_clicked(self, index: QModelIndex) -> None:
        for number in self.filter.ids([index]):
            self._reopen(number)

    def _choose(self, ids: tuple[int, ...]) -> None:
        """Choose rows, and bring the first into sight."""
        selection = self.view.selectionModel()
        if selection is None or tuple(self.chosen_ids()) == ids:
            return
        selection.clearSelection()
        flags = QItemSelectionModel.SelectionFlag
        for number, row in enumerate(self.table.rows):
            if row.record.id not in ids:
                continue
            index = self.filter.mapFromSource(self.table.index(number, 0))
            if index.isValid():
                selection.select(index, flags.Select | flags.Rows)
                self.view.scrollTo(index)

    def _show(self) -> None:
        """Bring table, buttons and text up to date."""
        if not isalive(self) or self._closed:
            return
        ledger = self.controller.ledger
        chosen = tuple(self.chosen_ids())
        self.table.unit = ledger.unit[1]
        if self._shown != (ledger.version, id(ledger.labels)):
            self._shown = ledger.version, id(ledger.labels)
            self.table.put(ledger.rows)
            if chosen and not self.chosen_ids():
                self._choose(tuple(number for number in chosen if number in ledger.rows))
        names = [] if ledger.store is None else [one.name for one in ledger.store.classes]
        if names != [self.class_box.itemText(i) for i in range(self.class_box.count())]:
            text = self.class_box.currentText()
            self.class_box.clear()
            self.class_box.addItems(names)
            self.class_box.setEditText(text)
        self.quality.show_state()
        there = bool(ledger.rows)
        for button in self.buttons.values():
            button.setEnabled(there)
        count = f"{len(ledger.rows)} objects. " if there else ""
        reading = "Reading the layer ... " if ledger.reading else ""
        self.status_line.setText(f"{count}{reading}{self.controller.status}")
