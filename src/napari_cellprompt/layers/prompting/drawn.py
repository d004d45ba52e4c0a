"""What is drawn in the prompt layers: which objects it means, and how to put it back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.coordinates import plane_shape, points_to_plane

from .prompts import POLARITY, read_points, set_signs
from .shapes import DrawnShape, read_shapes, signs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Points, Shapes
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Stroke
    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["Drawing", "DrawnObject", "Mark", "read_clicks", "read_objects", "remove_drawn"]


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """One object as it is drawn on a plane."""

    prompts: Prompts
    points: tuple[int, ...] = ()
    """Numbers of its clicks in their layer."""
    shapes: tuple[int, ...] = ()
    """Numbers of its shapes in their layer."""
    spot: tuple[float, float] = (0.0, 0.0)
    """``(x, y)`` of something that was drawn for it."""


def read_objects(
    points: Points | None,
    boxes: Shapes | None,
    image: Image,
    view: PlaneView,
    *,
    one_per_point: bool = False,
    shapes: Sequence[DrawnShape] | None = None,
) -> tuple[DrawnObject, ...]:
    """The objects that are drawn on one plane of an image.

    Each closed shape is an object: an upright rectangle by its box, any other by the
    pixels inside. One shape takes all clicks and lines with it; of several each takes
    those inside, the smaller one where they overlap. What lies outside of all of several
    shapes is one more object, the last, where something of it is on an object; marks of
    background alone go with the shape drawn last.

    Parameters
    ----------
    points : napari.layers.Points, optional
        Clicks; their sign is the feature ``polarity``, positive where there is none.
    boxes : napari.layers.Shapes, optional
        Rectangles, ellipses, polygons; lines and paths, with a sign as that of clicks.
    image, view
        The image and its plane, from ``coordinates.plane_of``.
    one_per_point : bool
        Each click and each line on an object, outside of closed shapes, is an object of
        its own; those on background outside of closed shapes count for all objects.
    shapes : sequence of DrawnShape, optional
        What ``read_shapes`` gives, where it is known already.

    Returns
    -------
    tuple of DrawnObject
        The one drawn last at the end, empty when nothing lies on the plane. What lies
        outside the image is left out as long as something else is inside.

    Raises
    ------
    PromptError
        All points and shapes of this plane are outside the image, or there are only
        negative ones.
    """
    if shapes is None:
        shapes = [] if boxes is None else read_shapes(boxes, image, view)
    height, width = plane_shape(image, view)
    clicks, numbers = read_clicks(points, image, view, (height, width))
    closed = [shape for shape in shapes if shape.closed]
    marks = clicks + [
        Mark(shape.number, _middle(shape.stroke), shape.stroke[1], shape.stroke)
        for shape in shapes
        if shape.stroke is not None
    ]
    if not closed and not marks:
        outside = [shape for shape in shapes if shape.outside]
        if numbers or outside:
            raise _all_outside(len(numbers), len(outside), image, (width, height))
        return ()
    objects = _shared_out(closed, marks, one_per_point)
    if len(objects) == 1:
        # What is outside is used up together with what is inside.
        return (
            DrawnObject(
                objects[0].prompts,
                tuple(numbers),
                tuple(shape.number for shape in shapes),
                objects[0].spot,
            ),
        )
    return objects


def remove_drawn(
    points: Points | None, boxes: Shapes | None, objects: Sequence[DrawnObject]
) -> None:
    """Delete the clicks and shapes of some objects, and no others."""
    for layer, numbers in (
        (points, {number for drawn in objects for number in drawn.points}),
        (boxes, {number for drawn in objects for number in drawn.shapes}),
    ):
        if layer is not None and numbers:
            layer.selected_data = numbers
            layer.remove_selected()


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """All that two prompt layers hold, on all planes."""

    points: NDArray[np.float64]
    """``(N, D)``, in the layer's data coordinates."""
    features: Any
    """A copy of the table of the points' features."""
    shapes: tuple[NDArray[np.float64], ...]
    """Vertices of each shape, ``(V, D)``."""
    kinds: tuple[str, ...]
    signs: tuple[int, ...] = ()
    """1 for each shape on an object, 0 for each on background."""

    @classmethod
    def of(cls, points: Points | None, boxes: Shapes | None) -> Drawing:
        """Copy what is in the layers."""
        return cls(
            np.empty((0, 2)) if points is None else np.array(points.data, dtype=float),
            None if points is None else points.features.copy(),
            () if boxes is None else tuple(np.array(shape) for shape in boxes.data),
            () if boxes is None else tuple(str(kind) for kind in boxes.shape_type),
            () if boxes is None else tuple(signs_of(boxes)),
        )

    @property
    def nbytes(self) -> int:
        """Memory that the copy takes, about."""
        return (
            self.points.nbytes
            + 64 * len(self.points)
            + sum(shape.nbytes + 100 for shape in self.shapes)
        )

    def same(self, other: Drawing) -> bool:
        """Whether nothing is different."""
        return (
            np.array_equal(self.points, other.points)
            and self.kinds == other.kinds
            and self.signs == other.signs
            and all(
                np.array_equal(mine, theirs)
                for mine, theirs in zip(self.shapes, other.shapes, strict=True)
            )
            and (self.features is None) == (other.features is None)
            and (self.features is None or bool(self.features.equals(other.features)))
        )

    def clicks_since(self, before: Drawing) -> list[Drawing]:
        """What lies between two drawings where only clicks were added, one by one.

        Parameters
        ----------
        before : Drawing
            Of the same layers.

        Returns
        -------
        list of Drawing
            With each click added but the last; empty where something else has changed.
        """
        old, new = len(before.points), len(self.points)
        parts = [
            replace(self, points=self.points[:number], features=self._first(number))
            for number in range(old, new)
        ]
        return parts[1:] if parts and parts[0].same(before) else []

    def _first(self, number: int) -> Any:
        """The features of so many points."""
        if self.features is None:
            return None
        return self.features.iloc[:number].reset_index(drop=True)

    def put(self, points: Points | None, boxes: Shapes | None) -> None:
        """Replace what is in the layers by this."""
        if points is not None and self.features is not None:
            default = points.feature_defaults.copy()
            points.selected_data = set()
            # of no points it is not known how many axes they had
            points.data = self.points if len(self.points) else np.empty((0, points.ndim))
            if len(self.points):
                points.features = self.features.copy()
            # napari has none for a layer that was emptied meanwhile
            if POLARITY in default and isinstance(default[POLARITY].iloc[0], str):
                points.feature_defaults = {POLARITY: default[POLARITY].iloc[0]}
        if boxes is not None:
            boxes.selected_data = set(range(len(boxes.data)))
            boxes.remove_selected()
            if self.shapes:
                boxes.add(list(self.shapes), shape_type=list(self.kinds))
                set_signs(boxes, self.signs)


