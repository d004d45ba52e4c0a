"""All coordinate and unit arithmetic between napari layers and planes of an image.

No other module calls ``data_to_world`` or ``world_to_data``. Four facts of napari
shape this file:

* World coordinates are right-aligned: a layer with fewer axes than the viewer has the
  last ones.
* ``layer.data_to_world`` ignores the layer's units, while the canvas scales each layer
  into the units of the viewer; where the units of the layers cannot be converted into
  each other, the canvas takes all numbers as they are, and so does this module.
* In layers, pixel centres are at integers, so pixel ``i`` covers ``i - 0.5`` to
  ``i + 0.5``. Points of the core are the same numbers in ``(x, y)`` order.
* The axes of a plane may be shown transposed or rolled (``viewer.dims.order``); the
  plane itself always stays in array order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pint

from napari_cellprompt.core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "PlaneView",
    "align_right",
    "array_shape",
    "channel_on_screen",
    "cursor_to_plane",
    "plane_of",
    "plane_shape",
    "plane_to_layer",
    "points_to_plane",
    "to_data",
    "to_world",
    "units_note",
]

Units = tuple[pint.Unit, ...]

# Coordinates that went through two affine transforms are off by rounding errors; a
# point this close to the border between two planes counts to the lower one.
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class PlaneView:
    """The plane of one image layer that the viewer shows.

    Two views are equal when they name the same plane, whatever the viewer's other
    sliders say.
    """

    axes: tuple[int, int]
    """The two array axes that span the plane, in array order (rows, columns)."""
    index: tuple[int, ...]
    """Indices of the remaining axes in array order, without the channel axis; clamped
    to the layer."""
    in_range: bool = True
    """False when the sliders are outside the layer, so that nothing of it is seen."""
    channel_axis: int | None = None
    """The axis that the user named as channels; it is neither in the plane nor in
    ``index``."""
    world_point: tuple[float, ...] = field(default=(), compare=False)
    """Position of all sliders, in world coordinates."""
    world_units: Units | None = field(default=None, compare=False)
    """Units of the world; None when those of the layers cannot be converted."""

    def other_axes(self, ndim: int) -> tuple[int, ...]:
        """The axes of ``index``, for a layer with ``ndim`` axes."""
        left_out = (*self.axes, self.channel_axis)
        return tuple(axis for axis in range(ndim) if axis not in left_out)


# --- from layers to the world and back -------------------------------------------


def _unit_factors(layer: Layer, units: Units | None) -> NDArray[np.float64]:
    """Numbers by which world coordinates of ``layer`` become those of ``units``."""
    factors = np.ones(layer.ndim)
    if units is None:
        return factors
    registry = pint.get_application_registry()
    pairs = list(zip(layer.units[::-1], units[::-1], strict=False))
    for position, (own, world) in enumerate(pairs, start=1):
        if own == world:
            continue
        own_factor, own_base = registry.get_base_units(own)
        world_factor, world_base = registry.get_base_units(world)
        if own_base == world_base:
            factors[-position] = own_factor / world_factor
    return factors


def _data_to_world(
    layer: Layer, units: Units | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and offset that take data coordinates of ``layer`` to the world."""
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=np.float64)
    columns = [
        np.asarray(layer.data_to_world(unit_vector), dtype=np.float64) - origin
        for unit_vector in np.eye(layer.ndim)
    ]
    factors = _unit_factors(layer, units)
    return factors[:, None] * np.stack(columns, axis=1), factors * origin


def align_right(
    points: NDArray[np.float64], ndim: int, fill: Sequence[float] = ()
) -> NDArray[np.float64]:
    """Cut or extend the columns of ``points`` on the left to ``ndim``.

    New columns take the aligned values of ``fill``, or 0 where it is too short.
    """
    count, have = points.shape
    if have >= ndim:
        return points[:, have - ndim :]
    padding = np.zeros(ndim)
    known = min(len(fill), ndim)
    if known:
        padding[ndim - known :] = np.asarray(fill, dtype=np.float64)[-known:]
    left = np.broadcast_to(padding[: ndim - have], (count, ndim - have))
    return np.concatenate([left, points], axis=1)


def to_data(
    layer: Layer, world: NDArray[np.float64], units: Units | None
) -> NDArray[np.float64]:
    """``(N, layer.ndim)`` data coordinates of ``(N, layer.ndim)`` world points."""
    matrix, offset = _data_to_world(layer, units)
    return np.asarray(np.linalg.solve(matrix, (world - offset).T).T, dtype=np.float64)


