"""Where an object of a movie has gone from one frame to the next.

Cells of a time-lapse move between frames, and fields drift, often by more than a small
network recognises. The grey values in and around an object mostly stay: the place on the
next frame that correlates best with them (normalised cross-correlation, Lewis 1995) is
where it is looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import CroppedMask

__all__ = ["displacement"]

_MARGIN = 0.25
"""Of the object's longer side: so much around it is compared. More finds drift better,
but neighbours that move otherwise count too."""
_LEAST = (4, 6)
"""Pixels of it, and of how far an object is looked for (half its longer side), at least."""
_ROUND = 0.1
"""Of a pixel: less than that is noise."""
_CORRELATED = 0.3
"""A place that correlates less says nothing."""


def displacement(
    before: PlaneSource,
    here: PlaneSource,
    mask: CroppedMask,
    drift: tuple[int, int] = (0, 0),
) -> tuple[float, float]:
    """How far an object has moved, to fractions of a pixel.

    An object that moves half a pixel a frame correlates as well with where it was as with
    the next pixel; taken for one that stays, its mask would lag behind more and more.

    Parameters
    ----------
    before, here
        Two frames of a movie.
    mask
        The object on ``before``.
    drift
        Rows and columns by which the whole field has moved: it is looked for around there.

    Returns
    -------
    tuple of float
        Rows and columns; zeros where nothing speaks for a movement.
    """
    from skimage.feature import match_template

    box = mask.box
    if box is None:
        return 0.0, 0.0
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    margin, reach = max(_LEAST[0], round(_MARGIN * side)), max(_LEAST[1], side // 2)
    height, width = before.shape
    rows = max(y0 - margin, 0), min(y1 + margin, height)
    columns = max(x0 - margin, 0), min(x1 + margin, width)
    pattern = before.read_grey(*rows, *columns)
    if np.ptp(pattern) == 0:
        return 0.0, 0.0

    def around(by: tuple[int, int], reach: int) -> NDArray[np.float32]:
        """Correlations with what lies up to ``reach`` around the place moved ``by``."""
        field = _field(
            here,
            (rows[0] + by[0] - reach, rows[1] + by[0] + reach),
            (columns[0] + by[1] - reach, columns[1] + by[1] + reach),
        )
        correlations: NDArray[np.float32] = match_template(field, pattern)
        return correlations

    found = around(drift, reach)
    if drift != (0, 0) and float(around((0, 0), 0)[0, 0]) >= found.max():
        # the field has moved, but not this
        return 0.0, 0.0
    best = np.unravel_index(int(found.argmax()), found.shape)
    if found[best] < _CORRELATED:
        return float(drift[0]), float(drift[1])
    row, column = int(best[0]), int(best[1])
    fine = row + _fraction(found[:, column], row), column + _fraction(found[row], column)
    return drift[0] + fine[0] - reach, drift[1] + fine[1] - reach


def _fraction(correlations: NDArray[np.float32], at: int) -> float:
    """Where a parabola through a place and its neighbours is highest, from that place on.

    At most one pixel; 0 where there are no two neighbours or they say nothing.
    """
    if not 0 < at < len(correlations) - 1:
        return 0.0
    lower, middle, upper = (float(value) for value in correlations[at - 1 : at + 2])
    curved = lower - 2 * middle + upper
    if curved >= 0:
        return 0.0
    fraction = min(max(0.5 * (lower - upper) / curved, -1.0), 1.0)
    return fraction if abs(fraction) >= _ROUND else 0.0


def _field(
    plane: PlaneSource, rows: tuple[int, int], columns: tuple[int, int]
) -> NDArray[np.float32]:
    """A part of a plane that may reach beyond it; its border pixels go on there."""
    height, width = plane.shape
    y, x = (
        np.clip(np.arange(start, stop), 0, length - 1)
        for (start, stop), length in ((rows, height), (columns, width))
    )
    pixels = plane.read_grey(int(y[0]), int(y[-1]) + 1, int(x[0]), int(x[-1]) + 1)
    return pixels[np.ix_(y - y[0], x - x[0])]
