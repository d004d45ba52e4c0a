"""Shapes layers as prompts: boxes, masks of other closed shapes, and lines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.masks.filled import fill_ellipse, fill_polygon
from napari_cellprompt.core.masks.rle import encode_part
from napari_cellprompt.core.types import MaskRLE, Rectangle, Stroke
from napari_cellprompt.layers.coordinates import plane_shape, points_to_plane

from .prompts import NEGATIVE, POLARITY, clip_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Shapes
    from numpy.typing import NDArray

    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["DrawnShape", "read_shapes", "shapes_note", "signs_of"]

_LINES = ("line", "path")
_STRAIGHT = 0.5
"""Pixels that a rectangle's corners may be off those of an upright one."""
_CORNERS = 32
"""Of a line that was cut at the border of the image."""


@dataclass(frozen=True, slots=True)
class DrawnShape:
    """One shape on a plane, and how it counts; not at all where it tells nothing."""

    number: int
    """In its layer."""
    kind: str
    """As napari names it."""
    area: float = 0.0
    """Pixels inside."""
    box: Rectangle | None = None
    mask: MaskRLE | None = None
    """The pixels inside; ``box`` is then the rectangle around them."""
    stroke: Stroke | None = None
    outside: bool = False
    """Whether it would count if it were not outside the image."""

    @property
    def closed(self) -> bool:
        """Whether it goes around an object."""
        return self.box is not None

    def holds(self, x: float, y: float) -> bool:
        """Whether a place lies inside the shape's rectangle."""
        if self.box is None:
            return False
        # a pixel i covers i to i + 1 in a box
        x0, y0, x1, y1 = self.box
        return x0 <= x + 0.5 <= x1 and y0 <= y + 0.5 <= y1


def read_shapes(boxes: Shapes, image: Image, view: PlaneView) -> list[DrawnShape]:
    """All shapes on a plane, in the order in which they were drawn.

    The transforms of both layers are respected: what is a rectangle in a turned layer is
    a turned one in the image, and counts by the pixels inside.

    Parameters
    ----------
    boxes : napari.layers.Shapes
        The sign of lines is the feature ``polarity``, positive where there is none.
    image, view
        The image and its plane, from ``coordinates.plane_of``.
    """
    shape = plane_shape(image, view)
    found = []
    for number, (vertices, kind, sign) in enumerate(
        zip(boxes.data, boxes.shape_type, signs_of(boxes), strict=True)
    ):
        xy, on_plane = points_to_plane(boxes, image, view, vertices)
        if not on_plane.all():
            continue
        if str(kind) in _LINES:
            found.append(_line(number, str(kind), xy, sign, shape))
        else:
            found.append(_closed(number, str(kind), xy, shape))
    return found


def signs_of(boxes: Shapes) -> list[int]:
    """1 for each shape on an object, 0 for each on background."""
    features = boxes.features
    known = features[POLARITY][: len(boxes.data)] if POLARITY in features else ()
    signs = [0 if str(sign) == NEGATIVE else 1 for sign in known]
    return signs + [1] * (len(boxes.data) - len(signs))


def shapes_note(shapes: Sequence[DrawnShape]) -> str:
    """How shapes of a plane count that are no plain boxes; empty where all are."""
    notes = []
    masks = [shape.kind for shape in shapes if shape.mask is not None]
    if masks:
        names = ", ".join(
            f"{_named(kind)}{'s' * (masks.count(kind) > 1)}" for kind in sorted(set(masks))
        )
        verb = "counts" if len(masks) == 1 else "count"
        notes.append(f"{names[0].upper()}{names[1:]}: {verb} by the pixels inside.")
    signs = [shape.stroke[1] for shape in shapes if shape.stroke is not None]
    if len(signs) == 1:
        notes.append(f"The line marks {'the object' if signs[0] else 'background'}.")
    elif signs:
        notes.append(
            f"Lines: {signs.count(1)} on the object, {signs.count(0)} on background."
        )
    empty = sum(
        not (shape.closed or shape.stroke is not None or shape.outside) for shape in shapes
    )
    if empty:
        what = "shape is" if empty == 1 else "shapes are"
        notes.append(f"{empty} {what} too thin to count.")
    outside = sum(shape.outside for shape in shapes)
    if outside:
        what = "shape lies" if outside == 1 else "shapes lie"
        notes.append(f"{outside} {what} outside the image.")
    return " ".join(notes)


def _named(kind: str) -> str:
    return "turned rectangle" if kind == "rectangle" else kind


def _closed(
    number: int, kind: str, xy: NDArray[np.float64], shape: tuple[int, int]
) -> DrawnShape:
    x0, y0 = (float(value) for value in xy.min(axis=0) + 0.5)
    x1, y1 = (float(value) for value in xy.max(axis=0) + 0.5)
    if x1 - x0 < 1 or y1 - y0 < 1:
        return DrawnShape(number, kind)
    box = clip_box((x0, y0, x1, y1), *shape)
    if box is None:
        return DrawnShape(number, kind, outside=True)
    if kind == "rectangle" and _is_upright(xy):
        area = (box[2] - box[0]) * (box[3] - box[1])
        return DrawnShape(number, kind, area, box)
    drawn = _mask(kind == "ellipse", tuple(map(tuple, xy.tolist())), shape)
    if drawn is None:
        return DrawnShape(number, kind)
    mask, area, (left, top, right, bottom) = drawn
    return DrawnShape(number, kind, area, (left, top, right, bottom), mask)


def _is_upright(xy: NDArray[np.float64]) -> bool:
    """Whether four corners are about those of the rectangle around them."""
    ends = np.stack([xy.min(axis=0), xy.max(axis=0)])
    away = np.abs(xy[:, None, :] - ends[None]).min(axis=1)
    return bool(away.max() <= _STRAIGHT)


@lru_cache(maxsize=512)
def _mask(
    is_ellipse: bool, corners: tuple[tuple[float, ...], ...], shape: tuple[int, int]
) -> tuple[MaskRLE, float, Rectangle] | None:
    """The pixels inside, how many, and the rectangle around them; None for none.

    Kept: the layers are read again at each change.
    """
    filled = (fill_ellipse if is_ellipse else fill_polygon)(corners, shape)
    box = filled.box
    if box is None:
        return None
    mask = encode_part(filled.data, filled.origin, shape)
    return mask, float(filled.area), (box.x0, box.y0, box.x1, box.y1)


def _line(
    number: int, kind: str, xy: NDArray[np.float64], sign: int, shape: tuple[int, int]
) -> DrawnShape:
    height, width = shape
    limits = np.array([width, height]) - 0.5
    within = ((xy >= -0.5) & (xy < limits)).all(axis=1)
    if not within.all():
        xy = _dense(xy)
        xy = xy[((xy >= -0.5) & (xy < limits)).all(axis=1)]
        if not len(xy):
            return DrawnShape(number, kind, outside=True)
        xy = xy[np.unique(np.linspace(0, len(xy) - 1, _CORNERS).astype(int))]
    path = tuple((float(x), float(y)) for x, y in xy)
    if len(set(path)) < 2:
        # what a click without a drag leaves behind
        return DrawnShape(number, kind)
    return DrawnShape(number, kind, stroke=(path, sign))


def _dense(xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places along a line, a pixel apart or less."""
    steps = np.hypot(*np.diff(xy, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0, along[-1], int(along[-1]) + 2)
    return np.stack([np.interp(wanted, along, xy[:, axis]) for axis in (0, 1)], axis=1)
