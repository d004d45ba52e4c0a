"""Overlays along a whole stack: propagated objects, and what a correction changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.layers.coordinates import array_shape
from napari_cellprompt.layers.grids import layer_kwargs

from .mask import preview_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.layers.stacks import LayerStack

__all__ = ["StackLabels"]


class StackLabels:
    """A Labels layer over the planes of one stack, drawn mask by mask.

    The layer has the image's axes with length 1 outside the stack, so that it is seen
    only there. Its array comes from ``numpy.zeros``: the operating system hands out
    memory only where something is drawn, and nothing is ever copied whole.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to draw in.
    name : str
        Name of the layer.
    """

    def __init__(self, viewer: ViewerModel, name: str) -> None:
        self._viewer = viewer
        self._name = name
        self._layer: Labels | None = None
        self._stack: LayerStack | None = None
        self._drawn: dict[tuple[int, int], tuple[slice, slice]] = {}

    @property
    def layer(self) -> Labels | None:
        """The layer while it is in the viewer."""
        return self._layer if self._layer in self._viewer.layers else None

    def open(self, stack: LayerStack, *, largest_id: int = 1, **look: Any) -> Labels:
        """Add an empty layer for a stack in place of the last one.

        Parameters
        ----------
        stack : LayerStack
            Where to draw.
        largest_id : int
            Ids up to this one have to fit.
        **look
            Passed on to the layer: colormap, opacity, contour.

        Raises
        ------
        ImageError
            When there is no memory for an array of this size.
        """
        self.close()
        image, view = stack.image, stack.view
        full = array_shape(image)
        shape, origin, span = [1] * image.ndim, np.zeros(image.ndim), np.ones(image.ndim)
        for axis in (*view.axes, stack.axis.axis):
            shape[axis] = full[axis]
        for axis, index in zip(view.other_axes(image.ndim), view.index, strict=True):
            origin[axis] = 0 if axis == stack.axis.axis else index
        if view.channel_axis is not None:
            span[view.channel_axis] = full[view.channel_axis]
        # Daughters of divisions get ids of their own later on.
        dtype = np.dtype(np.uint16 if largest_id < 1 << 15 else np.uint32)
        try:
            data = np.zeros(shape, dtype=dtype)
        except MemoryError as error:
            raise ImageError(
                f"There is no memory for masks of {shape} pixels: propagate on a part of "
                "the image."
            ) from error
        selected = set(self._viewer.layers.selection)
        layer = Labels(
            data,
            name=self._name,
            metadata=preview_metadata(),
            **look,
            **layer_kwargs(image, origin=origin, span=span),
        )
        self._viewer.add_layer(layer)
        # A new layer becomes the active one, but the user is about to click on.
        self._viewer.layers.selection = selected
        self._layer, self._stack = layer, stack
        return layer

    def draw(self, plane: int, object_id: int, mask: CroppedMask | None) -> None:
        """Replace an object's pixels on one plane; ``refresh`` makes them visible."""
        target = self.plane(plane)
        if target is None:
            return
        before = self._drawn.pop((plane, object_id), None)
        if before is not None:
            part = target[before]
            part[part == object_id] = 0
        box = None if mask is None else mask.box
        if mask is None or box is None:
            return
        x0, y0, x1, y1 = box
        top, left = mask.origin
        inside = mask.data[y0 - top : y1 - top, x0 - left : x1 - left]
        where = (slice(y0, y1), slice(x0, x1))
        target[where][inside] = object_id
        self._drawn[plane, object_id] = where

    @property
    def drawn(self) -> list[tuple[int, int]]:
        """Plane and id of each mask that is drawn."""
        return list(self._drawn)

    def claim(self, plane: int, object_id: int) -> None:
        """Take pixels into account that the user painted with an object's id."""
        target = self.plane(plane)
        if target is not None:
            # Anywhere on the plane, so that the next mask replaces all of them.
            self._drawn[plane, object_id] = (slice(None), slice(None))

    def plane(self, plane: int) -> NDArray[Any] | None:
        """The pixels of one plane, ``(H, W)``, that may be written to."""
        if self._layer is None or self._stack is None:
            return None
        stack = self._stack
        index: list[Any] = [0] * self._layer.ndim
        index[stack.axis.axis] = plane
        for axis in stack.view.axes:
            index[axis] = slice(None)
        view: NDArray[Any] = self._layer.data[tuple(index)]
        return view

    def refresh(self) -> None:
        """Show what was drawn on the plane on screen."""
        if self.layer is not None:
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def close(self) -> None:
        """Remove the layer."""
        if self.layer is not None:
            self._viewer.layers.remove(self._layer)
        self._layer = self._stack = None
        self._drawn.clear()
