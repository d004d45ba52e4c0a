"""A layer of classes beside the layer of objects, on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer

from napari_cellprompt.layers.grids import layer_kwargs
from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.session.zoo import in_background
from napari_cellprompt.widgets.shared.bridge import complaint

if TYPE_CHECKING:
    from concurrent.futures import Future

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellprompt.widgets.segment.workplace import Workplace
    from napari_cellprompt.widgets.shared.bridge import ResultBridge

__all__ = ["ClassLayer"]

_PAUSE = 400


class ClassLayer:
    """Makes the layer, and keeps it in line as long as it is there.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where to add it.
    place : Workplace
        Knows the layer of objects, and what is said of them.
    bridge : ResultBridge
        Brings what was computed to the GUI thread.
    """

    def __init__(self, viewer: ViewerModel, place: Workplace, bridge: ResultBridge) -> None:
        self._viewer = viewer
        self._place = place
        self._bridge = bridge
        self._layer: Labels | None = None
        self._later = QTimer(bridge)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE)
        self._later.timeout.connect(self.show)

    def refresh_soon(self) -> None:
        """Bring the layer in line, where there is one."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._later.start()

    def show(self) -> None:
        """Make the layer, or bring it in line."""
        labels = self._place.chosen.labels
        if labels is None:
            return
        store = self._place.acceptor.store(labels)
        numbers = {one.name: one.number for one in store.classes}
        table = {
            record.id: numbers[record.class_name]
            for record in store
            if record.class_name in numbers
        }
        data = full_resolution(labels)

        def work() -> NDArray[np.uint8]:
            found = np.zeros(data.shape, dtype=np.uint8)
            if not table:
                return found
            ids = np.array(sorted(table), dtype=np.int64)
            values = np.array([table[int(number)] for number in ids], dtype=np.uint8)
            for index in np.ndindex(*data.shape[:-2]):
                plane = np.asarray(data[index])
                nearest = np.minimum(np.searchsorted(ids, plane), len(ids) - 1)
                found[index] = np.where(ids[nearest] == plane, values[nearest], 0)
            return found

        def made(future: Future[NDArray[np.uint8]]) -> None:
            if complaint(future) is None and labels in self._viewer.layers:
                self._put(labels, future.result())

        self._bridge.deliver(in_background(work, "cellprompt-classes"), made)

    def _put(self, labels: Labels, data: NDArray[np.uint8]) -> None:
        from napari.layers import Labels as LabelsLayer
        from napari.utils.colormaps import DirectLabelColormap

        store = self._place.acceptor.store(labels)
        colours: dict[int | None, str] = {None: "transparent", 0: "transparent"}
        colours |= {one.number: one.colour for one in store.classes}
        layer = self._layer
        if (
            layer is None
            or layer not in self._viewer.layers
            or (layer.data.shape != data.shape)
        ):
            layer = LabelsLayer(data, name=f"{labels.name} classes", **layer_kwargs(labels))
            selected = self._viewer.layers.selection.active
            self._viewer.add_layer(layer)
            self._viewer.layers.selection.active = selected
            layer.editable = False
            self._layer = layer
        else:
            layer.data = data
        layer.colormap = DirectLabelColormap(color_dict=colours)
        layer.features = {
            "index": [one.number for one in store.classes],
            "class": [one.name for one in store.classes],
        }
