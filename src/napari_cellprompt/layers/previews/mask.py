"""The overlay that shows a mask before it is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_cellprompt.layers.coordinates import array_shape, plane_shape
from napari_cellprompt.layers.grids import layer_kwargs

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["PREVIEW_NAME", "Preview", "is_preview", "preview_metadata"]

PREVIEW_NAME = "Preview"
_METADATA_KEY = "napari-cellprompt"
_FILLED, _OUTLINED = 0.5, 1.0
"""Opacity: an outline hides little, and a faint one is not seen on bright cells."""
# Planes up to this side are covered whole; larger ones by a window of this side that
# moves with the object, since a redraw costs time by the pixel.
_WINDOW = 1024
_VALUES = 8
"""Masks next to each other are told apart by so many values, all of one colour."""


def is_preview(layer: Layer) -> bool:
    """True for the overlay, which is none of the user's data."""
    mark = layer.metadata.get(_METADATA_KEY)
    return isinstance(mark, dict) and bool(mark.get("preview"))


def preview_metadata() -> dict[str, dict[str, bool]]:
    """Metadata that marks a layer as an overlay."""
    return {_METADATA_KEY: {"preview": True}}


@dataclass(frozen=True, slots=True)
class _Place:
    """What the overlay's shape and transform depend on, apart from its position."""

    image: str
    axes: tuple[int, int]
    channel_axis: int | None
    window: tuple[int, int]


