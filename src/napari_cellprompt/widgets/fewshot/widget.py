"""The Few-shot dock widget: show a few cells, get all cells like them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import (
    has_left_dock,
    open_beside,
    shut_down_with_window,
)
from napari_cellprompt.widgets.shared.looks import (
    Accent,
    Section,
    grid_of,
    ignore_state,
    progress_bar,
    push_button,
    text_line,
)
from napari_cellprompt.widgets.shared.save_dialog import ask_where_to_save

from .controller import FewshotController
from .form import ExampleList, FewshotForm

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from qtpy.QtCore import QEvent

    from napari_cellprompt.widgets.segment.widget import SegmentWidget

__all__ = ["FewshotWidget"]

_FILES = "Examples (*.safetensors)"


class FewshotWidget(QWidget):
    """Collects examples from a Labels layer and finds all objects like them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in. Segment is opened beside it, since its
        image, model and Labels layer are used.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer = plain(viewer)
        self._closed = False
        # Children.
        segment: SegmentWidget = open_beside(viewer, "Segment")
        self._segment: SegmentWidget | None = segment
        self.controller = FewshotController(viewer, segment.place)
        self.form = FewshotForm(viewer)
        self.examples = ExampleList()
        self.buttons = {
            "teach": push_button("Add examples"),
            "remove": push_button("Remove chosen"),
            "save": push_button("Save examples ..."),
            "load": push_button("Load examples ..."),
            "find": push_button("Find on this plane"),
            "find_all": push_button("Find on all planes"),
            "folder": push_button("Find in a folder ..."),
            "cancel": push_button("Stop"),
            "review": push_button("Take out by click"),
            "commit": push_button("Accept all"),
            "discard": push_button("Discard"),
        }
        self.buttons["folder"].setToolTip(
            "Labels of each image go beside it, as NAME_labels.tif, with a table of scores"
        )
        self.bar = progress_bar()
        self.status_line = text_line(2)
        # Layout, state, connections.
        self._accent = Accent(viewer, self.buttons["commit"])
        layout = Body(self).rows
        layout.addWidget(self.form.teach)
        layout.addLayout(self._grid("teach", "remove"))
        layout.addWidget(self.examples)
        layout.addLayout(self._grid("find", "find_all", "folder", "cancel"))
        layout.addWidget(self.bar)
        layout.addWidget(self.status_line)
        layout.addWidget(self.form.choose)
        layout.addWidget(self.buttons["commit"])
        layout.addLayout(self._grid("review", "discard"))
        files = QWidget()
        files.setLayout(self._grid("save", "load"))
        layout.addWidget(Section("Keep examples in a file", files))
        layout.addStretch()
        self._connect()
        self._layers_changed()
        self._show()

    def _grid(self, *names: str) -> QGridLayout:
        return grid_of([self.buttons[name] for name in names])

    def teach(self) -> None:
        """Add what is chosen as examples."""
        self.controller.teach(
            self.form.labels.value,
            self.form.kind.value,
            all_of_them=self.form.which.value == "all",
        )

    # --- life ------------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """Stop when napari takes the widget out of its dock."""
        if has_left_dock(self, event):
            self.shut_down()
        return event is not None and bool(super().event(event))

    def shut_down(self, *, leave_layers: bool = False) -> None:
        """Let go of viewer, layers and model; what was accepted stays."""
        if self._closed:
            return
        self._closed = True
        self._accent.close()
        if self._segment is not None:
            place = self._segment.controller.place
            place.chosen_changed.disconnect(self._layers_changed)
        self.controller.changed.disconnect(self._show)
        self.controller.taught.disconnect(self._show_examples)
        self.form.threshold.changed.disconnect(self.controller.choose)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.disconnect(self._layers_changed)
        if self._segment is not None:
            self._segment.closed.disconnect(self._segment_closed)
        self.controller.close(leave_layers=leave_layers)
        self._segment = None

    def _connect(self) -> None:
        controller = self.controller
        actions: dict[str, Callable[[], None]] = {
            "teach": self.teach,
            "remove": lambda: controller.remove(self.examples.chosen),
            "save": self._save,
            "load": self._load,
            "find": partial(controller.find, whole_stack=False),
            "find_all": partial(controller.find, whole_stack=True),
            "folder": self._ask_folder,
            "cancel": controller.cancel,
            "review": controller.review,
            "commit": controller.commit,
            "discard": controller.forget,
        }
        for name, action in actions.items():
            self.buttons[name].clicked.connect(ignore_state(action))
        controller.changed.connect(self._show)
        controller.taught.connect(self._show_examples)
        self.form.threshold.changed.connect(controller.choose)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.connect(self._layers_changed)
        if self._segment is not None:
            self._segment.closed.connect(self._segment_closed)
            place = self._segment.controller.place
            place.chosen_changed.connect(self._layers_changed)
        shut_down_with_window(self, leave_layers=True)

    def _segment_closed(self) -> None:
        if not isalive(self):
            return  # the whole window is going
        self.controller.discard()
        self._segment = None
        for button in self.buttons.values():
            button.setEnabled(False)
        self.status_line.setText("Segment was closed: open this widget again.")

    # --- files -----------------------------------------------------------------------

    def _save(self) -> None:
        path = ask_where_to_save(
            self,
            "Save the examples",
            Path("examples.safetensors"),
            "Examples",
            (".safetensors",),
        )
        if path is not None:
            self.controller.save(path)

    def _load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load examples", "", _FILES)
        if name:
            self.controller.load(Path(name))

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Find in all images of a folder")
        if name:
            self.controller.find_in_folder(Path(name))

    # --- showing ---------------------------------------------------------------------

    def _layers_changed(self, event: Any = None) -> None:
        segment = self._segment
        usual = None if segment is None else segment.controller.place.chosen.labels
        self.form.update_layers(usual)

    def _show_examples(self) -> None:
        bank = self.controller.bank
        self.examples.show_examples([] if bank is None else bank.examples)
        self._show()

    def _show(self) -> None:
        """Bring buttons, bar and text up to date."""
        controller = self.controller
        idle, bank = not controller.running and not controller.writing, controller.bank
        taught = bank is not None and bool(bank.examples)
        found, there = any(controller.chosen.values()), controller.image_there
        allowed = {
            "teach": idle and there,
            "remove": idle and taught,
            "save": idle and taught,
            "load": idle,
            "find": idle and taught and there,
            "find_all": idle and taught and there,
            "folder": idle and taught,
            "cancel": controller.running and controller.progress[1] > 0,
            "review": idle and controller.preview.layer is not None,
            "commit": controller.settled and found,
            "discard": idle and controller.preview.layer is not None,
        }
        if self._segment is not None:
            for name, allow in allowed.items():
                self.buttons[name].setEnabled(allow)
        done, total = controller.progress
        self.bar.setVisible(controller.running)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.status_line.setText(controller.message)
