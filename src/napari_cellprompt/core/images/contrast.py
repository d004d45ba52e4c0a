"""From grey values of any type to the 8 bits that the networks were trained on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError

from .sampling import check_dtype, sample_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .sampling import ArrayData

__all__ = ["check_limits", "percentile_limits", "to_uint8"]

_MAX_PIXELS = 2_000_000
_MAX_BLOCKS = 16


def percentile_limits(
    data: ArrayData,
    low: float = 0.1,
    high: float = 99.9,
    *,
    channel_axis: int | None = None,
    channel: int | None = None,
) -> tuple[float, float]:
    """Grey values to be shown as black and white, the same for the whole stack.

    Large arrays are sampled: at most about two million pixels, and at most 16 chunks of
    a lazy array, are looked at. Percentiles keep hot pixels from deciding; NaN and
    infinities do not count.

    Parameters
    ----------
    data
        The whole image or stack, with any axes; NumPy, dask, zarr or h5py.
    low, high
        Percentiles, ``0 <= low < high <= 100``.
    channel_axis, channel
        Look only at this channel of this axis.

    Returns
    -------
    lo, hi : float
        Always ``lo < hi`` and finite. Where both percentiles are equal (a few bright
        spots on black) these are the extremes; of a constant image, its value and a
        little more; of one without any finite pixel, 0 and 1.

    Raises
    ------
    ImageError
        When the image is empty or holds no real numbers, or the percentiles are not
        in order.
    """
    check_dtype(data.dtype)
    if not 0 <= low < high <= 100:
        raise ImageError(
            f"Percentiles must satisfy 0 <= low < high <= 100: got {low} and {high}."
        )
    if math.prod(data.shape) == 0:
        raise ImageError(f"The image is empty: its shape is {tuple(data.shape)}.")
    if channel_axis is not None and channel is not None:
        data = _Channel(data, channel_axis % len(data.shape), channel)
    parts = []
    for block in sample_blocks(data, max_pixels=_MAX_PIXELS, max_blocks=_MAX_BLOCKS):
        values = np.asarray(block).astype(np.float64).ravel()
        parts.append(values[np.isfinite(values)])
    values = np.concatenate(parts)
    if values.size == 0:
        return 0.0, 1.0
    lo, hi = (float(value) for value in np.percentile(values, [low, high]))
    if not lo < hi:
        lo, hi = float(values.min()), float(values.max())
    if not lo < hi:
        hi = lo + max(1.0, abs(lo) * 1e-6)
    return lo, hi


def check_limits(limits: tuple[float, float]) -> tuple[float, float]:
    """Return the pair as floats, or raise ``ImageError`` unless finite and in order."""
    lo, hi = float(limits[0]), float(limits[1])
    if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
        raise ImageError(
            f"Contrast limits must be two finite numbers, the smaller first: "
            f"got {limits[0]} and {limits[1]}."
        )
    return lo, hi


def to_uint8(plane: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Map grey values to 0..255; never writes to ``plane`` nor returns a view of it.

    Parameters
    ----------
    plane
        ``(H, W)`` or ``(H, W, 3)`` of any real type and byte order.
    limits
        Grey values that become 0 and 255; what lies beyond is clipped, NaN becomes 0.
        None leaves uint8 as it is.

    Raises
    ------
    ImageError
        When there are no limits and the type is not uint8: scaling by the range of
        the type would make most microscope images black.
    """
    dtype = check_dtype(plane.dtype)
    if limits is None:
        if dtype != np.uint8:
            raise ImageError(
                f"An image of type {dtype} needs contrast limits to be brought to 8 bits."
            )
        return np.array(plane, dtype=np.uint8)
    lo, hi = check_limits(limits)
    values = np.array(plane, dtype=np.float64)
    values -= lo
    values *= 255.0 / (hi - lo)
    np.nan_to_num(values, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    np.clip(values, 0.0, 255.0, out=values)
    return np.rint(values, out=values).astype(np.uint8)


class _Channel:
    """One channel of an array, looked at without loading the others."""

    def __init__(self, data: ArrayData, axis: int, channel: int) -> None:
        self._data = data
        self._axis = axis
        self._channel = channel
        self.shape = (*data.shape[:axis], *data.shape[axis + 1 :])
        self.dtype = data.dtype
        chunks = getattr(data, "chunks", None)
        self.chunks = None if chunks is None else (*chunks[:axis], *chunks[axis + 1 :])

    def __getitem__(self, key: tuple[Any, ...]) -> Any:
        return self._data[(*key[: self._axis], self._channel, *key[self._axis :])]
