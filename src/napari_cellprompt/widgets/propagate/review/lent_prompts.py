"""The prompt layers while they correct a propagation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.coordinates import plane_to_layer
from napari_cellprompt.layers.prompting.drawn import Drawing, read_clicks
from napari_cellprompt.layers.prompting.prompts import NEGATIVE, POLARITY, POSITIVE
from napari_cellprompt.layers.prompting.shapes import read_shapes
from napari_cellprompt.layers.prompting.tracing import add_shapes
from napari_cellprompt.widgets.segment.canvas.prompt_layers import Chosen

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from napari.layers import Layer, Points
    from numpy.typing import NDArray

    from napari_cellprompt.layers.stacks import LayerStack

__all__ = ["LentPrompts"]


class LentPrompts:
    """Shows the prompts of one object at a time, and gives the layers back as they were.

    Prompts that the user had drawn for other objects are put away meanwhile.
    """

    def __init__(self) -> None:
        self._chosen = Chosen()
        self._stack: LayerStack | None = None
        self._saved = Drawing.of(None, None)

    @property
    def lent(self) -> bool:
        """Whether the layers are in use here."""
        return self._stack is not None

    def take(self, chosen: Chosen, stack: LayerStack) -> None:
        """Put away what the layers hold."""
        self._chosen, self._stack = chosen, stack
        self._saved = Drawing.of(chosen.points, chosen.boxes)

    def adopt(self, chosen: Chosen, there: Container[Layer]) -> list[Layer]:
        """Use layers that were made since; returns those that are new here.

        Parameters
        ----------
        chosen : Chosen
            The layers of the image.
        there : container of layers
            The layer list; what is no longer in it is replaced.
        """
        if self._stack is None:
            return []
        new: list[Layer] = []
        for role in ("points", "boxes"):
            old, layer = getattr(self._chosen, role), getattr(chosen, role)
            if layer is not None and layer != old and (old is None or old not in there):
                self._chosen = replace(self._chosen, **{role: layer})
                new.append(layer)
        # nothing was put away from a layer that is new
        points = self._chosen.points
        if points is not None and points in new:
            self._saved = replace(
                self._saved,
                points=np.empty((0, points.ndim)),
                features=points.features.iloc[:0].copy(),
            )
        if self._chosen.boxes in new:
            self._saved = replace(self._saved, shapes=(), kinds=(), signs=())
        return new

    def show(self, prompts: Mapping[int, Prompts]) -> None:
        """Replace everything by the prompts of one object, by plane."""
        stack, points, boxes = self._stack, self._chosen.points, self._chosen.boxes
        if stack is None:
            return
        if points is not None:
            places, signs = [np.empty((0, points.ndim))], []
            for plane, item in prompts.items():
                if item.points:
                    view = stack.view_at(plane)
                    places.append(plane_to_layer(stack.image, points, view, item.points))
                    signs += [POSITIVE if label else NEGATIVE for label in item.labels]
            _set_points(points, np.concatenate(places), signs)
        if boxes is not None:
            boxes.selected_data = set(range(len(boxes.data)))
            boxes.remove_selected()
            for plane, item in prompts.items():
                add_shapes(boxes, stack.image, stack.view_at(plane), item)

    def read(self, plane: int) -> Prompts:
        """What the layers say about one plane; negative clicks alone are fine here.

        Of several closed shapes the last counts: an upright rectangle as a box, any other
        by the pixels inside.
        """
        stack, points, boxes = self._stack, self._chosen.points, self._chosen.boxes
        if stack is None:
            return Prompts()
        view = stack.view_at(plane)
        clicks, _ = read_clicks(points, stack.image, view, stack.shape)
        shapes = [] if boxes is None else read_shapes(boxes, stack.image, view)
        closed = [shape for shape in shapes if shape.closed]
        box = closed[-1].box if closed and closed[-1].mask is None else None
        mask = closed[-1].mask if closed else None
        lines = tuple(shape.stroke for shape in shapes if shape.stroke is not None)
        return Prompts(
            tuple(click.place for click in clicks),
            tuple(click.sign for click in clicks),
            box,
            mask,
            lines,
            sketch=mask is not None,
        )

    def give_back(self, *, clear: int | None = None) -> None:
        """Bring back what was put away.

        Parameters
        ----------
        clear : int, optional
            Leave out the prompts of this plane, whose object was accepted.
        """
        chosen, stack, saved = self._chosen, self._stack, self._saved
        if stack is None:
            return
        saved.put(chosen.points, chosen.boxes)
        if clear is not None:
            from napari_cellprompt.widgets.segment.canvas.prompt_layers import clear_prompts

            clear_prompts(chosen, stack.view_at(clear))
        self._chosen, self._stack, self._saved = Chosen(), None, Drawing.of(None, None)


def _set_points(points: Points, places: NDArray[np.float64], signs: list[str]) -> None:
    points.selected_data = set()
    points.data = places
    features = points.features.copy()
    features[POLARITY] = np.array(signs, dtype=object)
    points.features = features
