"""Rows of the objects of a Labels layer, kept in line with it in the background."""

from __future__ import annotations

import time
import weakref
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.labels.survey import (
    apply_differences,
    differences,
    survey,
)
from napari_cellprompt.session.object_rows import main_axis, row_of
from napari_cellprompt.session.zoo import in_background
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_cellprompt.layers.labels.accept import Acceptor
    from napari_cellprompt.session.object_rows import ObjectRow
    from napari_cellprompt.session.objects import Change, ObjectRecord, ObjectStore

__all__ = ["Ledger"]

_BREATH = 50
_PAUSE = 300
"""Milliseconds of quiet after which a layer is read again."""


class Ledger:
    """Follows the ledger of one Labels layer, and the layer itself.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose sliders tell a redrawing from a change of pixels.
    acceptor : Acceptor
        Has the ledgers.
    bridge : ResultBridge
        Brings what was read to the GUI thread.
    """

    changed = Signal()
    """Rows are not what they were."""
    failed = Signal(str)
    """The layer could not be read; with a sentence."""

    def __init__(
        self, viewer: ViewerModel, acceptor: Acceptor, bridge: ResultBridge
    ) -> None:
        self._viewer = viewer
        self._sliders: object = None
        self._acceptor = acceptor
        self._bridge = bridge
        self._labels: Labels | None = None
        self._store: ObjectStore | None = None
        self.rows: dict[int, ObjectRow] = {}
        """By id."""
        self.version = 0
        """Goes up whenever rows are not what they were."""
        self.axis = 0
        """Entry of a plane's index along which objects reach."""
        self.reading = False
        """Whether the layer is being read."""
        self._stop = Event()
        self._lost: weakref.WeakKeyDictionary[Labels, dict[int, ObjectRecord]] = (
            weakref.WeakKeyDictionary()
        )
        self._again = QTimer(bridge)
        self._again.setSingleShot(True)
        self._again.setInterval(_PAUSE)
        self._again.timeout.connect(self.read)

    @property
    def labels(self) -> Labels | None:
        """The layer; None before there is one."""
        return self._labels

    @property
    def store(self) -> ObjectStore | None:
        """Its ledger."""
        return self._store

    @property
    def unit(self) -> tuple[float, str]:
        """Area or volume of a pixel, and what it is called."""
        labels = self._labels
        if labels is None:
            return 1.0, "px"
        reach = labels.ndim >= 3 and labels.data.shape[-3] > 1
        units = [str(unit) for unit in labels.units]
        names = units[-3:] if reach else units[-2:]
        scale = np.abs(np.asarray(labels.scale, dtype=float))
        label = str(labels.axis_labels[-3]).lower() if reach else ""
        if reach and (label.startswith("t") or len(set(names)) > 1):
            names, reach = units[-2:], False  # a movie has areas, not volumes
        if len(set(names)) > 1 or names[-1] in ("pixel", "dimensionless"):
            return 1.0, "px"
        short = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm"}
        unit = short.get(names[-1], names[-1])
        return float(np.prod(scale[-len(names) :])), f"{unit}{'³' if reach else '²'}"

    def follow(self, labels: Labels | None) -> None:
        """Show the objects of a layer from now on."""
        if labels is self._labels:
            return
        self._let_go()
        self._labels = labels
        self.rows = {}
        self.version += 1
        if labels is not None:
            self._store = self._acceptor.store(labels)
            self._store.changed.connect(self._records_changed)
            for emitter in _changes_of(labels):
                emitter.connect(self._pixels_changed)
            self._records_changed(())
            self.read()
        self.changed.emit()

    def close(self) -> None:
        """Follow nothing any more."""
        self._let_go()
        self._labels = None

    def _let_go(self) -> None:
        self._again.stop()
        self._stop.set()
        self.reading = False
        labels, store = self._labels, self._store
        if store is not None:
            store.changed.disconnect(self._records_changed)
        if labels is not None:
            for emitter in _changes_of(labels):
                emitter.disconnect(self._pixels_changed)
        self._store = None

    # --- from the ledger -------------------------------------------------------------

    def _records_changed(self, ids: tuple[int, ...]) -> None:
        """Make the rows of some objects anew; of all where none is named."""
        store = self._store
        if store is None:
            return
        if not ids:
            self.axis = main_axis(store)
        wanted: Iterable[int] = ids or {*self.rows, *(record.id for record in store)}
        size, _ = self.unit
        for number in wanted:
            record = store.get(number)
            if record is None:
                self.rows.pop(number, None)
            elif (row := self.rows.get(number)) is None or row.record is not record:
                self.rows[number] = row_of(record, self.axis, size)
        self.version += 1
        self.changed.emit()

    # --- from the layer --------------------------------------------------------------

    def _pixels_changed(self, event: Any = None) -> None:
        """Read again after a pause; a redrawing with other sliders is no change."""
        dims = self._viewer.dims
        now = (dims.point, dims.order, dims.ndisplay)
        before, self._sliders = self._sliders, now
        if getattr(event, "type", "") != "set_data" or before == now:
            self._again.start()

    def read(self) -> None:
        """Look in the background what is in the layer."""
        labels, store = self._labels, self._store
        if labels is None or store is None:
            return
        self._again.stop()
        self._stop.set()
        self._stop = stop = Event()
        data = full_resolution(labels)
        records, lost = list(store), dict(self._lost.setdefault(labels, {}))
        size, _ = self.unit

        def work() -> tuple[list[Change], dict[int, ObjectRow], int] | None:
            seen = survey(data, stop.is_set)
            if seen is None:
                return None
            changes = differences(records, seen, lost)
            after = [change.after for change in changes if change.after is not None]
            axis = main_axis([*after, *records])
            rows = {}
            for number, one in enumerate(after):
                rows[one.id] = row_of(one, axis, size)
                if number % _BREATH == 0:
                    time.sleep(0.001)  # lets the GUI thread have its turn
            return changes, rows, axis

        self.reading = True
        future = in_background(work, "cellprompt-objects")
        self._bridge.deliver(future, partial(self._read, labels, stop))

    def _read(
        self,
        labels: Labels,
        stop: Event,
        future: Future[tuple[list[Change], dict[int, ObjectRow], int] | None],
    ) -> None:
        if stop is not self._stop or labels is not self._labels or self._store is None:
            return
        self.reading = False
        failure = complaint(future)
        found = None if failure is not None else future.result()
        if failure:
            self.failed.emit(failure)
        if found is None:
            self.changed.emit()
            return
        changes, rows, axis = found
        other_axis = axis != self.axis
        self.axis = axis
        if not other_axis:
            self.rows |= rows  # made there already; those that do not fit are made anew
        apply_differences(self._store, changes, self._lost[labels])
        if other_axis:
            self.rows = {}
            self._records_changed(())
        self.changed.emit()


def _changes_of(labels: Labels) -> tuple[Any, ...]:
    """What a layer emits when its pixels may have changed: napari's own undo only draws."""
    events = labels.events
    return events.paint, events.data, events.set_data
