"""Several channels as one picture in grey or colour, made as far as it is looked at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts load when they are used
import xxhash

from napari_cellprompt.core.errors import ImageError

from .contrast import check_limits
from .fingerprint import fingerprint
from .sampling import check_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.types import MixedChannel

    from .sampling import ArrayData

__all__ = ["ComposedArray", "is_coloured"]

_TRUNCATE = 4.0
"""Standard deviations after which a Gaussian is taken for zero."""
_COLOURS = ("red", "green", "blue")


def is_coloured(channels: Sequence[MixedChannel]) -> bool:
    """Whether a picture of these channels has colours; one of grey channels is grey."""
    return any(channel.colour != "grey" for channel in channels)


class ComposedArray:
    """Channels as uint8 grey values or colours; keeps no pixels.

    Each channel is brought to 0 to 255 between its limits, smoothed within the plane,
    and inverted, in that order; pixels without a value stay black. Where several
    channels make one colour the brightest counts, and grey ones count for all colours.
    Whichever part of a plane is read, its pixels are those of the whole plane.

    Parameters
    ----------
    channels
        At least one.
    sources
        The array of each channel, all with one shape (but for ``channel_axis``): NumPy,
        dask, zarr or h5py. An array stands here once for each channel that is taken
        out of it.
    plane
        The axes of rows and columns, in array order.
    channel_axis
        Axis of the arrays along which ``number`` of a channel counts. Here it has a
        length of one.
    rgb
        ``number`` counts along the last axis, the samples of colours. Here that axis is
        not there.

    Raises
    ------
    ImageError
        The sources do not lie on one grid, or a channel does not exist.
    """

    def __init__(
        self,
        channels: Sequence[MixedChannel],
        sources: Sequence[ArrayData],
        *,
        plane: tuple[int, int],
        channel_axis: int | None = None,
        rgb: bool = False,
    ) -> None:
        if not channels or len(channels) != len(sources):
            raise ImageError(
                f"A picture needs an array for each of its channels: got {len(channels)} "
                f"channels and {len(sources)} arrays."
            )
        self._channels = tuple(channels)
        self._sources = tuple(sources)
        self._plane = plane
        self._axis = channel_axis
        self._rgb = rgb
        grids = []
        for channel, source in zip(channels, sources, strict=True):
            check_limits(channel.limits)
            check_dtype(source.dtype)
            grids.append(self._grid(channel, source))
        if len(set(grids)) > 1:
            sizes = " and ".join(str(grid) for grid in dict.fromkeys(grids))
            raise ImageError(
                f"Channels of one picture must have the same shape: these have {sizes}."
            )
        self._colour = is_coloured(channels)
        self.shape: tuple[int, ...] = (*grids[0], 3) if self._colour else grids[0]
        """That of one channel, and a last axis of 3 for colours."""
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        """uint8."""

    def fingerprint(self) -> str:
        """Name of the picture: that of its arrays, and of what is made of each channel."""
        digest, known = xxhash.xxh3_128(), dict[int, str]()
        for channel, source in zip(self._channels, self._sources, strict=True):
            if id(source) not in known:
                known[id(source)] = fingerprint(source)
            digest.update(f"{known[id(source)]} {channel!r} ".encode())
        digest.update(f"{self._plane} {self._axis} {self._rgb}".encode())
        return digest.hexdigest()

    @property
    def coloured(self) -> bool:
        """Whether the last axis holds red, green and blue."""
        return self._colour

    def __getitem__(self, key: Any, /) -> NDArray[np.uint8]:
        """Part of the picture, by one integer or slice of step 1 for each axis."""
        ndim = len(self.shape) - self._colour
        inner, samples = key[:ndim], key[ndim:]
        found: dict[str, NDArray[np.uint8]] = {}
        for channel, source in zip(self._channels, self._sources, strict=True):
            part = self._part(channel, source, inner)
            before = found.get(channel.colour)
            found[channel.colour] = part if before is None else np.maximum(before, part)
        grey = found.pop("grey", None)
        if not self._colour:
            if grey is None:
                raise ImageError("A picture without colours needs a grey channel.")
            return grey
        blank = np.zeros_like(grey if grey is not None else next(iter(found.values())))
        base = blank if grey is None else grey
        parts = [np.maximum(base, found.get(colour, blank)) for colour in _COLOURS]
        whole: NDArray[np.uint8] = np.stack(parts, axis=-1)[(..., *samples)]
        return whole

    def _grid(self, channel: MixedChannel, source: ArrayData) -> tuple[int, ...]:
        """Shape of one channel of an array."""
        shape = [int(length) for length in source.shape]
        axis = len(shape) - 1 if self._rgb else self._axis
        if axis is None:
            return tuple(shape)
        number = channel.number
        if number is None or not 0 <= number < shape[axis]:
            raise ImageError(
                f"There is no channel {number}: the image has {shape[axis]} channels, "
                f"from 0 on."
            )
        shape[axis : axis + 1] = [] if self._rgb else [1]
        return tuple(shape)

    def _part(
        self, channel: MixedChannel, source: ArrayData, inner: Sequence[Any]
    ) -> NDArray[np.uint8]:
        """One channel of a part, 0 to 255."""
        key, cut, sigma = list(inner), [], []
        reach = math.ceil(_TRUNCATE * channel.smooth)
        for axis, item in enumerate(inner):
            if not isinstance(item, slice):
                continue
            if axis not in self._plane or not reach:
                cut.append(slice(None))
                sigma.append(0.0)
                continue
            start, stop, _ = item.indices(self.shape[axis])
            first = max(0, start - reach)
            key[axis] = slice(first, min(self.shape[axis], stop + reach))
            cut.append(slice(start - first, stop - first))
            sigma.append(channel.smooth)
        if self._rgb:
            key.append(channel.number)
        elif self._axis is not None and channel.number is not None:
            number = channel.number
            one = isinstance(inner[self._axis], slice)
            key[self._axis] = slice(number, number + 1) if one else number
        stored = np.asarray(source[tuple(key)])
        # of 16 bits none is lost, and half as much memory is twice as fast
        values: NDArray[Any] = stored.astype(
            np.float32 if stored.dtype.itemsize < 4 else np.float64
        )
        low, high = channel.limits
        values -= low
        values *= 255.0 / (high - low)
        np.clip(values, 0.0, 255.0, out=values)
        missing: NDArray[np.bool_] | None = None
        if stored.dtype.kind == "f":
            missing = np.isnan(values)
            values[missing] = 0.0
        if any(sigma):
            # beyond the image its outermost pixels go on
            values = scipy.ndimage.gaussian_filter(
                values, sigma, mode="nearest", truncate=_TRUNCATE
            )
        if channel.invert:
            np.subtract(255.0, values, out=values)
            if missing is not None:
                values[missing] = 0.0
        part: NDArray[np.uint8] = np.rint(values[tuple(cut)]).astype(np.uint8)
        return part
