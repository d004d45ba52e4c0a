"""Brings an object of a Labels layer before the eyes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .coordinates import to_world

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_cellprompt.session.objects import ObjectPlane

__all__ = ["fly_to"]

_SMALL, _LARGE = 0.04, 0.9
"""Shares of the canvas that an object may fill before the zoom is changed ..."""
_GOOD = 0.25
"""... and the share that it fills then."""


def fly_to(
    viewer: ViewerModel, labels: Labels, plane: ObjectPlane, canvas: float = 600.0
) -> None:
    """Show an object on one of its planes, in the middle of the canvas.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Its sliders and its camera are moved.
    labels : napari.layers.Labels
        The layer that holds the object.
    plane : ObjectPlane
        Where it is; its key counts axes as the layer's array does.
    canvas : float
        Shorter side of the canvas in pixels of the screen.
    """
    x0, y0, x1, y1 = plane.box
    corners = np.zeros((2, labels.ndim))
    rows, columns = plane.key.axes
    corners[:, rows] = y0 - 0.5, y1 - 0.5
    corners[:, columns] = x0 - 0.5, x1 - 0.5
    others = [axis for axis in range(labels.ndim) if axis not in plane.key.axes]
    for axis, step in zip(others, plane.key.index, strict=True):
        corners[:, axis] = step
    world = to_world(labels, corners, viewer.dims.units)
    middle, side = world.mean(axis=0), np.abs(world[1] - world[0])
    lead = viewer.dims.ndim - labels.ndim
    viewer.dims.set_point(
        [axis + lead for axis in others], [float(middle[axis]) for axis in others]
    )
    shown = [axis - lead for axis in viewer.dims.displayed if axis >= lead]
    viewer.scene.camera.center = tuple(float(middle[axis]) for axis in shown)
    longest = float(max(side[axis] for axis in shown)) or 1.0
    share = longest * viewer.scene.camera.zoom / canvas
    if not _SMALL <= share <= _LARGE:
        viewer.scene.camera.zoom = _GOOD * canvas / longest
