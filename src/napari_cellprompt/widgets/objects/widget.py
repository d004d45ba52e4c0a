"""The Objects dock widget: every accepted object, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_warning
from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QItemSelectionModel
from qtpy.QtWidgets import QLineEdit, QWidget

from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import (
    has_left_dock,
    open_beside,
    shut_down_with_window,
)
from napari_cellprompt.widgets.shared.keys import OBJECT_KEYS, KeyBinder
from napari_cellprompt.widgets.shared.looks import (
    Section,
    grid_of,
    text_line,
)

from .chosen import ChosenObjects
from .controller import ObjectsController
from .panel import ClassBox, QualityPanel, changes_of, object_view
from .reopening import Reopening
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
        self.classes = ClassBox()
        self.chosen = ChosenObjects(
            viewer,
            self.controller,
            self.reopening,
            parent=self,
            ids=self.chosen_ids,
            class_name=self.classes.currentText,
        )
        self.buttons = self.chosen.make_buttons()
        self.quality = QualityPanel(self.controller.quality, self.chosen.save_report)
        self.status_line = text_line()
        self.keys = KeyBinder(
            {
                "next_object": self.controller.next_object,
                "next_plane": self.controller.next_plane,
                "verify": self.chosen.verify_current,
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
        names = ("merge", "renumber", "line", "clicks", "class", "classes")
        changes = changes_of([self.buttons[name] for name in names], self.classes)
        layout.addWidget(Section("Change objects", changes, expanded=False))
        layout.addWidget(Section("Verified quality", self.quality, expanded=False))
        self._connect()
        self._show()

    def chosen_ids(self) -> list[int]:
        """Objects whose rows are chosen, in the order of the table."""
        selection = self.view.selectionModel()
        return [] if selection is None else self.filter.ids(selection.selectedRows())

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
        for number in self.filter.ids([index]) if self._segment is not None else ():
            self.chosen.reopen_object(number)

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
        store = ledger.store
        self.classes.offer([] if store is None else [one.name for one in store.classes])
        self.quality.show_state()
        there = bool(ledger.rows)
        for button in self.buttons.values():
            button.setEnabled(there)
        number = len(ledger.rows)
        count = f"{number} object{'s' * (number != 1)}. " if there else ""
        reading = "Reading the layer ... " if ledger.reading else ""
        self.status_line.setText(f"{count}{reading}{self.controller.status}")
