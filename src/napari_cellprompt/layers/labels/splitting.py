"""Where an object is to be cut: by a drawn line, or between clicks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .commit import LabelsError
from .deltas import find_voxels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ObjectVoxels", "by_clicks", "by_line", "voxels_of"]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectVoxels:
    """One object, copied out of its layer."""

    flat: NDArray[np.int64]
    """``(N,)`` ascending numbers of its voxels in C order."""
    origin: tuple[int, ...]
    """First index of ``mask`` in the array, along each axis."""
    mask: NDArray[np.bool_]
    """The object in its box, of the array's axes."""

    def parts(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """``(N,)`` values of a label array of the box at the object's voxels."""
        return np.asarray(labels[self.mask], dtype=np.int64)


def voxels_of(data: NDArray[np.integer[Any]], object_id: int) -> ObjectVoxels:
    """Copy an object out of a label array.

    Raises
    ------
    LabelsError
        When there is nothing of it.
    """
    flat, _ = find_voxels(data, [object_id])
    if not flat.size:
        raise LabelsError(f"There is nothing of object {object_id} in the layer.")
    indices = np.unravel_index(flat, data.shape)
    origin = tuple(int(axis.min()) for axis in indices)
    shape = tuple(
        int(axis.max()) + 1 - start for axis, start in zip(indices, origin, strict=True)
    )
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(axis - start for axis, start in zip(indices, origin, strict=True))] = True
    return ObjectVoxels(flat, origin, mask)


def by_clicks(
    whole: ObjectVoxels, points: ArrayLike, spacing: ArrayLike
) -> NDArray[np.int64]:
    """The part of each voxel, with one part for each click.

    The watershed of the distance to the outline, flooded from the clicks: the cut runs
    along the narrowest place between them.

    Parameters
    ----------
    whole
        The object.
    points
        Two or more places, indices of the array; each goes to the object's nearest voxel.
    spacing
        Size of a voxel along each axis.

    Returns
    -------
    ndarray
        ``(N,)`` from 1 on.

    Raises
    ------
    LabelsError
        When fewer than two different voxels were clicked.
    """
    inside = np.argwhere(whole.mask)
    steps = np.asarray(spacing, dtype=float)
    markers = np.zeros(whole.mask.shape, dtype=np.int32)
    for number, point in enumerate(np.asarray(points, dtype=float), start=1):
        away = (inside - (point - whole.origin)) * steps
        markers[tuple(inside[int((away**2).sum(axis=1).argmin())])] = number
    if len(np.unique(markers)) < 3:
        raise LabelsError("Click on two or more places of the object.")
    return whole.parts(_flooded(whole.mask, markers, steps))


def by_line(
    whole: ObjectVoxels,
    line: ArrayLike,
    axes: tuple[int, int],
    spacing: ArrayLike,
) -> NDArray[np.int64]:
    """The part of each voxel, cut along a line on one plane.

    What the line leaves apart on its plane grows from there through the other planes.

    Parameters
    ----------
    whole
        The object.
    line
        ``(K, ndim)`` corners, indices of the array, all on one plane.
    axes
        The two axes of that plane.
    spacing
        Size of a voxel along each axis.

    Returns
    -------
    ndarray
        ``(N,)`` from 1 on.

    Raises
    ------
    LabelsError
        When the object stays in one piece on that plane.
    """
    from scipy.ndimage import label
    from skimage.draw import line as pixels_between

    corners = np.asarray(line, dtype=float) - whole.origin
    index: list[Any] = [slice(None)] * whole.mask.ndim
    for axis in range(whole.mask.ndim):
        if axis not in axes:
            place = round(float(corners[0, axis]))
            if not 0 <= place < whole.mask.shape[axis]:
                raise LabelsError("The object is not on this plane: draw across it.")
            index[axis] = place
    plane = whole.mask[tuple(index)]
    left = plane.copy()
    flat = np.rint(corners[:, list(axes)]).astype(int)
    for (r0, c0), (r1, c1) in pairwise(flat):
        rows, columns = pixels_between(r0, c0, r1, c1)
        for shift in (0, 1):  # two pixels wide, so that corners do not join
            r, c = rows, columns + shift
            fits = (r >= 0) & (c >= 0) & (r < left.shape[0]) & (c < left.shape[1])
            left[r[fits], c[fits]] = False
    pieces, count = label(left)
    sizes = np.bincount(pieces.ravel())[1:]
    large = [number + 1 for number in range(count) if sizes[number] >= 0.02 * plane.sum()]
    if len(large) < 2:
        raise LabelsError(
            "The line leaves the object in one piece: draw it from outside to outside."
        )
    markers = np.zeros(whole.mask.shape, dtype=np.int32)
    for number, piece in enumerate(large, start=1):
        markers[tuple(index)][pieces == piece] = number
    return whole.parts(_flooded(whole.mask, markers, np.asarray(spacing, dtype=float)))


def _flooded(
    mask: NDArray[np.bool_], markers: NDArray[np.int32], spacing: NDArray[np.float64]
) -> NDArray[Any]:
    """Watershed of the distance to the outline; pieces apart go to the nearest part."""
    from scipy.ndimage import distance_transform_edt
    from skimage.segmentation import watershed

    padded = np.pad(mask, 1)
    depth = distance_transform_edt(padded, sampling=np.abs(spacing))
    inner = (slice(1, -1),) * mask.ndim
    parts = watershed(-depth[inner], markers, mask=mask)
    left = mask & (parts == 0)
    if left.any():
        nearest = distance_transform_edt(
            parts == 0,
            sampling=np.abs(spacing),
            return_distances=False,
            return_indices=True,
        )
        parts[left] = parts[tuple(nearest)][left]
    return np.asarray(parts)
