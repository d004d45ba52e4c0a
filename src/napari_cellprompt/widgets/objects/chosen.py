"""What is done with the objects that are chosen in the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QInputDialog

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.widgets.shared.docks import open_dock
from napari_cellprompt.widgets.shared.looks import push_button
from napari_cellprompt.widgets.shared.save_dialog import ask_where_to_save

from .reopening import drawable

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from qtpy.QtWidgets import QPushButton, QWidget

    from .controller import ObjectsController
    from .reopening import Reopening

__all__ = ["ChosenObjects"]


class ChosenObjects:
    """Asks what has to be asked, then has the controller do it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where layers are chosen, and Propagate is opened.
    controller : ObjectsController
        Changes the objects.
    reopening : Reopening
        Opens objects of one plane again.
    parent : QWidget
        Over which questions are shown.
    ids : callable
        Numbers of the objects that are chosen.
    class_name : callable
        The class that is typed or chosen.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        controller: ObjectsController,
        reopening: Reopening,
        *,
        parent: QWidget,
        ids: Callable[[], list[int]],
        class_name: Callable[[], str],
    ) -> None:
        self._viewer = viewer
        self._controller = controller
        self._reopening = reopening
        self._parent = parent
        self._ids = ids
        self._class_name = class_name

    def make_buttons(self) -> dict[str, QPushButton]:
        """The buttons of the widget, by what they do."""
        do, ids = self._controller, self._ids
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

    def verify_current(self) -> None:
        """Verify the object that was gone to last."""
        number = self._controller.current
        if number is not None:
            self._controller.set_state([number], "verified")

    def set_class(self) -> None:
        """Give the chosen objects the class of the box."""
        self._controller.set_class(self._ids(), self._class_name())

    def split(self) -> None:
        """Start clicking parts of an object, or cut it."""
        tool = self._controller.tool
        if tool.object_id is not None and tool.kind == "clicks":
            self._controller.cut()
        else:
            self._controller.start_split(self._ids(), "clicks")

    def renumber(self) -> None:
        """Ask for another number."""
        ids, store = self._ids(), self._controller.ledger.store
        if len(ids) != 1 or store is None:
            self._controller.tell("Choose one object in the table to renumber.")
            return
        new, sure = QInputDialog.getInt(
            self._parent, "Renumber", f"New number of object {ids[0]}", store.next_id(), 1
        )
        if sure:
            self._controller.renumber(ids[0], new)

    def reopen(self) -> None:
        """Open the chosen object again."""
        ids = self._ids()
        if len(ids) == 1:
            self.reopen_object(ids[0])
        else:
            self._controller.tell("Choose one object in the table to open again.")

    def reopen_object(self, object_id: int) -> None:
        """Open an object with what it was made from, or with the brush."""
        store, labels = self._controller.ledger.store, self._controller.ledger.labels
        record = None if store is None else store.get(object_id)
        if record is None or labels is None:
            return
        plane = drawable(record)
        try:
            if record.propagation is not None:
                open_dock(self._viewer, "Propagate").controller.reopen(record)
            elif plane is not None:
                self._reopening.start(record, plane)
            else:
                self._viewer.layers.selection.active = labels
                labels.selected_label = object_id
                labels.mode = "paint"
                self._controller.tell(
                    f"Object {object_id} came without prompts: the brush paints it now."
                )
        except CellpromptError as error:
            self._controller.tell(str(error), warn=True)

    def save_report(self) -> None:
        """Save what the sample says, as JSON or text."""
        path = ask_where_to_save(
            self._parent, "Save report", Path("quality.json"), "Report", (".json", ".txt")
        )
        if path is None:
            return
        try:
            self._controller.quality.save(path)
        except CellpromptError as error:
            self._controller.tell(str(error), warn=True)
        else:
            self._controller.tell(f"Saved {path}.")
