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
_GAIN = 0.05
"""The correlation must be better by this than where the object was: else it stays ..."""
_CLEARER = 0.1
"""... or its inverse hyperbolic tangent by this, where both are high: a large object that
moves a little still correlates well with where it was."""
_MOST = 0.999
"""Correlations above this are all the same."""
_CORRELATED = 0.3
"""A place that correlates less says nothing."""


def displacement(
    before: PlaneSource, here: PlaneSource, mask: CroppedMask
) -> tuple[int, int]:
    """How far an object has moved.

    Parameters
    ----------
    before, here
        Two frames of a movie.
    mask
        The object on ``before``.

    Returns
    -------
    tuple of int
        Rows and columns; zeros where nothing speaks for a movement.
    """
    from skimage.feature import match_template

    box = mask.box
    if box is None:
        return 0, 0
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0)
    margin, reach = max(_LEAST[0], round(_MARGIN * side)), max(_LEAST[1], side // 2)
    height, width = before.shape
    rows = max(y0 - margin, 0), min(y1 + margin, height)
    columns = max(x0 - margin, 0), min(x1 + margin, width)
    pattern = before.read_grey(*rows, *columns)
    if np.ptp(pattern) == 0:
        return 0, 0
    field = _field(
        here, (rows[0] - reach, rows[1] + reach), (columns[0] - reach, columns[1] + reach)
    )
    found = match_template(field, pattern)
    best = np.unravel_index(int(found.argmax()), found.shape)
    here_z, best_z = np.arctanh(np.clip((found[reach, reach], found[best]), -1, _MOST))
    better = found[best] >= found[reach, reach] + _GAIN or best_z >= here_z + _CLEARER
    if found[best] < _CORRELATED or not better:
        return 0, 0
    return int(best[0]) - reach, int(best[1]) - reach


def _field(
    plane: PlaneSource, rows: tuple[int, int], columns: tuple[int, int]
) -> NDArray[np.float32]:
    """A part of a plane that may reach beyond it; its border pixels go on there."""
    height, width = plane.shape
    pixels = plane.read_grey(
        max(rows[0], 0), min(rows[1], height), max(columns[0], 0), min(columns[1], width)
    )
    around = [
        (max(-start, 0), max(stop - length, 0))
        for (start, stop), length in ((rows, height), (columns, width))
    ]
    return np.pad(pixels, around, mode="edge")
