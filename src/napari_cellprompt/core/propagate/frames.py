"""Frames of a movie that show nothing: the lamp was off, or the file has a hole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_cellprompt.core.images.stack import Stack

__all__ = ["Frames"]

_BLANK = 0.1
"""Share of the grey values' range on another frame below which a frame is blank."""
_SAMPLES = 256
"""Rows and columns that are looked at, at about."""
_ENDS = (0.5, 99.5)
"""Percentiles between which the range is taken."""


class Frames:
    """Tells blank frames from others.

    Parameters
    ----------
    stack
        The planes.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._ranges: dict[int, float] = {}

    def is_blank(self, plane: int, like: int) -> bool:
        """Whether a plane shows nothing, compared with one that shows objects."""
        usual = self._range(like)
        return usual > 0 and self._range(plane) < _BLANK * usual

    def _range(self, plane: int) -> float:
        """Of the finite grey values of a plane; 0 where there are none."""
        if plane not in self._ranges:
            source = self.stack.plane(plane)
            height, width = source.shape
            pixels = source.read_raw(0, height, 0, width)
            sample = pixels[:: max(height // _SAMPLES, 1), :: max(width // _SAMPLES, 1)]
            finite = sample[np.isfinite(sample)]
            low, high = np.percentile(finite, _ENDS) if finite.size else (0.0, 0.0)
            self._ranges[plane] = float(high) - float(low)
        return self._ranges[plane]
