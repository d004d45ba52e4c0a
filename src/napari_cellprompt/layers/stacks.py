"""Image layers as stacks of planes to follow objects through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import PlaneSource

from .coordinates import array_shape, to_world
from .images import plane_arguments

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_cellprompt.core.types import MixedChannel

    from .coordinates import PlaneView

__all__ = ["LayerStack", "StackAxis", "show_plane", "stack_axes"]

_DEPTH = ("z", "depth")
_TIME = ("t", "time", "frame", "frames")


@dataclass(frozen=True, slots=True)
class StackAxis:
    """An axis of an image layer that objects can be followed along."""

    axis: int
    """Of the layer's array."""
    length: int
    name: str
    """As people call it: the layer's label, or the number of the axis."""

    @property
    def is_time(self) -> bool:
        """Whether the label says so."""
        return self.name.lower() in _TIME

    @property
    def is_depth(self) -> bool:
        """Whether the label says so; objects divide in time and not in depth."""
        return self.name.lower() in _DEPTH

    @property
    def plane_word(self) -> str:
        """What one step along the axis is called."""
        return "frame" if self.is_time else "plane"


def stack_axes(image: Image, view: PlaneView) -> list[StackAxis]:
    """The axes with more than one plane, the likeliest one to be meant first.

    That is the depth where the labels tell, else the last axis beside the plane.
    """
    shape = array_shape(image)
    found = []
    for axis in view.other_axes(image.ndim):
        if shape[axis] > 1:
            label = str(image.axis_labels[axis])
            # napari names axes without a label by negative numbers.
            named = label and not label.lstrip("-").isdigit()
            name = label if named else f"axis {axis}"
            found.append(StackAxis(axis, shape[axis], name))
    return sorted(found, key=lambda axis: (not axis.is_depth, -axis.axis))


class LayerStack:
    """The planes of an image layer along one axis; reads nothing before it is needed.

    Parameters
    ----------
    image : napari.layers.Image
        In memory, dask or zarr; of a multiscale layer the finest level is taken.
    view : PlaneView
        Any plane of the stack; fixes the other axes.
    axis : StackAxis
        From ``stack_axes``.
    image_id : str
        Identity of the pixels, from ``ImageRevisions.key``.
    channel : int, optional
        As for ``images.plane_source``.
    limits : tuple of float, optional
        Grey values that become 0 and 255, the same on all planes.
    channels, sources : tuple
        As for ``images.plane_source``.

    Raises
    ------
    ImageError
        When the planes cannot be read like this.
    """

    def __init__(
        self,
        image: Image,
        view: PlaneView,
        axis: StackAxis,
        *,
        image_id: str,
        channel: int | None = None,
        limits: tuple[float, float] | None = None,
        channels: tuple[MixedChannel, ...] = (),
        sources: tuple[Any, ...] = (),
    ) -> None:
        self.image = image
        self.axis = axis
        self.view = view
        self._place = view.other_axes(image.ndim).index(axis.axis)
        # The layer itself belongs to the GUI thread; planes are read on another one.
        self._data, self._arguments = plane_arguments(
            image,
            view,
            image_id=image_id,
            channel=channel,
            limits=limits,
            channels=channels,
            sources=sources,
        )
        self.shape = self.plane(0).shape
        """Rows and columns of each plane."""

    @property
    def is_time(self) -> bool:
        """Whether the planes are frames of a movie."""
        return self.axis.is_time

    def __len__(self) -> int:
        return self.axis.length

    def plane(self, index: int) -> PlaneSource:
        """The plane at this place along the axis; reads no pixels yet.

        Raises
        ------
        ImageError
            When there is no such plane.
        """
        if not 0 <= index < len(self):
            raise ImageError(f"There is no {self.axis.plane_word} {index} in the stack.")
        return PlaneSource(self._data, index=self.view_at(index).index, **self._arguments)

    def view_at(self, index: int) -> PlaneView:
        """The same plane in the viewer."""
        steps = list(self.view.index)
        steps[self._place] = index
        return replace(self.view, index=tuple(steps), in_range=True)

    def number_of(self, view: PlaneView) -> int | None:
        """Place of a plane in the stack; None when it belongs to another stack."""
        if len(view.index) != len(self.view.index):
            return None
        number = view.index[self._place]
        return (
            number
            if view == replace(self.view_at(number), in_range=view.in_range)
            else None
        )


def show_plane(viewer: ViewerModel, image: Image, view: PlaneView) -> None:
    """Move the viewer's sliders to a plane of an image."""
    point = np.zeros((1, image.ndim))
    others = view.other_axes(image.ndim)
    for axis, step in zip(others, view.index, strict=True):
        point[0, axis] = step
    world = to_world(image, point, viewer.dims.units)[0]
    lead = viewer.dims.ndim - image.ndim
    axes = [axis + lead for axis in others]
    viewer.dims.set_point(axes, [float(world[axis]) for axis in others])
