"""From grey values of any type to the 8 bits that the networks were trained on."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError

from .sampling import check_dtype, sample_planes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .sampling import ArrayData

__all__ = ["check_limits", "percentile_limits", "to_uint8"]

_MAX_PIXELS = 2_000_000
_MAX_BLOCKS = 16
_MAX_PLANES = 32
# Planes in memory are searched for what stands out up to this many pixels.
_MAX_SEARCHED = 2**25
_MAX_FOREGROUND = 100_000
"""Of each plane, so many pixels that stand out are kept, at most."""
_DEVIATIONS = 4.0
"""A pixel stands out by this many standard deviations of the background."""
_FLASH = 4.0
"""A plane that is this many times as bright as is usual is not like the others."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What was seen of one plane."""

    values: NDArray[np.float64]
    """A sample of all its pixels."""
    centre: float
    """Their median, the background of all but crowded images."""
    spread: float
    """From the lower to the upper percentile."""
    bright: NDArray[np.float64]
    """Pixels that stand out from the background, and do not do so alone."""
    dark: NDArray[np.float64]
    """As ``bright``, below the background."""


def percentile_limits(
    data: ArrayData,
    low: float = 0.1,
    high: float = 99.9,
    *,
    channel_axis: int | None = None,
    channel: int | None = None,
    plane: tuple[int, int] | None = None,
) -> tuple[float, float]:
    """Grey values to be shown as black and white, the same for the whole stack.

    They are percentiles of all pixels or, where few pixels stand out from the background,
    of these: a cell looks alike whatever the size of the empty image around it. Single
    hot pixels and single planes that are much brighter or darker than the others do not
    decide; NaN and infinities do not count.

    Large arrays are sampled: at most 32 planes of an array in memory, and at most 16
    chunks of a lazy one, are looked at.

    Parameters
    ----------
    data
        The whole image or stack, with any axes; NumPy, dask, zarr or h5py.
    low, high
        Percentiles, ``0 <= low < high <= 100``. Of pixels that stand out, fifty times as
        many lie beyond: 5 % where ``high`` is 99.9, so that this changes nothing where
        they are 2 % of the image or more.
    channel_axis, channel
        Look only at this channel of this axis.
    plane
        The axes of rows and columns; None: the last two, but for a last axis of 3 or 4
        samples.

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
        axis = channel_axis % len(data.shape)
        if plane is not None:
            plane = (plane[0] - (axis < plane[0]), plane[1] - (axis < plane[1]))
        data = _one_channel(data, axis, channel)
    parts = _usual(list(_parts(data, plane or _plane_of(data.shape), low, high)))
    if not parts:
        return 0.0, 1.0
    values = np.concatenate([part.values for part in parts])
    lo, hi = (float(value) for value in np.percentile(values, [low, high]))
    bright = np.concatenate([part.bright for part in parts])
    dark = np.concatenate([part.dark for part in parts])
    if bright.size:
        hi = max(hi, float(np.percentile(bright, max(50.0, 100 - 50 * (100 - high)))))
    if dark.size:
        lo = min(lo, float(np.percentile(dark, min(50.0, 50 * low))))
    if not lo < hi:
        lo, hi = float(values.min()), float(values.max())
    if not lo < hi:
        hi = lo + max(1.0, abs(lo) * 1e-6)
    return lo, hi


def _plane_of(shape: tuple[int, ...]) -> tuple[int, int]:
    """The last two axes, or those before the samples of RGB."""
    count = len(shape)
    if count > 2 and shape[-1] in (3, 4) and min(shape[-3:-1]) > shape[-1]:
        return count - 3, count - 2
    return count - 2, count - 1


def _parts(
    data: ArrayData, plane: tuple[int, int], low: float, high: float
) -> Iterator[_Part]:
    """Look at planes of an image; those without a finite pixel are left out."""
    sampled = sample_planes(
        data,
        plane,
        max_pixels=_MAX_SEARCHED,
        max_blocks=_MAX_PLANES if isinstance(data, np.ndarray) else _MAX_BLOCKS,
    )
    for _, group in itertools.groupby(sampled, key=lambda item: item[0]):
        blocks = [block for _, block in group]
        pixels = sum(block.size for block in blocks)
        step = max(1, math.isqrt(pixels * _MAX_PLANES // _MAX_PIXELS))
        values = np.concatenate(
            [block[::step, ::step].astype(np.float64).ravel() for block in blocks]
        )
        values = values[np.isfinite(values)]
        if values.size == 0:
            continue
        centre = float(np.median(values))
        reach = _DEVIATIONS * 1.4826 * float(np.median(np.abs(values - centre)))
        bottom, top = np.percentile(values, [low, high])
        yield _Part(
            values=values,
            centre=centre,
            spread=float(top - bottom),
            bright=_kept(block[_above(block, centre + reach)] for block in blocks),
            dark=_kept(block[_below(block, centre - reach)] for block in blocks),
        )


def _above(block: NDArray[Any], level: float) -> NDArray[np.bool_]:
    # Whole numbers are compared as such, which is several times faster.
    return _together(block > (math.floor(level) if block.dtype.kind in "iu" else level))


def _below(block: NDArray[Any], level: float) -> NDArray[np.bool_]:
    return _together(block < (math.ceil(level) if block.dtype.kind in "iu" else level))


def _together(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask that lie in a square of 2 x 2 within it: no hot ones."""
    squares = mask[:-1, :-1] & mask[1:, :-1]
    squares &= mask[:-1, 1:]
    squares &= mask[1:, 1:]
    kept = np.zeros_like(mask)
    kept[:-1, :-1] |= squares
    kept[1:, :-1] |= squares
    kept[:-1, 1:] |= squares
    kept[1:, 1:] |= squares
    return kept


def _kept(chosen: Iterator[NDArray[Any]]) -> NDArray[np.float64]:
    values = np.concatenate(list(chosen))
    values = values[:: max(1, values.size // _MAX_FOREGROUND)].astype(np.float64)
    kept: NDArray[np.float64] = values[np.isfinite(values)]
    return kept


def _usual(parts: list[_Part]) -> list[_Part]:
    """Leave out single planes that a flash, a shutter or saturation made unlike the rest.

    Where more than a tenth of the planes differ, that is how the image is; of fewer than
    five nobody knows what is usual.
    """
    if len(parts) < 5:
        return parts
    centre = float(np.median([part.centre for part in parts]))
    spread = float(np.median([part.spread for part in parts]))
    bright = [float(np.median(p.bright)) - centre if p.bright.size else 0.0 for p in parts]
    standing = [value for value in bright if value > 0]
    usual = float(np.median(standing)) if len(standing) >= 3 else math.inf
    odd = [
        abs(part.centre - centre) > 2 * spread or value > _FLASH * usual
        for part, value in zip(parts, bright, strict=True)
    ]
    if sum(odd) > max(1, len(parts) // 10):
        return parts
    return [part for part, is_odd in zip(parts, odd, strict=True) if not is_odd]


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


def _one_channel(data: ArrayData, axis: int, channel: int) -> ArrayData:
    if isinstance(data, np.ndarray) and not isinstance(data, np.memmap):
        view: NDArray[Any] = np.moveaxis(np.asarray(data), axis, 0)[channel]
        return view
    return _Channel(data, axis, channel)


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
