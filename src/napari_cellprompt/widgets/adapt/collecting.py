"""Accepted objects with their image, as a model learns from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.labels import masks_of
from napari_cellprompt.layers.labels.known import LabelPlanes
from napari_cellprompt.layers.prompting.tracing import labels_of_plane
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
    planes = None if target.stack is None else LabelPlanes(labels, target.stack)
    count = 1 if planes is None else len(planes)
    shown = target.number_of(target.view)
    order = sorted(range(count), key=lambda number: (abs(number - shown), number))
    series = "" if planes is None else target.image.name

    def collect() -> list[MarkedPlane]:
        from napari_cellprompt.core.adapt.lessons import MarkedPlane

        found = []
        for number in order:
            if planes is None:
                part = labels_of_plane(labels, target.image, target.view)
            else:
                part = planes[number]
            if not part.any():
                continue
            image, part = _window(target.planes[number], part)
            found.append(MarkedPlane(image, part, series, number))
            if len(found) == MOST_PLANES:
                break
        return found

    return collect


def _window(source: PlaneSource, ids: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Image and labels around the objects; all of a plane that is not large."""
    height, width = source.shape
    y0, y1, x0, x1 = 0, height, 0, width
    if max(height, width) > _LARGE:
        rows, columns = np.flatnonzero(ids.any(1)), np.flatnonzero(ids.any(0))
        largest = max(max(mask.data.shape) for _, mask in masks_of(ids))
        margin = int(_SURROUNDINGS * largest)
        y0, y1 = max(int(rows[0]) - margin, 0), min(int(rows[-1]) + margin, height)
        x0, x1 = max(int(columns[0]) - margin, 0), min(int(columns[-1]) + margin, width)
    image = np.array(source.read_raw(y0, y1, x0, x1))
    return image, np.array(ids[y0:y1, x0:x1])
