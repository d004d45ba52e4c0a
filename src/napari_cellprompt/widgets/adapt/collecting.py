"""Accepted objects with their image, as a model learns from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.layers.labels.commit import find_grid
from napari_cellprompt.widgets.found.target import target_of

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_cellprompt.core.adapt.lessons import MarkedPlane
    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["accepted_objects", "collector_of"]

MOST_PLANES = 24
"""With objects that are read, those closest to the one on screen."""
_SURROUNDINGS = 8.0
"""Of a large image so much is taken around the objects, in sides of the largest one."""
_LARGE = 2048


def accepted_objects(place: Workplace) -> int:
    """Objects that were accepted for the chosen image and are still there."""
    image = place.chosen.image
    labels = None if image is None else place.labels_of(image)
    return 0 if labels is None else len(place.acceptor.store(labels))


def collector_of(viewer: ViewerModel, place: Workplace) -> Callable[[], list[MarkedPlane]]:
    """What reads the accepted objects of the chosen image, on whatever thread.

    Layers are looked at now; pixels are read when it is called.

    Raises
    ------
    CellpromptError
        Where there is no image, or nothing accepted.
    """
    target = target_of(viewer, place, whole_stack=True)
    labels = place.labels_of(target.image)
    if labels is None:
        raise ImageError("Accept some objects in Segment first.")
    data: Any = labels.data[0] if labels.multiscale else labels.data
    first = find_grid(labels, target.view_at(0), target.image)
    key: list[Any] = [slice(None)] * labels.ndim
    for axis, step in first.index.items():
        key[axis] = step
    along = None
    if len(target.planes) > 1:
        second = find_grid(labels, target.view_at(1), target.image)
        along = next(a for a, step in second.index.items() if step != first.index[a])
    shown = target.number_of(target.view)
    order = sorted(target.planes, key=lambda number: (abs(number - shown), number))
    series = "" if along is None else target.image.name

    def collect() -> list[MarkedPlane]:
        from napari_cellprompt.core.adapt.lessons import MarkedPlane

        found = []
        for number in order:
            if along is not None:
                key[along] = first.index[along] + number
            ids = np.asarray(data[tuple(key)])
            source = target.planes[number]
            part = _aligned(ids, first.offset, source.shape)
            if not part.any():
                continue
            image, part = _window(source, part)
            found.append(MarkedPlane(image, part, series, number))
            if len(found) == MOST_PLANES:
                break
        return found

    return collect


def _aligned(
    ids: NDArray[Any], offset: tuple[int, int], shape: tuple[int, int]
) -> NDArray[Any]:
    """Labels on the pixels of the plane; 0 where the layer does not reach."""
    if offset == (0, 0) and ids.shape == shape:
        return ids
    part = np.zeros(shape, ids.dtype)
    spans = []
    for step, length, there in zip(offset, shape, ids.shape, strict=True):
        low, high = max(-step, 0), min(length, there - step)
        spans.append((slice(low, max(high, low)), slice(low + step, max(high, low) + step)))
    (rows, from_rows), (columns, from_columns) = spans
    part[rows, columns] = ids[from_rows, from_columns]
    return part


def _window(source: PlaneSource, ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Image and labels around the objects; all of a plane that is not large."""
    height, width = source.shape
    y0, y1, x0, x1 = 0, height, 0, width
    if max(height, width) > _LARGE:
        rows, columns = np.flatnonzero(ids.any(1)), np.flatnonzero(ids.any(0))
        largest = _largest_side(ids)
        margin = int(_SURROUNDINGS * largest)
        y0, y1 = max(int(rows[0]) - margin, 0), min(int(rows[-1]) + margin, height)
        x0, x1 = max(int(columns[0]) - margin, 0), min(int(columns[-1]) + margin, width)
    image = np.array(source.read_raw(y0, y1, x0, x1))
    return image, np.array(ids[y0:y1, x0:x1])


def _largest_side(ids: NDArray[Any]) -> float:
    rows, columns = np.nonzero(ids)
    values = ids[rows, columns]
    sides = []
    for value in np.unique(values):
        mine = values == value
        sides.append(max(np.ptp(rows[mine]), np.ptp(columns[mine])) + 1)
    return float(max(sides))
