"""The overlay that shows what was found without prompts, before it is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_cellprompt.layers.coordinates import array_shape
from napari_cellprompt.layers.grids import layer_kwargs

from .mask import preview_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from numpy.typing import NDArray

    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["FoundPreview"]


class FoundPreview:
    """A Labels layer over one plane of an image, or over its planes along one axis.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to draw in.
    name : str
        Of the layer.
    """

    def __init__(self, viewer: ViewerModel, name: str = "Everything") -> None:
        self._viewer = viewer
        self._name = name
        self._layer: Labels | None = None
        self._axis: int | None = None
        self._plane_axes = (0, 1)

    @property
    def layer(self) -> Labels | None:
        """The layer while it is in the viewer."""
        return self._layer if self._layer in self._viewer.layers else None

    def open(self, image: Image, view: PlaneView, axis: int | None) -> Labels:
        """Add an empty layer in place of the last one.

        Parameters
        ----------
        image : napari.layers.Image
            Where objects were looked for.
        view : PlaneView
            On which plane; fixes the other axes.
        axis : int, optional
            Array axis along which there are more planes.
        """
        self.close()
        full = array_shape(image)
        shape, origin, span = [1] * image.ndim, np.zeros(image.ndim), np.ones(image.ndim)
        for number in (*view.axes, *(() if axis is None else (axis,))):
            shape[number] = full[number]
        for number, index in zip(view.other_axes(image.ndim), view.index, strict=True):
            origin[number] = 0 if number == axis else index
        if view.channel_axis is not None:
            span[view.channel_axis] = full[view.channel_axis]
        selected = set(self._viewer.layers.selection)
        layer = Labels(
            np.zeros(shape, np.uint32),
            name=self._name,
            opacity=0.6,
            metadata=preview_metadata(),
            **layer_kwargs(image, origin=origin, span=span),
        )
        self._viewer.add_layer(layer)
        self._viewer.layers.selection = selected
        self._layer, self._axis, self._plane_axes = layer, axis, view.axes
        return layer

    def show(self, labels: NDArray[Any]) -> None:
        """Take these labels in place of what is shown; they are not copied.

        Parameters
        ----------
        labels : ndarray, shape (N, H, W)
            Of all planes; N is 1 without an axis of planes.
        """
        layer = self.layer
        if layer is None:
            return
        axes: tuple[int, ...] = self._plane_axes
        if self._axis is None:
            labels = labels[0]
        else:
            axes = (self._axis, *axes)
        ordered = labels.transpose(np.argsort(axes))
        rest = [axis for axis in range(layer.ndim) if axis not in axes]
        layer.data = np.expand_dims(ordered, rest)

    def close(self) -> None:
        """Remove the layer."""
        if self.layer is not None:
            self._viewer.layers.remove(self._layer)
        self._layer = None
