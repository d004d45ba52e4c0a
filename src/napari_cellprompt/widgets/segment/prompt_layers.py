"""The layers that the widget works with: which fit, which to make, what to clear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes

from napari_cellprompt.layers.coordinates import plane_of, plane_shape, points_to_plane
from napari_cellprompt.layers.grids import match_grid
from napari_cellprompt.layers.prompts import (
    BOXES_NAME,
    LABELS_NAME,
    POINTS_NAME,
    add_boxes_layer,
    add_labels_layer,
    add_points_layer,
)

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = [
    "Chosen",
    "clear_prompts",
    "complete",
    "drop_unused",
    "put_below_prompts",
    "remove_last_prompt",
    "same_size",
    "start_tool",
]


_SMALL = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """The layers that are worked with; None where there is none."""

    image: Image | None = None
    points: Points | None = None
    boxes: Shapes | None = None
    labels: Labels | None = None

    @property
    def prompts(self) -> list[Layer]:
        """The layers that hold prompts."""
        return [layer for layer in (self.points, self.boxes) if layer is not None]


def complete(
    viewer: ViewerModel, chosen: Chosen, made: list[Layer], channel_axis: int | None
) -> Chosen:
    """Find or make what is missing beside the image, and what does not fit it.

    Layers made here are appended to ``made``. What was active in the layer list stays so.
    """
    image = chosen.image
    if image is None:
        return chosen
    view = plane_of(viewer, image, channel_axis=channel_axis)
    active = viewer.layers.selection.active
    before = list(viewer.layers)
    labels = chosen.labels
    if labels is None or isinstance(match_grid(image, labels, view), str):
        labels = _labels_of(viewer, image, view)
    if labels is None:
        labels = add_labels_layer(viewer, image, channel_axis=channel_axis)
    boxes = _fitting(viewer, chosen.boxes, Shapes, BOXES_NAME, image)
    points = _fitting(viewer, chosen.points, Points, POINTS_NAME, image)
    if boxes is None:
        boxes = add_boxes_layer(viewer, image)
    if points is None:
        # Last, so that they lie on top, where they can be seen and grabbed.
        points = add_points_layer(viewer, image)
    result = Chosen(image, points, boxes, labels)
    made.extend(layer for layer in viewer.layers if layer not in before)
    if active is not None and viewer.layers.selection.active != active:
        viewer.layers.selection.active = active
    return result


def same_size(labels: Labels, image: Image, view: PlaneView) -> bool:
    """Whether a layer has the pixels of an image's plane, no more and no fewer."""
    match = match_grid(image, labels, view)
    if isinstance(match, str) or labels.multiscale:
        return False
    rows, columns = match.axes
    own = (int(labels.data.shape[rows]), int(labels.data.shape[columns]))
    return own == plane_shape(image, view)


def _labels_of(viewer: ViewerModel, image: Image, view: PlaneView) -> Labels | None:
    """A layer made for this image, or for one just like it."""
    layers = _named(viewer, Labels, LABELS_NAME)
    return next((layer for layer in layers if same_size(layer, image, view)), None)


def _named(viewer: ViewerModel, kind: type[Any], name: str) -> list[Any]:
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, kind) and layer.name.startswith(name)
    ]


def _fitting(
    viewer: ViewerModel, layer: Any, kind: type[Any], name: str, image: Image
) -> Any:
    """The chosen layer when it has the image's axes, else one of ours that does."""
    candidates = ([] if layer is None else [layer]) + _named(viewer, kind, name)
    return next((found for found in candidates if found.ndim == image.ndim), None)


def start_tool(viewer: ViewerModel, chosen: Chosen, *, box: bool) -> None:
    """Make the next press of the mouse a click on an object, or the corner of a box."""
    layer = chosen.boxes if box else chosen.points
    if layer is None:
        return
    viewer.layers.selection.active = layer
    layer.mode = "add_rectangle" if box else "add"


def put_below_prompts(viewer: ViewerModel, layer: Layer | None, chosen: Chosen) -> None:
    """Move a layer under the prompts, whose colours it would hide."""
    if layer is None:
        return
    prompts = [
        viewer.layers.index(found) for found in chosen.prompts if found in viewer.layers
    ]
    position = viewer.layers.index(layer)
    if prompts and min(prompts) < position:
        viewer.layers.move(position, min(prompts))


def clear_prompts(chosen: Chosen, view: PlaneView) -> None:
    """Delete the points and shapes of one plane; those of other planes stay."""
    if chosen.image is None:
        return
    if chosen.points is not None and len(chosen.points.data):
        _, on_plane = points_to_plane(chosen.points, chosen.image, view, chosen.points.data)
        _remove(chosen.points, np.flatnonzero(on_plane).tolist())
    if chosen.boxes is not None:
        _remove(chosen.boxes, _shapes_on_plane(chosen.boxes, chosen.image, view))


def remove_last_prompt(chosen: Chosen, view: PlaneView) -> bool:
    """Delete the last point of a plane, or its last shape when it has no points."""
    image = chosen.image
    if image is None:
        return False
    if chosen.points is not None and len(chosen.points.data):
        _, on_plane = points_to_plane(chosen.points, image, view, chosen.points.data)
        if on_plane.any():
            _remove(chosen.points, [int(np.flatnonzero(on_plane)[-1])])
            return True
    shapes = [] if chosen.boxes is None else _shapes_on_plane(chosen.boxes, image, view)
    if shapes:
        _remove(chosen.boxes, shapes[-1:])
    return bool(shapes)


def drop_unused(viewer: ViewerModel, made: list[Layer]) -> None:
    """Remove the layers that were made for the user and hold nothing."""
    for layer in made:
        if layer not in viewer.layers:
            continue
        if isinstance(layer, Labels):
            # Reading a very large array would take long; such a layer stays.
            unused = layer.data.size <= _SMALL and not np.any(layer.data)
        else:
            unused = len(layer.data) == 0
        if unused:
            viewer.layers.remove(layer)


def _shapes_on_plane(boxes: Shapes, image: Image, view: PlaneView) -> list[int]:
    found = []
    for number, vertices in enumerate(boxes.data):
        _, on_plane = points_to_plane(boxes, image, view, vertices)
        if on_plane.all():
            found.append(number)
    return found


def _remove(layer: Points | Shapes, numbers: list[int]) -> None:
    if numbers:
        layer.selected_data = set(numbers)
        layer.remove_selected()