class Preview:
    """A small Labels layer over one plane of an image.

    The layer has the image's axes with length 1 outside the plane, so that napari shows
    it on this plane only and in whatever order the axes are displayed. It is edited in
    place; a user who deletes it gets it back with the next mask.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to draw in.
    colour : str
        Colour of the mask.
    contour : int
        Width of the outline in pixels; 0 fills the mask.
    """

    def __init__(
        self, viewer: ViewerModel, *, colour: str = "#00e5ff", contour: int = 0
    ) -> None:
        self._viewer = viewer
        self._colour = colour
        self._contour = contour
        self._layer: Labels | None = None
        self._place: _Place | None = None
        self._origin: tuple[float, ...] = ()
        self._buffer: NDArray[np.uint8] = np.zeros((0, 0), dtype=np.uint8)
        self._filled: tuple[slice, slice] | None = None

    @property
    def layer(self) -> Labels | None:
        """The overlay while it is in the viewer."""
        return self._layer if self._is_shown() else None

    @property
    def contour(self) -> int:
        """Width of the outline in pixels; 0 fills the mask."""
        return self._contour

    @contour.setter
    def contour(self, width: int) -> None:
        self._contour = width
        if self._layer is not None:
            self._layer.contour = width
            self._layer.opacity = _OUTLINED if width else _FILLED

    def prepare(self, image: Image, view: PlaneView) -> None:
        """Add the empty layer ahead of the first mask.

        Adding a layer takes a few tenths of a second in a real window, which the user
        should not have to wait for after a click.
        """
        if self._fits(image, view):
            return
        plane = plane_shape(image, view)
        self._move(image, view, (_window(plane[0], 1), _window(plane[1], 1)), (0, 0))

    def show(self, image: Image, view: PlaneView, *masks: CroppedMask) -> None:
        """Draw masks over the plane ``view`` of ``image`` in place of the last ones."""
        boxes = [(mask, mask.box) for mask in masks]
        drawn = [(mask, box) for mask, box in boxes if box is not None]
        if not drawn:
            self.hide()
            return
        x0, y0 = (min(box[n] for _, box in drawn) for n in (0, 1))
        x1, y1 = (max(box[n] for _, box in drawn) for n in (2, 3))
        plane = plane_shape(image, view)
        window = self._window_for(image, view, (y1 - y0, x1 - x0))
        corner = (
            _corner(plane[0], window[0], y0, y1),
            _corner(plane[1], window[1], x0, x1),
        )
        self._move(image, view, window, corner)
        self._clear()
        for number, (mask, (left, top, right, bottom)) in enumerate(drawn):
            target = self._buffer[
                top - corner[0] : bottom - corner[0], left - corner[1] : right - corner[1]
            ]
            my, mx = mask.origin
            inside = mask.data[top - my : bottom - my, left - mx : right - mx]
            # Different values, so that outlines of neighbours do not run together.
            target[inside] = 1 + number % _VALUES
        self._filled = (
            slice(y0 - corner[0], y1 - corner[0]),
            slice(x0 - corner[1], x1 - corner[1]),
        )
        self._redraw()

    def hide(self) -> None:
        """Show no mask; the layer stays for the next one."""
        if self._filled is not None:
            self._clear()
            if self._is_shown():
                self._redraw()

    def close(self) -> None:
        """Remove the layer."""
        if self._is_shown():
            self._viewer.layers.remove(self._layer)
        self._layer, self._place, self._filled = None, None, None

    def _is_shown(self) -> bool:
        return self._layer is not None and self._layer in self._viewer.layers

    def _fits(self, image: Image, view: PlaneView) -> bool:
        """True when the layer is in the viewer and runs along this plane."""
        return (
            self._is_shown()
            and self._place is not None
            and (self._place.image, self._place.axes, self._place.channel_axis)
            == (str(image.unique_id), view.axes, view.channel_axis)
        )

    def _window_for(
        self, image: Image, view: PlaneView, size: tuple[int, int]
    ) -> tuple[int, int]:
        """Window for an object; it only grows, since another one is another layer."""
        plane = plane_shape(image, view)
        height, width = _window(plane[0], size[0]), _window(plane[1], size[1])
        if self._place is not None and self._fits(image, view):
            height = min(max(height, self._place.window[0]), plane[0])
            width = min(max(width, self._place.window[1]), plane[1])
        return height, width

    def _clear(self) -> None:
        if self._filled is not None:
            self._buffer[self._filled] = 0
            self._filled = None

    def _redraw(self) -> None:
        if self._layer is not None:
            # Neither extent nor thumbnail change; leaving them out halves the time.
            self._layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _move(
        self,
        image: Image,
        view: PlaneView,
        window: tuple[int, int],
        corner: tuple[int, int],
    ) -> None:
        """Bring the layer to a place, with a new one where the old does not fit."""
        origin = np.zeros(image.ndim)
        span = np.ones(image.ndim)
        for axis, index in zip(view.other_axes(image.ndim), view.index, strict=True):
            origin[axis] = index
        if view.channel_axis is not None:
            # One pixel as thick as all channels: it stays visible when they change.
            span[view.channel_axis] = array_shape(image)[view.channel_axis]
        origin[view.axes[0]], origin[view.axes[1]] = corner
        kwargs = layer_kwargs(image, origin=origin, span=span)
        place = _Place(str(image.unique_id), view.axes, view.channel_axis, window)
        if place != self._place or not self._is_shown():
            self._replace(place, kwargs, image.ndim)
        else:
            self._follow(kwargs)

    def _follow(self, kwargs: dict[str, Any]) -> None:
        """Take over a transform; each assignment costs a redraw, so only changes."""
        layer = self._layer
        if layer is None:
            return
        for name in ("scale", "rotate", "shear", "translate"):
            if not np.array_equal(getattr(layer, name), kwargs[name]):
                setattr(layer, name, kwargs[name])
        if not np.array_equal(layer.affine.affine_matrix, kwargs["affine"]):
            layer.affine = kwargs["affine"]
        if layer.units != kwargs["units"]:
            layer.units = kwargs["units"]

    def _replace(self, place: _Place, kwargs: dict[str, Any], ndim: int) -> None:
        selected = set(self._viewer.layers.selection) - {self._layer}
        self.close()
        shape = [1] * ndim
        shape[place.axes[0]], shape[place.axes[1]] = place.window
        data = np.zeros(shape, dtype=np.uint8)
        colours: dict[int | None, Any] = dict.fromkeys(range(1, _VALUES + 1), self._colour)
        colours[None] = "transparent"
        self._layer = Labels(
            data,
            name=PREVIEW_NAME,
            opacity=_OUTLINED if self._contour else _FILLED,
            colormap=DirectLabelColormap(color_dict=colours),
            metadata=preview_metadata(),
            **kwargs,
        )
        self._layer.contour = self._contour
        self._buffer = data.reshape(place.window)
        self._place = place
        self._viewer.add_layer(self._layer)
        # A new layer becomes the active one, but the user is about to click on.
        self._viewer.layers.selection = selected


def _window(plane: int, size: int) -> int:
    """Side of the window on a plane: whole, or a multiple of the usual window."""
    return min(plane, _WINDOW * -(-size // _WINDOW))


def _corner(plane: int, window: int, start: int, stop: int) -> int:
    """First pixel of a window around ``start`` to ``stop``.

    Windows stand on a grid of quarters, so that small changes of a mask do not move them.
    """
    step = max(window // 4, 1)
    wanted = (start + stop - window) // 2
    corner = min(max(wanted // step * step, 0), plane - window)
    return min(max(corner, stop - window), start)
