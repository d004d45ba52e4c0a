"""A short name for the content of an image, cheap even when the image is lazy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash

from .sampling import sample_blocks

if TYPE_CHECKING:
    from .sampling import ArrayData

__all__ = ["fingerprint"]

# Arrays in memory up to this size are hashed whole, which takes some 20 ms.
_WHOLE_BYTES = 64 * 2**20
_MAX_PIXELS = 1_000_000
_MAX_BLOCKS = 8


def fingerprint(data: ArrayData) -> str:
    """Hash shape, type and pixels to 32 hexadecimal digits.

    Arrays in memory of up to 64 MB are hashed whole; of larger ones a strided sample,
    and of lazy ones at most eight chunks. Equal content gives the same name whatever
    the memory order; a change in a few pixels of a large image may go unnoticed.

    Parameters
    ----------
    data
        NumPy, dask, zarr or h5py array of any shape.
    """
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
