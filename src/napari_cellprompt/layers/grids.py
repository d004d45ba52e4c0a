"""Layers whose pixels coincide: finding that they do, and making new ones that do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.transforms import Affine

from .coordinates import align_right, array_shape, to_data, to_world

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image, Layer
    from numpy.typing import ArrayLike, NDArray

    from .coordinates import PlaneView

__all__ = ["GridMatch", "layer_kwargs", "match_grid", "other_grid"]


@dataclass(frozen=True, slots=True)
class GridMatch:
    """Where the pixels of an image's plane are found in the array of another layer."""

    axes: tuple[int, int]
    """Axes of the other array that hold the plane's rows and columns."""
    index: Mapping[int, int]
    """Index of every other axis of that array."""
    offset: tuple[int, int]
    """Added to row and column of the plane to get those of the other array."""


def match_grid(image: Image, target: Layer, view: PlaneView) -> GridMatch | str:
    """Find the pixels of an image's plane in the array of ``target``.

    Parameters
    ----------
    image, view
        The image and one of its planes.
    target : napari.layers.Labels
        A layer that may be a crop of the image's grid, may lack its channel axis, or
        may have further leading axes.

    Returns
    -------
    GridMatch or str
        A sentence about what differs, when the pixels of both do not coincide.
    """
    shape = array_shape(image)
    target_shape = array_shape(target)
    lead = image.ndim - target.ndim
    kept = [axis for axis in range(image.ndim) if axis != view.channel_axis]
    if any(axis < lead for axis in kept):
        return (
            f"'{target.name}' has {target.ndim} axes {target_shape}, '{image.name}' has "
            f"{image.ndim} {shape}: one plane of the image would fill several planes."
        )
    corner = np.asarray([[size - 1.0 for size in shape]])
    corners = np.concatenate([np.zeros_like(corner), corner])
    if view.channel_axis is not None:
        corners[:, view.channel_axis] = 0.0
    world = to_world(image, corners, view.world_units)
    mapped = to_data(
        target, align_right(world, target.ndim, view.world_point), view.world_units
    )
    own_axes = [axis - lead for axis in kept]
    shift = np.round(mapped[0, own_axes])
    # Rotations differ only away from the diagonal, so every edge is looked at.
    matrix = _relative_matrix(image, target, view)[np.ix_(own_axes, kept)]
    extent = np.asarray([max(shape[axis] - 1, 1) for axis in kept])
    drift = np.abs((matrix - np.eye(len(kept))) * extent).sum(axis=1)
    if np.any(drift + np.abs(mapped[0, own_axes] - shift) >= 0.5):
        return (
            f"The pixels of '{target.name}' do not lie on those of '{image.name}': give "
            "both the same scale, translation and units."
        )
    offsets = {axis: int(value) for axis, value in zip(own_axes, shift, strict=True)}
    index = dict(_surplus_index(target, view, own_axes))
    for axis, step in zip(view.other_axes(image.ndim), view.index, strict=True):
        index[axis - lead] = step + offsets[axis - lead]
    for axis, step in index.items():
        if not 0 <= step < target_shape[axis]:
            return f"'{target.name}' {target_shape} does not reach the plane on screen."
    rows, columns = (axis - lead for axis in view.axes)
    return GridMatch((rows, columns), index, (offsets[rows], offsets[columns]))


def other_grid(image: Image, other: Image) -> str:
    """A sentence on how the pixels of two images differ; empty where they coincide.

    In contrast to :func:`match_grid` neither may be a part of the other.
    """
    shape, others = array_shape(image), array_shape(other)
    if shape != others:
        return (
            f"'{other.name}' has the shape {others}, '{image.name}' has {shape}: only "
            "images with the same pixels can be channels of one picture."
        )
    if tuple(image.units) != tuple(other.units):
        own, foreign = (", ".join(map(str, one.units)) for one in (image, other))
        return (
            f"'{other.name}' is in {foreign} and '{image.name}' in {own}: give both the "
            "same units."
        )
    corners = np.diag([float(max(length - 1, 0)) for length in shape])
    corners = np.concatenate([np.zeros((1, len(shape))), corners])
    there = to_data(other, to_world(image, corners, None), None)
    if np.abs(there - corners).max() >= 0.5:
        return (
            f"The pixels of '{other.name}' do not lie on those of '{image.name}': give "
            "both the same scale and translation."
        )
    return ""


def _relative_matrix(image: Image, target: Layer, view: PlaneView) -> NDArray[np.float64]:
    """Matrix ``(target.ndim, image.ndim)`` from image data to target data."""
    origin = np.zeros((1, image.ndim))
    steps = np.concatenate([origin, np.eye(image.ndim)])
    world = align_right(to_world(image, steps, view.world_units), target.ndim)
    mapped = to_data(target, world, view.world_units)
    matrix: NDArray[np.float64] = (mapped[1:] - mapped[0]).T
    return matrix


def _surplus_index(
    target: Layer, view: PlaneView, own_axes: Sequence[int]
) -> list[tuple[int, int]]:
    """Indices at the sliders for axes of ``target`` that are not the image's."""
    axes = [axis for axis in range(target.ndim) if axis not in own_axes]
    if not axes:
        return []
    world = align_right(np.asarray([view.world_point], dtype=np.float64), target.ndim)
    data = to_data(target, world, view.world_units)[0]
    return [(axis, int(np.round(data[axis]))) for axis in axes]


def layer_kwargs(
    image: Layer,
    *,
    origin: ArrayLike | None = None,
    span: ArrayLike | None = None,
    drop: Sequence[int] = (),
) -> dict[str, Any]:
    """Keyword arguments that make a new layer coincide with ``image``.

    Parameters
    ----------
    image : napari.layers.Layer
        The layer to follow.
    origin : array_like of float, optional
        Data coordinates in ``image`` where the first pixel of the new layer begins to
        count; 0 for each axis when left out.
    span : array_like of float, optional
        Pixels of ``image`` that one pixel of the new layer covers along each axis; its
        first pixel then starts where the pixel ``origin`` starts. 1 when left out.
    drop : sequence of int, optional
        Leading axes that the new layer does not have.

    Returns
    -------
    dict
        ``scale, translate, rotate, shear, affine, units, axis_labels``.
    """
    ndim = image.ndim
    step = np.ones(ndim) if span is None else np.asarray(span, dtype=np.float64)
    start = np.zeros(ndim) if origin is None else np.asarray(origin, dtype=np.float64)
    # The centre of a pixel that covers n pixels is (n - 1) / 2 behind the first centre.
    start = start + (step - 1) / 2
    linear = Affine(
        scale=image.scale, rotate=image.rotate, shear=image.shear, ndim=ndim
    ).linear_matrix
    kept = [axis for axis in range(ndim) if axis not in drop]
    grid = np.ix_(kept, kept)
    shear = np.zeros((ndim, ndim))
    shear[np.triu_indices(ndim, 1)] = image.shear
    outer = np.eye(len(kept) + 1)
    outer[:-1, :-1] = image.affine.linear_matrix[grid]
    outer[:-1, -1] = np.asarray(image.affine.translate)[kept]
    return {
        "scale": (np.asarray(image.scale) * step)[kept],
        "translate": (np.asarray(image.translate) + linear @ start)[kept],
        "rotate": np.asarray(image.rotate)[grid],
        "shear": shear[grid][np.triu_indices(len(kept), 1)],
        "affine": outer,
        "units": tuple(image.units[axis] for axis in kept),
        "axis_labels": tuple(image.axis_labels[axis] for axis in kept),
    }