@dataclass(frozen=True, slots=True)
class Mark:
    """A click or a line on a plane."""

    number: int
    """In its layer."""
    place: tuple[float, float]
    sign: int
    stroke: Stroke | None = None


def _middle(stroke: Stroke) -> tuple[float, float]:
    path = stroke[0]
    return path[len(path) // 2]


def read_clicks(
    points: Points | None, image: Image, view: PlaneView, shape: tuple[int, int]
) -> tuple[list[Mark], list[int]]:
    """The clicks inside an image of a shape, and the numbers of all on the plane."""
    if points is None or not len(points.data):
        return [], []
    xy, labels = read_points(points, image, view)
    _, on_plane = points_to_plane(points, image, view, points.data)
    numbers = [int(number) for number in np.flatnonzero(on_plane)]
    height, width = shape
    return [
        Mark(number, (min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)), sign)
        for number, (x, y), sign in zip(numbers, xy, labels, strict=True)
        if -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5
    ], numbers


def _all_outside(
    clicks: int, shapes: int, image: Image, size: tuple[int, int]
) -> PromptError:
    what = "prompts"
    if not shapes:
        what = "point" if clicks == 1 else "prompts"
    elif not clicks:
        what = "box"
    verb = "lie" if what == "prompts" else "lies"
    return PromptError(
        f"The {what} {verb} outside '{image.name}', which is {size[0]} x {size[1]} "
        "pixels here: move or delete it."
    )


def _shared_out(
    closed: Sequence[DrawnShape], marks: Sequence[Mark], one_per_point: bool
) -> tuple[DrawnObject, ...]:
    """Which marks belong to which closed shape, and which are objects by themselves."""
    owned: list[list[Mark]] = [[] for _ in closed]
    loose: list[Mark] = []
    takes_all = len(closed) == 1 and not one_per_point
    for mark in marks:
        around = [
            (shape.area, place)
            for place, shape in enumerate(closed)
            if takes_all or shape.holds(*mark.place)
        ]
        (owned[min(around)[1]] if around else loose).append(mark)
    wanted = [mark for mark in loose if mark.sign]
    if not closed and not wanted:
        raise PromptError(
            "There are only negative points on this plane: add a point on the object or "
            "a box around it."
        )
    groups: list[list[Mark]] = [loose] if wanted else []
    if one_per_point:
        unwanted = [mark for mark in loose if not mark.sign]
        groups = [
            [mark for mark in loose if mark is one or not mark.sign] for one in wanted
        ]
        owned = [own + unwanted for own in owned]
    elif not wanted and owned:
        owned[-1] += loose
    return (
        *(_object(own, shape) for own, shape in zip(owned, closed, strict=True)),
        *(_object(group, None) for group in groups),
    )


def _object(marks: Sequence[Mark], shape: DrawnShape | None) -> DrawnObject:
    clicks = [mark for mark in marks if mark.stroke is None]
    lines = [mark for mark in marks if mark.stroke is not None]
    outlined = shape is not None and shape.mask is None
    prompts = Prompts(
        points=tuple(mark.place for mark in clicks),
        labels=tuple(mark.sign for mark in clicks),
        box=shape.box if shape is not None and outlined else None,
        mask=None if shape is None else shape.mask,
        strokes=tuple(mark.stroke for mark in lines if mark.stroke is not None),
        sketch=shape is not None and shape.mask is not None,
    )
    numbers = [mark.number for mark in lines]
    if shape is not None:
        numbers.append(shape.number)
    spot = marks[-1].place if marks else (0.0, 0.0)
    if shape is not None and shape.box is not None:
        spot = shape.box[0] + 0.5, shape.box[1] + 0.5
    if clicks:
        spot = clicks[-1].place
    found = tuple(mark.number for mark in clicks)
    return DrawnObject(prompts, found, tuple(numbers), spot)
