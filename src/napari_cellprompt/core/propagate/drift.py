"""How far the whole field of a movie has moved from one frame to another.

A stage that drifts or jumps moves everything by the same amount, often by more than an
object is looked for around its place. Phase correlation (Kuglin and Hines 1975) of the two
frames finds that amount, once for all objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.images.stack import Stack

    Floats = NDArray[np.float64]

__all__ = ["Drift", "field_shift"]

_WINDOW = 1024
"""Side in pixels of what is compared of a large plane."""
_COMPARED = 256
"""It is reduced to about this side: a drift is measured to a few pixels, what is left is
found object by object."""
_LEAST = 3
"""Pixels; a smaller drift is left to the search for each object."""
_CORRELATED = 0.4
"""The frames must correlate by this where they overlap after the drift ..."""
_GAIN = 0.1
"""... and by this more than without it."""
_OVERLAP = 0.25
"""Share of the window that must still be seen after the drift."""
_REMEMBERED = 8


class Drift:
    """Measures each pair of frames of a stack once.

    Parameters
    ----------
    stack
        The frames.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._measured: dict[tuple[int, int, int, int], tuple[int, int]] = {}

    def between(
        self, before: int, here: int, middle: tuple[float, float]
    ) -> tuple[int, int]:
        """Rows and columns by which the field moved from frame ``before`` to ``here``.

        Parameters
        ----------
        before, here
            Places in the stack.
        middle
            Row and column on ``before`` around which large planes are compared.
        """
        plane = self._stack.plane(before)
        y0, x0 = (
            _start(at, length) for at, length in zip(middle, plane.shape, strict=True)
        )
        key = (before, here, y0, x0)
        if key not in self._measured:
            while len(self._measured) >= _REMEMBERED:
                del self._measured[next(iter(self._measured))]
            other = self._stack.plane(here)
            self._measured[key] = field_shift(
                _read(plane, y0, x0), _read(other, y0, x0), step=_step(plane)
            )
        return self._measured[key]


def field_shift(before: Floats, here: Floats, step: int = 1) -> tuple[int, int]:
    """Rows and columns between two pictures of a field; zeros where nothing moved.

    Parameters
    ----------
    before, here
        ``(h, w)`` grey values, of one shape.
    step
        Pixels of the plane in one of these; the answer is in pixels of the plane.
    """
    from skimage.registration import phase_cross_correlation

    if min(before.shape) < 8 or np.ptp(before) == 0 or np.ptp(here) == 0:
        return 0, 0
    taper = np.outer(np.hanning(before.shape[0]), np.hanning(before.shape[1]))
    shift, _, _ = phase_cross_correlation(
        (here - here.mean()) * taper,
        (before - before.mean()) * taper,
        normalization="phase",
    )
    down, right = int(shift[0]), int(shift[1])
    if step * max(abs(down), abs(right)) < _LEAST:
        return 0, 0
    moved = _correlation(before, here, down, right)
    if moved < _CORRELATED or moved < _correlation(before, here, 0, 0) + _GAIN:
        return 0, 0
    return down * step, right * step


def _correlation(before: Floats, here: Floats, down: int, right: int) -> float:
    """Of two pictures where they overlap, one moved back; -1 where they hardly do."""
    height, width = before.shape
    rows, columns = height - abs(down), width - abs(right)
    if rows <= 0 or columns <= 0 or rows * columns < _OVERLAP * height * width:
        return -1.0
    one = before[max(-down, 0) :, max(-right, 0) :][:rows, :columns]
    other = here[max(down, 0) :, max(right, 0) :][:rows, :columns]
    spread = float(one.std() * other.std())
    if spread == 0:
        return -1.0
    return float(((one - one.mean()) * (other - other.mean())).mean() / spread)


def _start(middle: float, length: int) -> int:
    """First row or column of what is compared; in large steps, so that objects share it."""
    if length <= _WINDOW:
        return 0
    half = _WINDOW // 2
    return min(max(int(middle) // half * half - half // 2, 0), length - _WINDOW)


def _step(plane: PlaneSource) -> int:
    side = min(max(plane.shape), _WINDOW)
    return max(1, side // _COMPARED)


def _read(plane: PlaneSource, y0: int, x0: int) -> Floats:
    """The compared part of a plane, reduced by averaging."""
    from skimage.transform import downscale_local_mean

    height, width = plane.shape
    grey = plane.read_grey(y0, min(y0 + _WINDOW, height), x0, min(x0 + _WINDOW, width))
    step = _step(plane)
    small: Floats = downscale_local_mean(np.asarray(grey, np.float64), (step, step))
    return small
