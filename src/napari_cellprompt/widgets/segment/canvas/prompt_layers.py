"""The layers that the widget works with: their order, what to clear, what to drop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image, Labels, Points, Shapes

from napari_cellprompt.layers.coordinates import points_to_plane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = [
    "Chosen",
    "bring_undo_near",
    "clear_prompts",
    "drop_unused",
    "put_below",
    "put_in_order",
    "start_tool",
]


_SMALL = 50_000_000


@dataclass(frozen=True, slots=True)
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


def start_tool(viewer: ViewerModel, chosen: Chosen, *, box: bool) -> None:
    """Make the next press of the mouse a click on an object, or the corner of a box.

    The other layer is switched off while it is empty: where napari's canvas has drawn an
    empty Points and an empty Shapes layer, it may crash after both were deleted (seen
    with software drawing, at the first image in a viewer that was emptied).
    """
    layer, other = chosen.points, chosen.boxes
    if box:
        layer, other = other, layer
    if layer is None:
        return
    if other is not None and not len(other.data):
        other.visible = False
    layer.visible = True
    viewer.layers.selection.active = layer
    layer.mode = "add_rectangle" if box else "add"


def bring_undo_near(viewer: ViewerModel, chosen: Chosen, labels: Labels | None) -> None:
    """Leave a Labels layer on which Ctrl+Z would take back something else.

    Each Labels layer has an undo of its own, which wins over the key of the viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose active layer gets the keys.
    chosen : Chosen
        The layers on which Segment's keys work.
    labels : napari.layers.Labels, optional
        Where the last step has written: its own undo takes back the same.
    """
    active = viewer.layers.selection.active
    if not isinstance(active, Labels) or active == labels:
        return
    for layer in (*chosen.prompts, chosen.image, labels):
        if layer is not None and layer in viewer.layers:
            viewer.layers.selection.active = layer
            return


def put_below(viewer: ViewerModel, layer: Layer | None, others: Sequence[Layer]) -> None:
    """Move a layer under others, whose colours it would hide."""
    if layer is None:
        return
    places = [viewer.layers.index(found) for found in others if found in viewer.layers]
    position = viewer.layers.index(layer)
    if places and min(places) < position:
        viewer.layers.move(position, min(places))


def put_in_order(viewer: ViewerModel, chosen: Chosen) -> None:
    """Bring boxes above the image and clicks above boxes, where they are below.

    Clicks lie on top, where they can be seen and grabbed.
    """
    below: Layer | None = chosen.image
    for layer in (chosen.boxes, chosen.points):
        if layer is None or layer not in viewer.layers:
            continue
        if below is not None and below in viewer.layers:
            position, floor = viewer.layers.index(layer), viewer.layers.index(below)
            if position < floor:
                viewer.layers.move(position, floor + 1)
        below = layer


def clear_prompts(chosen: Chosen, view: PlaneView) -> None:
    """Delete the points and shapes of one plane; those of other planes stay."""
    if chosen.image is None:
        return
    if chosen.points is not None and len(chosen.points.data):
        _, on_plane = points_to_plane(chosen.points, chosen.image, view, chosen.points.data)
        _remove(chosen.points, np.flatnonzero(on_plane).tolist())
    if chosen.boxes is not None:
        _remove(chosen.boxes, _shapes_on_plane(chosen.boxes, chosen.image, view))


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
