"""Whether the next click belongs to the object or to the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.layers.prompting.prompts import NEGATIVE, POLARITY, POSITIVE
from napari_cellprompt.widgets.shared.keys import MODIFIER

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Points

__all__ = ["SignSwitch"]


class SignSwitch:
    """Sets the sign of new points, by its own state and by the modifier of each click."""

    def __init__(self) -> None:
        self.positive = True
        self._points: Points | None = None

    @property
    def points(self) -> Points | None:
        """The layer that is looked after."""
        return self._points

    def attach(self, points: Points | None) -> None:
        """Look after the clicks on this layer only."""
        self.detach()
        self._points = points
        if points is not None:
            points.mouse_drag_callbacks.append(self._pressed)
            self.apply()

    def detach(self) -> None:
        """Leave the layer alone."""
        points, self._points = self._points, None
        if points is not None and self._pressed in points.mouse_drag_callbacks:
            points.mouse_drag_callbacks.remove(self._pressed)

    def toggle(self) -> None:
        """Turn the sign of the following clicks round."""
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
