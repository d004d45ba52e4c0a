"""What is done with accepted objects, each as one step of the one history.

Everything here runs on the GUI thread; reading a layer and finding a cut do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from psygnal import Signal

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.flying import fly_to
from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.labels import edits
from napari_cellprompt.layers.labels.splitting import by_clicks, by_line, voxels_of
from napari_cellprompt.session.annotations import annotate, class_of_name
from napari_cellprompt.session.object_rows import doubtful, worst_planes
from napari_cellprompt.session.zoo import in_background
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint

from .classes import ClassLayer
from .ledger import Ledger
from .quality import QualityRound
from .split_tool import SplitTool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellprompt.layers.labels.splitting import ObjectVoxels
    from napari_cellprompt.session.object_rows import ObjectRow
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["ObjectsController"]

READY = "Click a row to go there, double-click it to change the object."
EMPTY = "There is no Labels layer with objects yet: accept one first."


class ObjectsController:
    """The interaction of the Objects widget, apart from its controls.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    place : Workplace
        Whose Labels layer is listed.
    warn : callable
        Told each message that the user must not miss.
    """

    changed = Signal()
    """Rows, status or what can be done are not what they were."""
    chosen = Signal(tuple)
    """Ids of the objects that are to be selected in the table."""

    def __init__(
        self, viewer: ViewerModel, place: Workplace, *, warn: Callable[[str], None]
    ) -> None:
        self._viewer = viewer
        self._place = place
        self._warn = warn
        self.status = ""
        self.bridge = ResultBridge()
        self.ledger = Ledger(viewer, place.acceptor, self.bridge)
        self.tool = SplitTool(viewer, self.cut)
        self.classes = ClassLayer(viewer, place, self.bridge)
        self.quality = QualityRound(
            self.ledger, show=self.go_to, tell=self.tell, say_state=self.set_state
        )
        self.current: int | None = None
        """The object that was gone to last."""
        self._seen: list[int] = []
        self._seen_planes: list[int] = []
        self.ledger.changed.connect(self.changed.emit)
        self.ledger.failed.connect(self.tell)
        self.quality.changed.connect(self.changed.emit)
        place.chosen_changed.connect(self.follow)
        self.follow()

    def follow(self) -> None:
        """List the objects of the chosen image from now on."""
        labels = self._place.chosen.labels
        if labels is not self.ledger.labels:
            self.tool.stop()
            self._seen, self._seen_planes, self.current = [], [], None
            self.quality.sample = None
            self.ledger.follow(labels)
            self.tell(EMPTY if labels is None else READY)
        elif labels is None:
            self.tell(EMPTY)

    def tell(self, text: str, warn: bool = False) -> None:
        """Show a message; one that must not be missed is also a notification."""
        self.status = text
        if warn:
            self._warn(text)
        self.changed.emit()

    def close(self) -> None:
        """Let go of everything."""
        self._place.chosen_changed.disconnect(self.follow)
        self.tool.stop()
        self.ledger.close()
        self.bridge.close()

    # --- going there -----------------------------------------------------------------

    def go_to(self, object_id: int, place: int | None = None) -> None:
        """Show an object on one of its planes, by default the one in its middle."""
        labels, row = self.ledger.labels, self.ledger.rows.get(object_id)
        if labels is None or row is None or not row.planes:
            return
        if self.current != object_id:
            self._seen_planes = []
        self.current = object_id
        if place not in row.planes:
            middle = int(np.searchsorted(np.cumsum(row.areas), row.areas.sum() / 2))
            place = row.planes[min(middle, len(row.planes) - 1)]
        axis = self.ledger.axis
        there = [
            plane
            for plane in row.record.planes
            if (plane.key.index[axis] if axis < len(plane.key.index) else 0) == place
            and len(plane.key.index) == labels.ndim - 2
        ]
        if there:
            fly_to(self._viewer, labels, max(there, key=lambda plane: plane.area))
        if object_id <= int(np.iinfo(full_resolution(labels).dtype).max):
            labels.selected_label = object_id
        self.chosen.emit((object_id,))

    def next_object(self) -> None:
        """Go to the doubtful object that is most worth a look and was not shown yet."""
        rows = doubtful(self.ledger.rows.values())
        left = [row for row in rows if row.record.id not in self._seen]
        if not left:
            self._seen = []
            self.tell("All doubtful objects were shown: the next is the worst again.")
            return
        row = left[0]
        self._seen.append(row.record.id)
        self.go_to(row.record.id, row.worst)
        trust = "trust unknown" if row.trust is None else f"trust {row.trust:.2f}"
        self.tell(f"Object {row.record.id}: {trust}. {len(left) - 1} more to look at.")

    def next_plane(self) -> None:
        """Go to the plane of this object that is most worth a look."""
        row = None if self.current is None else self.ledger.rows.get(self.current)
        if row is None:
            self.next_object()
            return
        number = row.record.id
        left = [
            place
            for place in worst_planes(row.record, self.ledger.axis)
            if place not in self._seen_planes
        ]
        if not left:
            self._seen_planes = []
            self.tell(f"Object {number} has no other doubtful plane.")
            return
        self._seen_planes.append(left[0])
        self.go_to(number, left[0])
        self.tell(f"Object {number}, plane {left[0]}: {len(left) - 1} more to look at.")

    # --- what is said of objects -----------------------------------------------------

    def set_state(self, ids: Sequence[int], state: str) -> None:
        """Note that objects are verified, or need work."""
        word = {"verified": "Verifying", "needs work": "Marking as needing work"}
        self._annotate(ids, f"{word.get(state, 'Marking')} {_names(ids)}", state=state)

    def set_class(self, ids: Sequence[int], name: str) -> None:
        """Give objects a class, made where there is none of that name."""
        store, name = self.ledger.store, name.strip()
        if store is None:
            return
        if name:
            class_of_name(store, name)
        what = f"Class '{name}' of" if name else "No class for"
        self._annotate(ids, f"{what} {_names(ids)}", class_name=name)
        self.classes.refresh_soon()

    def _annotate(self, ids: Sequence[int], text: str, **fields: Any) -> None:
        store = self.ledger.store
        if store is None or not ids:
            self.tell("Choose objects in the table first.")
            return
        self._place.steps.history.push(annotate(store, ids, text, **fields))
        self.tell(f"{text}: done. Ctrl+Z takes it back.")

    # --- what changes pixels ---------------------------------------------------------

    def merge(self, ids: Sequence[int]) -> None:
        """Make objects one, under the number of the first."""
        self._edit(lambda labels: edits.merge(self._place.acceptor, labels, ids))

    def delete(self, ids: Sequence[int]) -> None:
        """Make objects background."""
        self._edit(lambda labels: edits.delete(self._place.acceptor, labels, ids), ids)

    def renumber(self, old: int, new: int) -> None:
        """Give an object another number."""
        self._edit(lambda labels: edits.renumber(self._place.acceptor, labels, old, new))

    def start_split(self, ids: Sequence[int], kind: Literal["line", "clicks"]) -> None:
        """Let the user draw where an object is to be cut."""
        labels = self.ledger.labels
        if labels is None or len(ids) != 1:
            self.tell("Choose one object in the table to split.")
            return
        self.tool.start(labels, ids[0], kind)
        how = (
            "Draw a line across the object, from outside to outside."
            if kind == "line"
            else "Click on each part of the object, then press Split at clicks again."
        )
        self.tell(f"Splitting object {ids[0]}. {how}")

    def cut(self) -> None:
        """Cut where the user has drawn."""
        labels, number, places = self.ledger.labels, self.tool.object_id, self.tool.places
        if labels is None or number is None:
            return
        kind, axes = self.tool.kind, _plane_axes(self._viewer, labels)
        data = full_resolution(labels)
        spacing = np.abs(np.asarray(labels.scale, dtype=float))
        if len(places) < 2:
            self.tell("Click on two or more places of the object.")
            return

        def find() -> tuple[ObjectVoxels, NDArray[np.int64]]:
            whole = voxels_of(data, number)
            if kind == "line":
                return whole, by_line(whole, places, axes, spacing)
            return whole, by_clicks(whole, places, spacing)

        def found(future: Future[tuple[ObjectVoxels, NDArray[np.int64]]]) -> None:
            failure = complaint(future)
            if failure is not None:
                self.tell(failure, warn=True)
                return
            whole, parts = future.result()
            acceptor = self._place.acceptor
            self._edit(lambda now: edits.split(acceptor, now, number, whole.flat, parts))

        self.tool.stop()
        self._viewer.layers.selection.active = labels
        self.tell(f"Splitting object {number} ...")
        self.bridge.deliver(in_background(find, "cellprompt-split"), found)

    def _edit(
        self, work: Callable[[Labels], edits.LabelEdit], ids: Sequence[int] = (0,)
    ) -> None:
        labels = self.ledger.labels
        if labels is None or not ids:
            self.tell("Choose objects in the table first.")
            return
        if self._place.steps.review is not None:
            self.tell("Accept or discard the propagation first.", warn=True)
            return
        try:
            edit = work(labels)
        except CellpromptError as error:
            self.tell(str(error), warn=True)
            return
        edit.tell = self.tell
        self._place.steps.history.push(edit.step())
        self.tell(f"{edit.text}: done. Ctrl+Z takes it back.")
        self.classes.refresh_soon()

    # --- looks -----------------------------------------------------------------------

    def colour(self, row: ObjectRow) -> str:
        """The colour of an object's class, or else the one that it has in the layer."""
        record: ObjectRecord = row.record
        store, labels = self.ledger.store, self.ledger.labels
        if record.class_name and store is not None:
            for one in store.classes:
                if one.name == record.class_name:
                    return one.colour
        colour = None if labels is None else labels.get_color(record.id)
        if colour is None:
            return ""
        red, green, blue = (round(255 * float(part)) for part in colour[:3])
        return f"#{red:02x}{green:02x}{blue:02x}"


def _plane_axes(viewer: ViewerModel, labels: Labels) -> tuple[int, int]:
    """The two axes of a layer's array that are on screen."""
    lead = viewer.dims.ndim - labels.ndim
    first, second = sorted(axis - lead for axis in viewer.dims.displayed[-2:])
    return first, second


def _names(ids: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in ids[:5])
    return f"object{'s' * (len(ids) > 1)} {shown}{', ...' * (len(ids) > 5)}"
