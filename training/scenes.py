"""A changing pool of made-up planes: real outlines painted anew, or all of it made up.

A scene is used a few times before another takes its place: painting one costs more than
cutting a crop out of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from looks import render
from napari_cellprompt.core.training.planes import Plane, make_plane
from shapes import label_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ScenePool", "made_up", "painted"]


def made_up(rng: np.random.Generator, side: int = 256) -> Plane:
    """A plane of made-up objects in a made-up look; at least one object."""
    while True:
        labels = label_map(side, rng)
        plane = make_plane("made up", "made up", render(labels, rng), labels)
        if len(plane.ids):
            return plane


def painted(plane: Plane, rng: np.random.Generator, side: int = 256) -> Plane | None:
    """Part of a plane with its outlines kept and its look made up.

    The objects are brought to 10 to 70 pixels first; None where none is left.
    """
    row = int(rng.integers(len(plane.ids)))
    x0, y0, x1, y1 = plane.boxes[row]
    extent = float(max(x1 - x0, y1 - y0))
    least = min(max(10.0, 0.6 * extent), 60.0)
    wanted = float(np.exp(rng.uniform(np.log(least), np.log(80.0))))
    zoom = min(max(wanted / extent, 0.5), 3.0)
    reach = max(int(side / zoom / 2), 8)
    y, x = int(y0 + y1) // 2, int(x0 + x1) // 2
    window = plane.labels[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
    labels = _zoomed(window, zoom)
    if labels.max() == 0:
        return None
    made = make_plane(plane.dataset, "painted", render(labels, rng), labels)
    return made if len(made.ids) else None


def _zoomed(labels: NDArray[np.uint16], zoom: float) -> NDArray[np.uint16]:
    """A label map of another size; where it grows, outlines are smoothed."""
    present, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape)
    if present[0] != 0:
        compact = compact + 1
    shape = [max(round(n * zoom), 4) for n in labels.shape]
    rows = np.minimum((np.arange(shape[0]) + 0.5) / zoom, labels.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(shape[1]) + 0.5) / zoom, labels.shape[1] - 1).astype(
        int
    )
    grown = compact[np.ix_(rows, columns)].astype(np.uint16)
    if zoom > 1.4:
        # the most common id around: rounds the corners of enlarged pixels
        smooth = ndimage.median_filter(grown, size=2 * int(zoom) - 1)
        edge = ndimage.maximum_filter(grown, 3) != ndimage.minimum_filter(grown, 3)
        two = (smooth == ndimage.maximum_filter(grown, 3)) | (
            smooth == ndimage.minimum_filter(grown, 3)
        )
        grown = np.where(edge & two, smooth, grown)
    return grown


class ScenePool:
    """Hands out made-up planes.

    Parameters
    ----------
    planes
        Whose outlines are painted anew.
    size
        Scenes kept at a time.
    uses
        How often each is used, on average.
    """

    def __init__(self, planes: list[Plane], size: int = 80, uses: float = 6.0) -> None:
        self._planes = planes
        kinds = sorted({plane.modality for plane in planes})
        self._by_kind = [[p for p in planes if p.modality == kind] for kind in kinds]
        self._size, self._uses = size, uses
        self._scenes: list[Plane] = []

    def draw(self, rng: np.random.Generator) -> Plane:
        """A scene, sometimes a new one."""
        if len(self._scenes) >= self._size and rng.random() > 1 / self._uses:
            return self._scenes[int(rng.integers(len(self._scenes)))]
        scene = self._new(rng)
        if len(self._scenes) < self._size:
            self._scenes.append(scene)
        else:
            self._scenes[int(rng.integers(self._size))] = scene
        return scene

    def _new(self, rng: np.random.Generator) -> Plane:
        if rng.random() < 0.5:
            planes = self._by_kind[int(rng.integers(len(self._by_kind)))]
            scene = painted(planes[int(rng.integers(len(planes)))], rng)
            if scene is not None:
                return scene
        return made_up(rng)
