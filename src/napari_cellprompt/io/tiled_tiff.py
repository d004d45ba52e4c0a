"""Labels larger than memory as a tiled OME-TIFF, a BigTIFF where that is needed."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.atomic import replacing

from .label_tiff import ome_options

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData

    from .image_types import LabelGrid

__all__ = ["write_tiled"]

_TILE = 512
_CLASSIC_BYTES = 2**32 - 2**25


def write_tiled(path: str | os.PathLike[str], labels: ArrayData, grid: LabelGrid) -> Path:
    """Write labels tile by tile, completely or not at all; a row of tiles is in memory.

    Parameters
    ----------
    path
        Where to; an existing file is replaced in one step.
    labels
        Unsigned integers on the grid; NumPy, dask or zarr.
    grid
        Axes out of T, Z, Y, X in this order, and their steps.

    Raises
    ------
    SaveError
        When the file cannot be written.
    """
    dtype = np.dtype(labels.dtype)
    shape = tuple(int(length) for length in labels.shape)
    steps = dict(zip(grid.axes, grid.scale, strict=True))
    with replacing(path) as temporary:
        with tifffile.TiffWriter(
            temporary,
            ome=True,
            bigtiff=math.prod(shape) * dtype.itemsize > _CLASSIC_BYTES,
        ) as tif:
            tif.write(
                _tiles(labels, shape),
                shape=shape,
                dtype=dtype,
                tile=(_TILE, _TILE),
                photometric="minisblack",
                compression="zlib",
                **ome_options(grid.axes, steps, grid.unit, grid.known),
            )
    return Path(path)


def _tiles(labels: ArrayData, shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    """Each ``(512, 512)`` tile in the order of the file; a row of tiles is read at once."""
    *outer, height, width = shape
    for position in itertools.product(*(range(length) for length in outer)):
        for y in range(0, height, _TILE):
            rows = slice(y, min(y + _TILE, height))
            band = np.asarray(labels[(*position, rows, slice(0, width))])
            for x in range(0, width, _TILE):
                part = band[:, x : x + _TILE]
                missing = (_TILE - part.shape[0], _TILE - part.shape[1])
                yield np.ascontiguousarray(
                    np.pad(part, ((0, missing[0]), (0, missing[1])))
                    if any(missing)
                    else part
                )
