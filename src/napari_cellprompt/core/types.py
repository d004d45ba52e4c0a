"""The frozen types that the parts of the package exchange.

Coordinates here are pixels of one 2D plane at full resolution: x along the last
axis, y along the first, pixel centres at integers. Boxes are ``x0, y0, x1, y1``
with ``x0, y0`` inclusive and ``x1, y1`` exclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from .errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Box",
    "Candidate",
    "Colour",
    "CroppedMask",
    "ImageFile",
    "MaskRLE",
    "MixedChannel",
    "PlaneKey",
    "Prediction",
    "Prompts",
    "Rectangle",
    "Stroke",
    "Tile",
    "box_outside",
    "points_outside",
]


Rectangle = tuple[float, float, float, float]
"""``x0, y0, x1, y1`` in pixels of a plane, with parts of pixels; a `Box` is one too."""

Stroke = tuple[tuple[tuple[float, float], ...], int]
"""A line drawn with a pen: ``(x, y)`` of its corners in pixels, and 1 = along the object,
0 = along what does not belong to it."""


class Box(NamedTuple):
    """A rectangle of whole pixels of a plane; unpacks as a tuple of four."""

    x0: int
    y0: int
    x1: int
    """Exclusive, as y1."""
    y1: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def side(self) -> int:
        """The longer side."""
        return max(self.width, self.height)

    def union(self, other: Box) -> Box:
        """The smallest rectangle that holds both."""
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )

    def meets(self, other: Box) -> bool:
        """Whether both have a pixel in common."""
        return (
            self.x0 < other.x1
            and other.x0 < self.x1
            and self.y0 < other.y1
            and other.y0 < self.y1
        )


@dataclass(frozen=True, slots=True)
class MaskRLE:
    """A binary mask as a COCO compressed run-length string (column-major)."""

    size: tuple[int, int]
    """Rows and columns of the whole plane."""
    counts: str


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a user said about one object on one plane; hashable and comparable."""

    points: tuple[tuple[float, float], ...] = ()
    """``(x, y)`` of each click, in pixels."""
    labels: tuple[int, ...] = ()
    """One per point: 1 = belongs to the object, 0 = does not."""
    box: tuple[float, float, float, float] | None = None
    mask: MaskRLE | None = None
    """Roughly the object's pixels, to start from."""
    strokes: tuple[Stroke, ...] = ()
    """Lines drawn along the object, or along what is not part of it."""
    sketch: bool = False
    """Whether the mask was drawn around the object by hand: where objects are followed,
    the model is asked about it, while other masks alone are taken as they are."""

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.points):
            raise PromptError(
                f"labels must hold one value per point: got {len(self.labels)} labels "
                f"for {len(self.points)} points."
            )
        if any(label not in (0, 1) for label in self.labels):
            raise PromptError(
                f"labels must be 1 (object) or 0 (background): got {self.labels}."
            )
        for point in self.points:
            if len(point) != 2 or not all(math.isfinite(value) for value in point):
                raise PromptError(f"each point must be a finite pair (x, y): got {point}.")
        if self.box is not None:
            if len(self.box) != 4 or not all(math.isfinite(value) for value in self.box):
                raise PromptError(
                    f"box must be four finite numbers x0, y0, x1, y1: got {self.box}."
                )
            x0, y0, x1, y1 = self.box
            if x1 <= x0 or y1 <= y0:
                raise PromptError(f"box must have x0 < x1 and y0 < y1: got {self.box}.")
        for path, label in self.strokes:
            if label not in (0, 1):
                raise PromptError(
                    f"the label of a stroke must be 1 (object) or 0 (background): "
                    f"got {label}."
                )
            if not path or not all(
                len(corner) == 2 and all(math.isfinite(value) for value in corner)
                for corner in path
            ):
                raise PromptError(f"each stroke needs finite pairs (x, y): got {path}.")

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to predict from."""
        return not self.points and not self.strokes and not self.outlined

    @property
    def outlined(self) -> bool:
        """Whether they show how large the object is."""
        return self.box is not None or self.mask is not None

    @property
    def tells_place(self) -> bool:
        """Whether anything says where the object is, and not only where it is not."""
        return self.outlined or 1 in self.labels or any(sign for _, sign in self.strokes)

    @property
    def anchor(self) -> tuple[float, float]:
        """``(x, y)`` of the first click on the object, or the middle of the first stroke.

        Raises
        ------
        PromptError
            Where there is neither.
        """
        if 1 in self.labels:
            return self.points[self.labels.index(1)]
        for path, label in self.strokes:
            if label:
                return path[len(path) // 2]
        raise PromptError("neither a click nor a stroke is on the object.")

    def check_usable(self, shape: tuple[int, int], name: str = "prompts") -> None:
        """Raise ``PromptError`` unless an object of a plane can be meant by this.

        Parameters
        ----------
        shape
            Rows and columns of the plane.
        name
            What the prompts are called in messages.
        """
        height, width = shape
        size = f"the image of {width} x {height} pixels"
        far = points_outside(self.points, shape)
        for i, (x, y) in enumerate(self.points):
            if far[i]:
                raise PromptError(f"{name}.points[{i}] ({x:g}, {y:g}) lies outside {size}.")
        if self.box is not None:
            if box_outside(self.box, shape):
                raise PromptError(f"{name}.box lies outside {size}.")
        elif not self.is_empty and not self.tells_place:
            raise PromptError(
                f"{name} needs a point on the object, not only on background."
            )
        for i, (path, _) in enumerate(self.strokes):
            if bool(points_outside(path, shape).all()):
                raise PromptError(f"{name}.strokes[{i}] lies outside {size}.")
        if self.mask is not None and tuple(self.mask.size) != tuple(shape):
            rows, columns = self.mask.size
            raise PromptError(f"{name}.mask is {columns} x {rows} pixels, unlike {size}.")


def points_outside(points: ArrayLike, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which points ``(..., 2)`` x, y lie beyond the pixels of a plane of ``shape``."""
    xy = np.asarray(points, dtype=np.float64)
    if xy.shape == (0,):
        xy = xy.reshape(0, 2)
    last = np.array([shape[1], shape[0]]) - 0.5
    return np.asarray(((xy < -0.5) | (xy > last)).any(axis=-1))


