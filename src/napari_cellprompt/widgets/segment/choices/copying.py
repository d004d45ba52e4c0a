"""Says that labels cannot be written into, and makes a copy of them that can."""

from __future__ import annotations

import math
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any

import psutil

from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.labels.commit import max_label
from napari_cellprompt.layers.labels.writable import (
    MAKE_COPY,
    copy_in_memory,
    put_in_place,
    unwritable,
)
from napari_cellprompt.session.zoo import in_background
from napari_cellprompt.widgets.shared.bridge import complaint

from .note import ButtonNote

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellprompt.widgets.segment.workplace import Workplace
    from napari_cellprompt.widgets.shared.bridge import ResultBridge

__all__ = ["CopyNote"]

_SHARE = 0.8
"""Of the memory that is free, what a copy may take."""


class CopyNote(ButtonNote):
    """A sentence on labels that can only be read, and a button that copies them.

    Shown only where such a layer is to take the objects of the image.

    Parameters
    ----------
    place : Workplace
        Whose Labels layer it is about.
    bridge : ResultBridge
        Brings the copy; arrays are never read on the GUI thread.
    tell : callable
        Told how it went, and whether the user must not miss that.
    """

    def __init__(
        self, place: Workplace, bridge: ResultBridge, tell: Callable[[str, bool], None]
    ) -> None:
        super().__init__(
            MAKE_COPY,
            "Read the labels into memory, and put them where this layer is now",
            self.copy,
        )
        self._place = place
        self._bridge = bridge
        self._tell = tell
        self._labels: Labels | None = None
        self._stop = Event()
        self._copying = False
        place.chosen_changed.connect(self.look)

    def look(self) -> None:
        """Follow which layer takes the objects."""
        labels = self._place.chosen.labels
        if labels is self._labels:
            return
        self._stop.set()
        self._labels, self._copying = labels, False
        self._show()

    def copy(self) -> None:
        """Read the labels, then put the copy in the place of their layer."""
        labels = self._labels
        if labels is None or self._copying:
            return
        self._copying = True
        self._stop = stop = Event()
        read = copy_in_memory(labels, stop.is_set)

        def work() -> tuple[NDArray[Any], int] | None:
            array = read()
            return None if array is None else (array, max_label(array))

        self._bridge.deliver(
            in_background(work, "cellprompt-copy"), partial(self._copied, labels, stop)
        )
        self._show()

    def close_down(self) -> None:
        """Undo every connection, and stop reading."""
        self._stop.set()
        self._labels = None
        self._place.chosen_changed.disconnect(self.look)

    def _copied(
        self,
        labels: Labels,
        stop: Event,
        future: Future[tuple[NDArray[Any], int] | None],
    ) -> None:
        name = labels.name
        if stop.is_set() or labels is not self._labels:
            return
        self._copying = False
        failure = complaint(future)
        found = None if failure is not None else future.result()
        if found is None or labels not in self._place.viewer.layers:
            self._show()
            if failure:
                self._tell(f"'{name}' was not copied: {failure}", True)
            return
        array, largest = found
        copy = put_in_place(self._place.viewer, labels, array)
        self._place.acceptor.take_place(labels, copy)
        self._place.acceptor.ids.know(copy, largest)
        self._place.update()
        self._tell(
            f"'{copy.name}' is now a copy in memory ({_size(array.nbytes)}). What it was "
            "read from stays as it is: save the layer to keep what you add.",
            False,
        )

    def _show(self) -> None:
        labels = self._labels
        reason = "" if labels is None else unwritable(labels)
        self.setVisible(bool(reason))
        if labels is None or not reason:
            return
        need, free = _bytes_of(labels), int(psutil.virtual_memory().available)
        fits = need <= _SHARE * free
        self.button.setVisible(fits)
        self.button.setEnabled(not self._copying)
        if self._copying:
            text = f"Reading {_size(need)} into memory ..."
        elif fits:
            text = f"{reason}. A copy in memory takes {_size(need)}."
        else:
            text = (
                f"{reason}. A copy of {_size(need)} does not fit into the {_size(free)} of "
                "memory that are free: write the labels into a zarr array and open that."
            )
        self.line.setText(text)


def _bytes_of(labels: Labels) -> int:
    data = full_resolution(labels)
    nbytes: int = math.prod(data.shape) * data.dtype.itemsize
    return nbytes


def _size(nbytes: float) -> str:
    """A number of bytes for people, such as ``1.5 GB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"
