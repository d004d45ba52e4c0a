"""What is exported: labels on their grid, the image below, and the facts of the objects."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.objects import ObjectFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.io.image_files import ImageFile, LabelGrid

__all__ = ["ExportSubject", "Plane", "Survey", "plural", "silent", "survey"]

_ORDER = "TZYX"
_NO_FACTS = ObjectFacts()
_MAX_ID = 2**32 - 1


def silent(done: int, planes: int) -> None:
    """A progress that nobody looks at."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One plane of labels."""

    at: Mapping[str, int]
    """Index along T and Z, of those axes that there are."""
    labels: NDArray[Any]
    """``(H, W)`` integers, 0 = background, none negative."""

    @property
    def name(self) -> str:
        """Such as ``t003_z012``; empty for an image of one plane."""
        return "_".join(f"{axis.lower()}{index:03d}" for axis, index in self.at.items())


@dataclass(frozen=True, slots=True, eq=False)
class ExportSubject:
    """Labels that are to be exported.

    Lazy arrays are read plane by plane, as often as a format needs.
    """

    labels: ArrayData
    """Integers or booleans, 0 = background, and so is -1; axes as ``grid`` says."""
    grid: LabelGrid
    name: str = "labels"
    """Of the image, for names of files and layers."""
    image: ImageFile | None = None
    """On the same grid, with channels or samples or without."""
    objects: Mapping[int, ObjectFacts] = field(default_factory=dict)
    """What is known of them, by id."""

    def __post_init__(self) -> None:
        """Refuse axes that no export but the TIFF has room for, and another grid."""
        axes, shape = self.grid.axes, tuple(int(n) for n in self.labels.shape)
        if len(axes) != len(shape) or not {*"YX"} <= {*axes} <= {*_ORDER}:
            raise ImageError(
                f"Labels are exported with the axes T, Z, Y, X, of which these of shape "
                f"{shape} have {axes}: only a label TIFF can hold them as they are."
            )
        if 0 in shape:
            raise ImageError(f"The label image is empty: its shape is {shape}.")
        if np.dtype(self.labels.dtype).kind not in "biu":
            raise ImageError(
                f"Labels must be whole numbers, but these are of type {self.labels.dtype}."
            )
        if self.image is not None and self._lengths(self.image.grid) != self._lengths(
            self.grid
        ):
            raise ImageError(
                f"The image ({self.image.grid.axes}, {self.image.grid.shape}) does not "
                f"lie on the grid of the labels ({axes}, {shape})."
            )

    @staticmethod
    def _lengths(grid: LabelGrid) -> dict[str, int]:
        return dict(zip(grid.axes, grid.shape, strict=True))

    @property
    def axes(self) -> str:
        """Letters of the axes in the order in which files have them."""
        return "".join(letter for letter in _ORDER if letter in self.grid.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each of ``axes``."""
        return tuple(self.length(letter) for letter in self.axes)

    def length(self, letter: str) -> int:
        """Length along an axis; 1 where there is none such."""
        return self._lengths(self.grid).get(letter, 1)

    def step(self, letter: str) -> float:
        """Step along an axis: the grid's unit for X, Y and Z, seconds for T."""
        place = self.grid.axes.find(letter)
        return 1.0 if place < 0 else float(self.grid.scale[place])

    @property
    def unit(self) -> str:
        """Unit of X, Y and Z; ``pixel`` where nothing is known."""
        return self.grid.unit

    def facts(self, object_id: int) -> ObjectFacts:
        """What is known of an object."""
        return self.objects.get(object_id, _NO_FACTS)

    def positions(self) -> list[dict[str, int]]:
        """Where the planes are along T and Z, in the order of files."""
        outer = self.axes[:-2]
        ranges = [range(self.length(letter)) for letter in outer]
        return [
            dict(zip(outer, index, strict=True)) for index in itertools.product(*ranges)
        ]

    def plane(self, at: Mapping[str, int]) -> NDArray[Any]:
        """Labels of one plane, ``(H, W)``, read from lazy arrays when asked for."""
        key = tuple(at.get(letter, slice(None)) for letter in self.grid.axes)
        plane = np.asarray(self.labels[key])
        if self.grid.axes.index("X") < self.grid.axes.index("Y"):
            plane = plane.T
        return plane if plane.dtype.kind in "bu" else np.maximum(plane, 0)

    def planes(self, progress: Callable[[int, int], None] = silent) -> Iterator[Plane]:
        """All planes, one in memory at a time."""
        positions = self.positions()
        for number, at in enumerate(positions, start=1):
            yield Plane(at, self.plane(at))
            progress(number, len(positions))

    @property
    def channels(self) -> int:
        """Channels or samples of the image; 0 without an image."""
        if self.image is None:
            return 0
        letter = "C" if "C" in self.image.axes else "S"
        if letter not in self.image.axes:
            return 1
        return int(self.image.data.shape[self.image.axes.index(letter)])

    def image_plane(self, at: Mapping[str, int]) -> NDArray[Any]:
        """Grey values of one plane, ``(channels, H, W)``, of the image's type."""
        if self.image is None:
            raise ImageError("This export needs the image that the labels belong to.")
        axes = self.image.axes
        key = tuple(at.get(letter, slice(None)) for letter in axes)
        pixels = np.asarray(self.image.data[key])
        kept = [letter for letter in axes if letter not in at]
        order = [kept.index(letter) for letter in kept if letter in "CS"]
        order += [kept.index("Y"), kept.index("X")]
        pixels = pixels.transpose(order)
        return pixels.reshape(-1, *pixels.shape[-2:])


@dataclass(frozen=True, slots=True)
class Survey:
    """What one look at all planes tells."""

    frames: Mapping[int, tuple[int, ...]]
    """Times at which each object is there, in order; (0,) where there is no T."""

    @property
    def largest(self) -> int:
        """Largest id, 0 where there are no objects."""
        return max(self.frames, default=0)


def survey(subject: ExportSubject) -> Survey:
    """Look at all planes once.

    Raises
    ------
    ImageError
        When ids are larger than 2**32 - 1.
    """
    frames: dict[int, list[int]] = {}
    for plane in subject.planes():
        time = plane.at.get("T", 0)
        for object_id in np.unique(plane.labels[plane.labels > 0]).tolist():
            times = frames.setdefault(int(object_id), [])
            if not times or times[-1] != time:
                times.append(time)
    largest = max(frames, default=0)
    if largest > _MAX_ID:
        raise ImageError(
            f"Label ids must lie in 0 to {_MAX_ID}: got {largest}. Number the objects anew."
        )
    return Survey({key: tuple(frames[key]) for key in sorted(frames)})


def plural(number: int, one: str, many: str) -> str:
    """Return ``1 object has`` or ``3 objects have``."""
    return f"{number} {one if number == 1 else many}"