def box_outside(box: Sequence[float], shape: tuple[int, int]) -> bool:
    """Whether no pixel of a plane of ``shape`` lies in a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    return bool(x1 <= 0 or y1 <= 0 or x0 >= shape[1] or y0 >= shape[0])


Colour = Literal["red", "green", "blue", "grey"]
"""What a channel becomes in a picture of several; grey is part of all three colours."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image beside the one that is worked on; equal are those with equal pixels."""

    fingerprint: str
    """``content_fingerprint`` of its pixels."""
    shape: tuple[int, ...]
    dtype: str
    """As NumPy writes it, such as ``uint16``."""
    name: str = field(default="", compare=False)
    """As people call it."""
    path: str | None = field(default=None, compare=False)
    """The file that it was read from; None where there is none."""


@dataclass(frozen=True, slots=True)
class MixedChannel:
    """One channel of the picture that a model is shown, see ``ComposedArray``."""

    colour: Colour
    limits: tuple[float, float]
    """Grey values that become 0 and 255."""
    number: int | None = None
    """Index along the image's axis of channels; None where it has none."""
    image: ImageFile | None = None
    """Another image on the same grid; None: the one that is worked on."""
    invert: bool = False
    """Whether dark becomes bright."""
    smooth: float = 0.0
    """Standard deviation in pixels of a Gaussian along rows and columns; 0: none."""


@dataclass(frozen=True, slots=True)
class PlaneKey:
    """Names one plane of one image as the model sees it; the key of cached features."""

    image: str
    """Identity of the pixels: a content fingerprint or a layer's unique id."""
    index: tuple[int, ...]
    """Indices of the axes that are not in the plane, in array order."""
    axes: tuple[int, int]
    """The two array axes that span the plane, in array order (rows, columns)."""
    channel: int | None
    """The chosen channel; None when there is none or the image is RGB."""
    limits: tuple[float, float] | None
    """Grey values mapped to 0 and 255; None when uint8 data is taken as it is."""
    channels: tuple[MixedChannel, ...] = ()
    """Those that the plane is composed of; empty where it is shown as it is stored."""


