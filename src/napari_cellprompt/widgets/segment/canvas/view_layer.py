"""Shows what the model sees, as an image layer at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_cellprompt.layers.grids import layer_kwargs
from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.on_top import images_of
from napari_cellprompt.layers.previews.mask import preview_metadata

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_cellprompt.core.inference.model import Shown
    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["ModelViewLayer"]

_NAME = "What the model sees"


class ModelViewLayer:
    """One image layer over the plane, replaced each time and removed at the end.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where to show it.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Image | None = None

    @property
    def layer(self) -> Image | None:
        """The layer while it is in the viewer."""
        return self._layer if self._layer in self._viewer.layers else None

    def show(self, image: Image, view: PlaneView, seen: Shown) -> None:
        """Put the pixels of a tile where they belong."""
        self.close()
        origin = np.zeros(image.ndim)
        span = np.ones(image.ndim)
        for axis, index in zip(view.other_axes(image.ndim), view.index, strict=True):
            origin[axis] = index
        if view.channel_axis is not None:
            data = full_resolution(image)
            span[view.channel_axis] = data.shape[view.channel_axis]
        shape = [1] * image.ndim
        for axis, start, side in zip(
            view.axes, (seen.tile.y0, seen.tile.x0), seen.pixels.shape, strict=False
        ):
            origin[axis], span[axis], shape[axis] = start, 1 / seen.tile.magnification, side
        active = self._viewer.layers.selection.active
        layer = Image(
            seen.pixels.reshape(*shape, 3),
            rgb=True,
            name=_NAME,
            metadata=preview_metadata(),
            **layer_kwargs(image, origin=origin, span=span),
        )
        # Above all images, which may be seen through, and below prompts and masks.
        top = max(self._viewer.layers.index(one) for one in images_of(self._viewer))
        self._viewer.layers.insert(top + 1, layer)
        self._layer = layer
        if active is not None:
            self._viewer.layers.selection.active = active

    def close(self) -> None:
        """Remove the layer."""
        if self.layer is not None:
            self._viewer.layers.remove(self._layer)
        self._layer = None
