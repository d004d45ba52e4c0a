"""Lets the user draw where an object is to be cut: clicks, or a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.layers.grids import layer_kwargs

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels, Layer
    from numpy.typing import NDArray

__all__ = ["SplitTool"]

_COLOUR = "#f0e442"


class SplitTool:
    """A layer to draw a cut in, there as long as it is drawn.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where to draw.
    drawn : callable
        Called once a line is finished.
    """

    def __init__(self, viewer: ViewerModel, drawn: Callable[[], None]) -> None:
        self._viewer = viewer
        self._drawn = drawn
        self._layer: Layer | None = None
        self.object_id: int | None = None
        """What is to be cut; None while nothing is."""
        self.kind: Literal["line", "clicks"] = "clicks"

    @property
    def places(self) -> NDArray[np.float64]:
        """``(N, ndim)`` clicks, or corners of the line, as indices of the labels."""
        layer: Any = self._layer
        if layer is None or not len(layer.data):
            return np.empty((0, 0))
        return np.asarray(layer.data[-1] if self.kind == "line" else layer.data, float)

    def start(
        self, labels: Labels, object_id: int, kind: Literal["line", "clicks"]
    ) -> None:
        """Be ready for a cut of an object."""
        self.stop()
        self.object_id, self.kind = object_id, kind
        arguments: dict[str, Any] = {"ndim": labels.ndim, **layer_kwargs(labels)}
        size = max(2.0, 0.01 * labels.data.shape[-1])
        name = f"Split {object_id}"
        layer: Any
        if kind == "clicks":
            from napari.layers import Points

            layer = Points(
                name=name, face_color=_COLOUR, symbol="cross", size=size, **arguments
            )
        else:
            from napari.layers import Shapes

            layer = Shapes(name=name, edge_color=_COLOUR, edge_width=size / 3, **arguments)
            layer.current_edge_color = _COLOUR
        self._layer = layer
        self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = layer
        layer.mode = "add" if kind == "clicks" else "add_line"
        if kind == "line":
            layer.events.data.connect(self._on_line)

    def stop(self) -> None:
        """Take the layer away."""
        layer, self._layer, self.object_id = self._layer, None, None
        if layer is not None:
            layer.events.data.disconnect(self._on_line)
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _on_line(self, event: Any = None) -> None:
        if str(getattr(event, "action", "")).lower().endswith("added"):
            self._drawn()