@dataclass(frozen=True, slots=True, eq=False)
class CroppedMask:
    """A mask stored as the rectangle of the plane that can hold it."""

    data: NDArray[np.bool_]
    """``(h, w)`` bool."""
    origin: tuple[int, int]
    """``(y0, x0)`` of the rectangle in the plane."""
    plane_shape: tuple[int, int]
    """``(H, W)`` of the whole plane."""

    @property
    def area(self) -> int:
        """Number of pixels of the object."""
        return int(np.count_nonzero(self.data))

    @property
    def box(self) -> Box | None:
        """Tight ``x0, y0, x1, y1`` in the plane (x1, y1 exclusive); None when empty."""
        rows = np.flatnonzero(self.data.any(axis=1))
        if rows.size == 0:
            return None
        columns = np.flatnonzero(self.data.any(axis=0))
        y0, x0 = self.origin
        return Box(
            int(x0 + columns[0]),
            int(y0 + rows[0]),
            int(x0 + columns[-1] + 1),
            int(y0 + rows[-1] + 1),
        )

    @property
    def side(self) -> int:
        """Longer side of the box; 0 when empty."""
        box = self.box
        return 0 if box is None else box.side

    def indices(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column indices of the object's pixels in the plane."""
        rows, columns = np.nonzero(self.data)
        return rows + self.origin[0], columns + self.origin[1]

    def to_plane(self) -> NDArray[np.bool_]:
        """The mask at the size of the plane, ``(H, W)`` bool."""
        full = np.zeros(self.plane_shape, dtype=bool)
        y0, x0 = self.origin
        height, width = self.data.shape
        full[y0 : y0 + height, x0 : x0 + width] = self.data
        return full


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of a plane that the network sees at once; hashable."""

    magnification: float
    """Model pixels per image pixel."""
    y0: int
    """First row, in pixels of the plane; may lie before the plane's first."""
    x0: int
    """First column, in pixels of the plane; may lie before the plane's first."""
    size: int
    """Side in pixels of the plane; the tile may reach beyond the plane's end."""

    @property
    def box(self) -> Box:
        """In the plane, overhang included."""
        return Box(self.x0, self.y0, self.x0 + self.size, self.y0 + self.size)

    def holds(self, x: float, y: float) -> bool:
        """Whether a pixel of the plane lies in the tile."""
        return self.x0 <= x < self.x0 + self.size and self.y0 <= y < self.y0 + self.size

    def to_tile(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Plane pixels ``(..., 2)`` as x, y to model pixels."""
        shifted = np.asarray(xy, dtype=np.float64) + 0.5 - (self.x0, self.y0)
        return shifted * self.magnification - 0.5

    def from_tile(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Model pixels ``(..., 2)`` as x, y to plane pixels."""
        shifted = (np.asarray(xy, dtype=np.float64) + 0.5) / self.magnification
        return shifted - 0.5 + (self.x0, self.y0)

    def crop(self, image_shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """``y0, y1, x0, x1`` of the part of the tile that lies in the plane."""
        height, width = image_shape
        return (
            max(self.y0, 0),
            min(self.y0 + self.size, height),
            max(self.x0, 0),
            min(self.x0 + self.size, width),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One mask that the model offers for a prompt."""

    mask: CroppedMask
    logits: NDArray[np.float32]
    """``(h, w)`` float32 over the same rectangle as ``mask``; > 0 is the object."""
    score: float
    """Predicted IoU, 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """The answer to one ``Prompts`` on one plane."""

    candidates: tuple[Candidate, ...]
    """In the order in which they are offered; at least one, whose mask may be empty."""
    object_score: float
    """Probability that the object is on this plane, 0 to 1."""
    tile: Tile
    """The part of the plane that the model looked at."""
    seconds: float
    """Wall time of the prediction, features included where they were not cached."""

    @property
    def best(self) -> Candidate:
        """The candidate that is offered first."""
        return self.candidates[0]

    @property
    def magnification(self) -> float:
        """Model pixels per image pixel."""
        return self.tile.magnification