def to_world(
    layer: Layer, points: NDArray[np.float64], units: Units | None
) -> NDArray[np.float64]:
    """``(N, layer.ndim)`` world coordinates of ``(N, layer.ndim)`` data points."""
    matrix, offset = _data_to_world(layer, units)
    return points @ matrix.T + offset


def _as_points(points: ArrayLike, ndim: int) -> NDArray[np.float64]:
    array = np.asarray(points, dtype=np.float64)
    return array.reshape(-1, ndim) if array.size else np.empty((0, ndim))


def units_note(source: Layer, target: Layer) -> str | None:
    """A sentence when the units of two layers cannot be converted, else None."""
    registry = pint.get_application_registry()
    for own, other in zip(source.units[::-1], target.units[::-1], strict=False):
        if registry.get_base_units(own)[1] != registry.get_base_units(other)[1]:
            return (
                f"'{source.name}' is in {own} and '{target.name}' in {other}: napari "
                "cannot convert these, so their numbers are taken as they are."
            )
    return None


# --- planes -------------------------------------------------------------------------


def _displayed_axes(viewer: ViewerModel, layer: Layer) -> tuple[int, int]:
    """The two axes of ``layer`` that span the canvas, in array order.

    In 3D display they are the last two of the viewer's order, which is the plane
    that 2D display would show.
    """
    order = viewer.dims.order
    missing = len(order) - layer.ndim
    own = [axis - missing for axis in order if axis >= missing]
    first, second = sorted(own[-2:])
    return first, second


def plane_of(
    viewer: ViewerModel, layer: Layer, *, channel_axis: int | None = None
) -> PlaneView:
    """The plane of ``layer`` that the viewer shows now.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer that holds the layer.
    layer : napari.layers.Layer
        Usually an image; RGB samples do not count as an axis.
    channel_axis : int, optional
        Axis of the array that holds channels and is no part of the plane's address.

    Returns
    -------
    PlaneView
        The index is that of the slice which napari draws.

    Raises
    ------
    ImageError
        The channel axis does not exist, or it is one of the two on screen.
    """
    ndim = layer.ndim
    if channel_axis is not None and not 0 <= channel_axis < ndim:
        raise ImageError(
            f"'{layer.name}' has {ndim} axes: there is no axis {channel_axis} to hold "
            "its channels."
        )
    axes = _displayed_axes(viewer, layer)
    if channel_axis in axes:
        raise ImageError(
            f"Axis {channel_axis} of '{layer.name}' holds channels but is shown as part "
            "of the plane: choose another channel axis or roll the axes of the viewer."
        )
    units = viewer.dims.units
    world_point = tuple(float(value) for value in viewer.dims.point)
    position = _slider_position(layer, axes, world_point, units)
    view = PlaneView(axes, (), True, channel_axis, world_point, units)
    others = view.other_axes(ndim)
    # Half to even, as napari rounds when it slices.
    wanted = [int(np.round(position[axis])) for axis in others]
    sizes = [array_shape(layer)[axis] for axis in others]
    index = tuple(
        min(max(step, 0), size - 1) for step, size in zip(wanted, sizes, strict=True)
    )
    return PlaneView(axes, index, index == tuple(wanted), channel_axis, world_point, units)


def channel_on_screen(viewer: ViewerModel, layer: Layer, channel_axis: int) -> int:
    """The channel of ``layer`` that the viewer shows, counted along an axis of it."""
    axes = _displayed_axes(viewer, layer)
    world_point = tuple(float(value) for value in viewer.dims.point)
    position = _slider_position(layer, axes, world_point, viewer.dims.units)
    last = array_shape(layer)[channel_axis] - 1
    return min(max(int(np.round(position[channel_axis])), 0), last)


def _slider_position(
    layer: Layer, axes: tuple[int, int], world_point: Sequence[float], units: Units | None
) -> NDArray[np.float64]:
    """Data coordinates of the sliders; only axes outside the plane have a meaning."""
    world = align_right(np.asarray([world_point], dtype=np.float64), layer.ndim)
    # The sliders of the displayed axes must not leak into the others, whatever the
    # layer's transform.
    world[:, list(axes)] = 0.0
    position: NDArray[np.float64] = to_data(layer, world, units)[0]
    return position


