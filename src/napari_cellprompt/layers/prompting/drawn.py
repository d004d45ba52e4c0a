"""What is drawn in the prompt layers: which objects it means, and how to put it back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.coordinates import plane_shape, points_to_plane

from .prompts import POLARITY, clip_box, read_points, shape_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Points, Shapes
    from numpy.typing import NDArray

    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["Drawing", "DrawnObject", "read_objects", "remove_drawn", "shape_note"]

Box = tuple[float, float, float, float]
_Click = tuple[int, tuple[float, float], int]
"""Number in its layer, place ``(x, y)``, and sign."""


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """One object as it is drawn on a plane."""

    prompts: Prompts
    points: tuple[int, ...] = ()
    """Numbers of its clicks in their layer."""
    shapes: tuple[int, ...] = ()
    """Numbers of its shapes in their layer."""


def read_objects(
    points: Points | None, boxes: Shapes | None, image: Image, view: PlaneView
) -> tuple[DrawnObject, ...]:
    """The objects that are drawn on one plane of an image.

    Each closed shape is an object, by its bounding box. One shape takes all clicks with
    it; of several each takes the clicks inside, the smaller one where they overlap.
    Clicks outside of all of several shapes are one more object, the last, where there is
    a positive one among them; negative ones alone go with the shape drawn last.

    Parameters
    ----------
    points : napari.layers.Points, optional
        Clicks; their sign is the feature ``polarity``, positive where there is none.
    boxes : napari.layers.Shapes, optional
        Rectangles, ellipses, polygons, paths; lines do not count.
    image, view
        The image and its plane, from ``coordinates.plane_of``.

    Returns
    -------
    tuple of DrawnObject
        The one drawn last at the end, empty when nothing lies on the plane. What lies
        outside the image is left out as long as something else is inside.

    Raises
    ------
    PromptError
        All points and boxes of this plane are outside the image, or there are only
        negative points.
    """
    xy, labels, numbers = _clicks(points, image, view)
    shapes = [] if boxes is None else shape_boxes(boxes, image, view)
    if not xy and not shapes:
        return ()
    height, width = plane_shape(image, view)
    clips = [(number, clip_box(box, height, width)) for number, box in shapes]
    usable = [(number, box) for number, box in clips if box is not None]
    inside = [-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5 for x, y in xy]
    if not usable and not any(inside):
        what = "point" if len(xy) == 1 else "box" if not xy else "prompts"
        verb = "lie" if what == "prompts" else "lies"
        raise PromptError(
            f"The {what} {verb} outside '{image.name}', which is {width} x {height} "
            "pixels here: move or delete it."
        )
    kept = [
        (number, (min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)), label)
        for number, (x, y), label, is_inside in zip(
            numbers, xy, labels, inside, strict=True
        )
        if is_inside
    ]
    if len(usable) > 1:
        return _several(kept, usable)
    if kept and not usable and all(label == 0 for _, _, label in kept):
        raise PromptError(
            "There are only negative points on this plane: add a point on the object or "
            "a box around it."
        )
    # What is outside is used up together with what is inside.
    return (
        DrawnObject(
            _prompts(kept, usable[0][1] if usable else None),
            tuple(numbers),
            tuple(number for number, _ in shapes),
        ),
    )


def shape_note(boxes: Shapes | None, image: Image, view: PlaneView) -> str:
    """How shapes on a plane count that are no rectangles; empty where all are."""
    if boxes is None:
        return ""
    kinds = set()
    for vertices, kind in zip(boxes.data, boxes.shape_type, strict=True):
        if points_to_plane(boxes, image, view, vertices)[1].all():
            kinds.add(str(kind))
    round_ones = sorted(kinds & {"ellipse", "polygon", "path"})
    notes = []
    if round_ones:
        names = ", ".join(f"{kind}s" for kind in round_ones)
        notes.append(f"{names.capitalize()} count by their bounding box.")
    if kinds & {"line", "polyline"}:
        notes.append("Lines do not count: draw a rectangle.")
    return " ".join(notes)


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

    @classmethod
    def of(cls, points: Points | None, boxes: Shapes | None) -> Drawing:
        """Copy what is in the layers."""
        return cls(
            np.empty((0, 2)) if points is None else np.array(points.data, dtype=float),
            None if points is None else points.features.copy(),
            () if boxes is None else tuple(np.array(shape) for shape in boxes.data),
            () if boxes is None else tuple(str(kind) for kind in boxes.shape_type),
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
            points.data = self.points
            points.features = self.features.copy()
            if POLARITY in default:
                points.feature_defaults = {POLARITY: default[POLARITY].iloc[0]}
        if boxes is not None:
            boxes.selected_data = set(range(len(boxes.data)))
            boxes.remove_selected()
            if self.shapes:
                boxes.add(list(self.shapes), shape_type=list(self.kinds))


def _clicks(
    points: Points | None, image: Image, view: PlaneView
) -> tuple[list[tuple[float, float]], list[int], list[int]]:
    """Places, signs and numbers of the points on a plane."""
    if points is None or not len(points.data):
        return [], [], []
    xy, labels = read_points(points, image, view)
    _, on_plane = points_to_plane(points, image, view, points.data)
    return xy, labels, [int(number) for number in np.flatnonzero(on_plane)]


def _several(clicks: list[_Click], boxes: list[tuple[int, Box]]) -> tuple[DrawnObject, ...]:
    owned: list[list[_Click]] = [[] for _ in boxes]
    loose: list[_Click] = []
    for click in clicks:
        x, y = click[1]
        around = [
            ((box[2] - box[0]) * (box[3] - box[1]), place)
            for place, (_, box) in enumerate(boxes)
            # a pixel i covers i to i + 1 in a box
            if box[0] <= x + 0.5 <= box[2] and box[1] <= y + 0.5 <= box[3]
        ]
        (owned[min(around)[1]] if around else loose).append(click)
    if loose and not any(label for _, _, label in loose):
        owned[-1] += loose
        loose = []
    objects = [
        DrawnObject(_prompts(own, box), tuple(click[0] for click in own), (number,))
        for own, (number, box) in zip(owned, boxes, strict=True)
    ]
    if loose:
        numbers = tuple(click[0] for click in loose)
        objects.append(DrawnObject(_prompts(loose, None), numbers))
    return tuple(objects)


def _prompts(clicks: list[_Click], box: Box | None) -> Prompts:
    return Prompts(
        points=tuple(click[1] for click in clicks),
        labels=tuple(click[2] for click in clicks),
        box=box,
    )
