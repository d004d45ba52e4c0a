"""From the coordinates of one layer to those of another, as the package converts them."""

from __future__ import annotations

import numpy as np
from napari.layers import Layer
from numpy.typing import ArrayLike, NDArray

from napari_cellprompt.layers.coordinates import align_right, to_data, to_world, units_note


def transform_points(
    source: Layer, target: Layer, points: ArrayLike
) -> NDArray[np.float64]:
    """Data coordinates in ``target`` of points given in those of ``source``.

    Parameters
    ----------
    source, target : napari.layers.Layer
        Layers of any number of axes, aligned at the last one.
    points : array_like, shape (N, source.ndim)
        Data coordinates in array order.

    Returns
    -------
    ndarray, shape (N, target.ndim), float64
        Axes that only ``target`` has are 0 in the world. Units are converted axis by
        axis; those that cannot be (pixel and micrometre) count as equal.
    """
    units = target.units if units_note(source, target) is None else None
    world = to_world(source, np.asarray(points, dtype=np.float64), units)
    return to_data(target, align_right(world, target.ndim), units)
