"""A short name for the content of an image, cheap even when the image is lazy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import xxhash

from .sampling import sample_blocks

if TYPE_CHECKING:
    from .sampling import ArrayData

__all__ = ["content_fingerprint", "fingerprint"]

# Arrays in memory up to this size are hashed whole, which takes some 20 ms.
_WHOLE_BYTES = 64 * 2**20
_MAX_PIXELS = 1_000_000
_MAX_BLOCKS = 8

# Of a content fingerprint: planes that are looked at, windows on each of their sides,
# and pixels of a window's side.
_PLANES = 8
_WINDOWS = 4
_SIDE = 64


@runtime_checkable
class _NamesItself(Protocol):
    """A picture that is made when it is looked at, and knows what of."""

    def fingerprint(self) -> str:
        """Its name."""


def fingerprint(data: ArrayData) -> str:
    """Hash shape, type and pixels to 32 hexadecimal digits.

    Arrays in memory of up to 64 MB are hashed whole; of larger ones a strided sample,
    and of lazy ones at most eight chunks. Equal content gives the same name whatever
    the memory order; a change in a few pixels of a large image may go unnoticed.

    Parameters
    ----------
    data
        NumPy, dask, zarr or h5py array of any shape, or channels put together.
    """
    if isinstance(data, _NamesItself):
        return data.fingerprint()
    digest = xxhash.xxh3_128()
    digest.update(f"{tuple(data.shape)} {np.dtype(data.dtype).str}".encode())
    whole = (
        isinstance(data, np.ndarray)
        and not isinstance(data, np.memmap)
        and data.nbytes <= _WHOLE_BYTES
    )
    pixels = data.nbytes if whole and isinstance(data, np.ndarray) else _MAX_PIXELS
    for block in sample_blocks(data, max_pixels=pixels, max_blocks=_MAX_BLOCKS):
        digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()


def content_fingerprint(data: ArrayData) -> str:
    """Hash shape, type and some pixels to 32 hexadecimal digits, however they are stored.

    In contrast to :func:`fingerprint` the same pixels are looked at in memory, on disk and
    in chunks of any size: 16 windows of 64 x 64 on at most eight planes. It tells whether
    a file of today is the image of another day; a change between the windows goes
    unnoticed.

    Parameters
    ----------
    data
        NumPy, dask, zarr or h5py array of any shape. The last axis counts as colours where
        it has a length of 3 or 4 and there are others.
    """
    shape = tuple(int(length) for length in data.shape)
    kind = np.dtype(data.dtype)
    digest = xxhash.xxh3_128(f"{shape} {kind.kind}{kind.itemsize}".encode())
    inner = 3 if len(shape) > 2 and shape[-1] in (3, 4) else min(2, len(shape))
    outer = shape[: len(shape) - inner]
    count = int(np.prod(outer, dtype=np.int64))
    steps = np.linspace(0, max(count - 1, 0), min(count, _PLANES)).astype(np.int64)
    windows = [_window_starts(length) for length in shape[len(outer) :][:2]]
    for step in dict.fromkeys(steps.tolist()):
        place = tuple(int(i) for i in np.unravel_index(step, outer)) if outer else ()
        for start in np.ndindex(*(len(starts) for starts in windows)):
            corner = [starts[i] for starts, i in zip(windows, start, strict=True)]
            block = data[(*place, *(slice(at, at + _SIDE) for at in corner))]
            pixels = np.ascontiguousarray(block)
            digest.update(pixels.astype(kind.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def _window_starts(length: int) -> list[int]:
    """Where windows begin along an axis, spread evenly."""
    last = max(length - _SIDE, 0)
    starts = np.linspace(0, last, _WINDOWS).astype(np.int64)
    return list(dict.fromkeys(starts.tolist()))
