"""Changing pools of made-up planes and stacks: outlines painted anew, or all made up.

A scene is used a few times before another takes its place: painting one costs more than
cutting a crop out of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from scipy import ndimage

from looks import render, render_planes
from napari_cellprompt.core.training.planes import Plane, Stack, make_plane, make_stack
from shapes import label_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ScenePool", "StackPool", "made_up", "painted", "painted_stack", "wandering"]

T = TypeVar("T")

MOST_PLANES = 7
"""Of a made-up stack: so many at most are seen by one sample."""


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
    labels = _zoomed(_renumbered(window), zoom)
    if labels.max() == 0:
        return None
    made = make_plane(plane.dataset, "painted", render(labels, rng), labels)
    return made if len(made.ids) else None


def painted_stack(stack: Stack, rng: np.random.Generator, side: int = 160) -> Stack | None:
    """A few planes around one object with their outlines kept and one look made up.

    Half of them lie about the object's first or last plane. None where the object is not
    left on two planes.
    """
    numbers = [number for number, planes in stack.present.items() if len(planes) > 1]
    number = numbers[int(rng.integers(len(numbers)))]
    present = stack.present[number]
    middle = present[int(rng.integers(len(present)))]
    if rng.random() < 0.5:
        middle = present[0] if rng.random() < 0.5 else present[-1]
    first = max(middle - MOST_PLANES // 2, 0)
    planes = stack.planes[first : first + MOST_PLANES]
    row = stack.planes[middle].row(number)
    if row is None:
        return None
    x0, y0, x1, y1 = stack.planes[middle].boxes[row]
    extent = float(max(x1 - x0, y1 - y0))
    zoom = min(max(float(np.exp(rng.uniform(np.log(10), np.log(70)))) / extent, 0.4), 3.0)
    reach = max(int(side / zoom / 2), 8)
    y, x = int(y0 + y1) // 2, int(x0 + x1) // 2
    window = np.stack(
        [
            plane.labels[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
            for plane in planes
        ]
    )
    labels = np.stack([_zoomed(plane, zoom) for plane in _renumbered(window)])
    return _told(stack.dataset, labels, rng)


def wandering(rng: np.random.Generator, side: int = 160) -> Stack | None:
    """A made-up movie: objects that drift, turn, grow, come and go.

    Each keeps to a course of its own on top of one of the whole field; where two meet, the
    one that is drawn first keeps its pixels.
    """
    start = label_map(side, rng)
    numbers = np.unique(start[start > 0])
    frames = np.zeros((MOST_PLANES, side, side), np.uint16)
    extent = float(np.sqrt(np.median(np.bincount(start.ravel())[1:][numbers - 1])))
    field = rng.normal(0.0, 0.08 * extent, 2) * (rng.random() < 0.5)
    speed = extent * float(rng.choice((0.0, 0.03, 0.09)))
    for number in numbers:
        course = field + rng.normal(0.0, speed + 1e-6, 2)
        turn, growth = rng.normal(0.0, 0.06), rng.normal(0.0, 0.03)
        leaves = int(rng.integers(1, MOST_PLANES)) if rng.random() < 0.25 else MOST_PLANES
        comes = int(rng.integers(0, leaves)) if rng.random() < 0.15 else 0
        mask = start == number
        centre = np.array(ndimage.center_of_mass(mask))
        for frame in range(comes, leaves):
            cosine, sine = np.cos(turn * frame), np.sin(turn * frame)
            matrix = np.array(((cosine, -sine), (sine, cosine))) / (1 + growth) ** frame
            offset = centre - matrix @ (centre + course * frame)
            moved = ndimage.affine_transform(
                mask.astype(np.float32), matrix, offset, order=1
            )
            free = (moved > 0.5) & (frames[frame] == 0)
            frames[frame][free] = number
    return _told("made up", _renumbered(frames), rng)


def _told(
    dataset: str, labels: NDArray[np.uint16], rng: np.random.Generator
) -> Stack | None:
    """A stack of labels in a made-up look; None where no object is on two planes."""
    images = render_planes(labels, rng)
    made = make_stack(
        [
            make_plane(dataset, "painted", image, plane)
            for image, plane in zip(images, labels, strict=True)
        ]
    )
    return made if any(len(planes) > 1 for planes in made.present.values()) else None


def _renumbered(labels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The same objects with ids from 1 on."""
    present, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape) + int(present[0] != 0)
    return compact.astype(np.uint16)


def _zoomed(compact: NDArray[np.uint16], zoom: float) -> NDArray[np.uint16]:
    """A label map of another size; where it grows, outlines are smoothed."""
    shape = [max(round(n * zoom), 4) for n in compact.shape]
    rows = np.minimum((np.arange(shape[0]) + 0.5) / zoom, compact.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(shape[1]) + 0.5) / zoom, compact.shape[1] - 1).astype(
        int
    )
    grown = compact[np.ix_(rows, columns)]
    if zoom > 1.4:
        # the most common id around: rounds the corners of enlarged pixels
        smooth = ndimage.median_filter(grown, size=2 * int(zoom) - 1)
        edge = ndimage.maximum_filter(grown, 3) != ndimage.minimum_filter(grown, 3)
        two = (smooth == ndimage.maximum_filter(grown, 3)) | (
            smooth == ndimage.minimum_filter(grown, 3)
        )
        grown = np.where(edge & two, smooth, grown)
    return grown


class _Pool(ABC, Generic[T]):
    """Keeps some of what is made, and now and then puts another in its place.

    Parameters
    ----------
    size
        Kept at a time.
    uses
        How often each is used, on average.
    """

    def __init__(self, size: int, uses: float) -> None:
        self._size, self._uses = size, uses
        self._kept: list[T] = []

    def draw(self, rng: np.random.Generator) -> T:
        """One of them, sometimes a new one."""
        if len(self._kept) >= self._size and rng.random() > 1 / self._uses:
            return self._kept[int(rng.integers(len(self._kept)))]
        made = self._new(rng)
        if len(self._kept) < self._size:
            self._kept.append(made)
        else:
            self._kept[int(rng.integers(self._size))] = made
        return made

    @abstractmethod
    def _new(self, rng: np.random.Generator) -> T:
        """Make one."""


class ScenePool(_Pool[Plane]):
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
        super().__init__(size, uses)
        kinds = sorted({plane.modality for plane in planes})
        self._by_kind = [[p for p in planes if p.modality == kind] for kind in kinds]

    def _new(self, rng: np.random.Generator) -> Plane:
        if rng.random() < 0.5:
            planes = self._by_kind[int(rng.integers(len(self._by_kind)))]
            scene = painted(planes[int(rng.integers(len(planes)))], rng)
            if scene is not None:
                return scene
        return made_up(rng)


class StackPool(_Pool[Stack]):
    """Hands out made-up stacks of a few planes; at least one object is on two of them.

    Parameters
    ----------
    stacks
        Whose outlines are painted anew.
    size
        Stacks kept at a time.
    uses
        How often each is used, on average.
    """

    def __init__(self, stacks: list[Stack], size: int = 60, uses: float = 10.0) -> None:
        super().__init__(size, uses)
        self._stacks = stacks

    def _new(self, rng: np.random.Generator) -> Stack:
        made = None
        while made is None:
            if self._stacks and rng.random() < 0.55:
                some = self._stacks[int(rng.integers(len(self._stacks)))]
                made = painted_stack(some, rng)
            else:
                made = wandering(rng)
        return made
