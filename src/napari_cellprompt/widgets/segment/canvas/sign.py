"""What is drawn next: on the object or on the background, a box or only a tap."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_cellprompt.layers.prompting.prompts import (
    NEGATIVE,
    POLARITY,
    POSITIVE,
    set_signs,
)
from napari_cellprompt.layers.prompting.shapes import signs_of
from napari_cellprompt.widgets.shared.keys import MODIFIER

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Points, Shapes

__all__ = ["SignSwitch"]

_LINES = ("add_line", "add_path", "add_polyline")
_DRAGGED = ("add_rectangle", "add_ellipse")
_TAP = 4
"""Screen pixels: a shape of a shorter drag is none, though napari adds one."""


class SignSwitch:
    """Sets the sign of new points and lines: by its state, and by the modifier of each.

    Parameters
    ----------
    tapped : callable
        Called after a box or an ellipse was only tapped, and taken away again.
    """

    def __init__(self, tapped: Callable[[], None] = lambda: None) -> None:
        self.positive = True
        self._tapped = tapped
        self._points: Points | None = None
        self._boxes: Shapes | None = None

    @property
    def layers(self) -> tuple[Points | None, Shapes | None]:
        """The layers that are looked after."""
        return self._points, self._boxes

    def attach(self, points: Points | None, boxes: Shapes | None = None) -> None:
        """Look after the clicks and the lines on these layers only."""
        self.detach()
        self._points, self._boxes = points, boxes
        if points is not None:
            points.mouse_drag_callbacks.append(self._pressed)
            self.apply()
        if boxes is not None:
            # before napari's own, which adds the shape when the button is pressed
            boxes.mouse_drag_callbacks.insert(0, self._drawn)

    def detach(self) -> None:
        """Leave the layers alone."""
        points, boxes = self.layers
        self._points = self._boxes = None
        if points is not None and self._pressed in points.mouse_drag_callbacks:
            points.mouse_drag_callbacks.remove(self._pressed)
        if boxes is not None and self._drawn in boxes.mouse_drag_callbacks:
            boxes.mouse_drag_callbacks.remove(self._drawn)

    def toggle(self) -> None:
        """Turn the sign of the following clicks and lines round."""
        self.positive = not self.positive
        self.apply()

    def reset(self) -> None:
        """Start the next object with a click on it."""
        self.positive = True
        self.apply()

    def apply(self) -> None:
        """Give new points the current sign."""
        self._set(self.positive)

    def _pressed(self, layer: Points, event: Any) -> Generator[None, None, None]:
        # napari adds the point when the button is released; its sign is set by then.
        self._set(self.positive != (MODIFIER in event.modifiers))
        yield

    def _drawn(self, layer: Shapes, event: Any) -> Generator[None, None, None]:
        count = len(layer.data)
        line, dragged = str(layer.mode) in _LINES, str(layer.mode) in _DRAGGED
        start = np.array(event.pos)
        positive = not line or self.positive != (MODIFIER in event.modifiers)
        signs = signs_of(layer)
        yield
        while event.type == "mouse_move":
            yield
        added = len(layer.data) - count
        if added > 0:
            set_signs(layer, [*signs, *[int(positive)] * added])
        if dragged and added == 1 and np.abs(np.array(event.pos) - start).max() < _TAP:
            # napari has still to finish the shape
            QTimer.singleShot(0, partial(self._take_away, layer, count))

    def _take_away(self, layer: Shapes, number: int) -> None:
        """Remove a shape that nobody has drawn."""
        if layer == self._boxes and len(layer.data) == number + 1:
            layer.selected_data = {number}
            layer.remove_selected()
            self._tapped()

    def _set(self, positive: bool) -> None:
        points = self._points
        if points is None:
            return
        if POLARITY not in points.features:
            if positive:
                return
            features = points.features.copy()
            features[POLARITY] = POSITIVE
            points.features = features
        wanted = POSITIVE if positive else NEGATIVE
        if points.feature_defaults[POLARITY].iloc[0] != wanted:
            points.feature_defaults = {POLARITY: wanted}