def array_shape(layer: Layer) -> tuple[int, ...]:
    """Sizes of the layer's axes at full resolution, without RGB samples."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return tuple(int(size) for size in data.shape[: layer.ndim])


def plane_shape(image: Image, view: PlaneView) -> tuple[int, int]:
    """Rows and columns of the plane ``view`` of ``image``."""
    shape = array_shape(image)
    return shape[view.axes[0]], shape[view.axes[1]]


def points_to_plane(
    source: Layer, image: Image, view: PlaneView, points: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Pixels of an image's plane at points of another layer.

    Parameters
    ----------
    source : napari.layers.Layer
        The layer that holds the points, usually Points or Shapes.
    image : napari.layers.Image
        The image that ``view`` belongs to.
    view : PlaneView
        A plane of ``image``.
    points : array_like, shape (N, source.ndim)
        Data coordinates of ``source`` in array order.

    Returns
    -------
    xy : ndarray, shape (N, 2), float64
        ``(x, y)`` in pixels of the plane, pixel centres at integers.
    on_plane : ndarray, shape (N,), bool
        True for points within half a step of the plane. Axes that ``source`` does not
        have leave its points on every plane; channels do not separate points.
    """
    data = _as_points(points, source.ndim)
    world = to_world(source, data, view.world_units)
    full = align_right(world, image.ndim, view.world_point)
    position = to_data(image, full, view.world_units)
    on_plane = np.ones(len(data), dtype=bool)
    # The sliders may stand outside the image, whose plane is then the nearest one; a
    # point without that axis still belongs to it.
    missing = max(image.ndim - source.ndim, 0)
    for axis, index in zip(view.other_axes(image.ndim), view.index, strict=True):
        if axis >= missing:
            on_plane &= _within_half_step(position[:, axis] - index)
    surplus = source.ndim - image.ndim
    if surplus > 0:
        # Axes that the image lacks: the point has to be where the sliders are.
        sliders = align_right(np.asarray([view.world_point]), source.ndim)
        here = np.concatenate(
            [
                np.broadcast_to(sliders[:, :surplus], (len(data), surplus)),
                world[:, surplus:],
            ],
            axis=1,
        )
        distance = data - to_data(source, here, view.world_units)
        on_plane &= _within_half_step(distance[:, :surplus]).all(axis=1)
    rows, columns = view.axes
    return position[:, [columns, rows]], on_plane


def _within_half_step(distance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """True from -0.5 (included) to 0.5, so that a point lies on exactly one plane."""
    result: NDArray[np.bool_] = (distance >= -0.5 - _EPSILON) & (distance < 0.5 - _EPSILON)
    return result


def plane_to_layer(
    image: Image, target: Layer, view: PlaneView, xy: ArrayLike
) -> NDArray[np.float64]:
    """Data coordinates in ``target`` of pixels of an image's plane.

    Parameters
    ----------
    image, view
        The image and one of its planes.
    target : napari.layers.Layer
        The layer that is to hold the points.
    xy : array_like, shape (N, 2)
        ``(x, y)`` in pixels of the plane.

    Returns
    -------
    ndarray, shape (N, target.ndim), float64
        The inverse of ``points_to_plane``. Axes that only ``target`` has, and the
        channel axis, are where the sliders are.
    """
    pixels = _as_points(xy, 2)
    data = np.empty((len(pixels), image.ndim))
    if view.channel_axis is not None:
        sliders = _slider_position(image, view.axes, view.world_point, view.world_units)
        data[:, view.channel_axis] = np.round(sliders[view.channel_axis])
    for axis, index in zip(view.other_axes(image.ndim), view.index, strict=True):
        data[:, axis] = index
    data[:, view.axes[0]] = pixels[:, 1]
    data[:, view.axes[1]] = pixels[:, 0]
    world = to_world(image, data, view.world_units)
    full = align_right(world, target.ndim, view.world_point)
    return to_data(target, full, view.world_units)


def cursor_to_plane(
    image: Image, view: PlaneView, position: Sequence[float]
) -> tuple[float, float]:
    """``(x, y)`` pixel of the plane under a world position such as ``event.position``.

    Only the coordinates along the displayed axes count: the position is taken to be on
    the plane.
    """
    world = align_right(
        np.asarray([position], dtype=np.float64), image.ndim, view.world_point
    )
    data = to_data(image, world, view.world_units)[0]
    return float(data[view.axes[1]]), float(data[view.axes[0]])
