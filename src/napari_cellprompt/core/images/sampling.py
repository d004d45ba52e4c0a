"""Look at a bounded number of pixels of an image of any size and any kind of storage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_cellprompt.core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["ArrayData", "check_dtype", "sample_blocks", "sample_planes"]

# A chunk made up for storage that has none (memory-mapped files): rows and columns.
_PSEUDO_CHUNK = 256
# Rows of a large plane that are looked at together.
_BAND = 64


class ArrayData(Protocol):
    """What is asked of an image: NumPy, dask, zarr and h5py arrays all have it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> Any:
        """Type of the pixels."""

    def __getitem__(self, key: Any, /) -> Any:
        """Part of the array, by integers and slices."""


def check_dtype(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` as NumPy's, or raise ``ImageError`` when it holds no grey values."""
    known: np.dtype[Any] = np.dtype(dtype)
    if known.kind not in "biuf":
        raise ImageError(
            f"An image must hold real numbers (integers, floats or booleans), "
            f"but this one is of type {known}."
        )
    return known


def sample_blocks(
    data: ArrayData, *, max_pixels: int, max_blocks: int
) -> Iterator[NDArray[Any]]:
    """Yield parts of ``data`` that together stand for all of it.

    An array in memory comes as one strided view. A lazy one (dask, zarr, h5py, memory
    map) comes as at most ``max_blocks`` of its own chunks, spread evenly over all axes
    and thinned, so that as many chunks at most are read, one at a time. The choice is
    always the same for the same shape and chunks.

    Parameters
    ----------
    data
        The image, of any number of axes.
    max_pixels
        About how many pixels all parts hold together, at most.
    max_blocks
        How many chunks of a lazy array are read, at most.
    """
    if math.prod(data.shape) == 0:
        return
    if isinstance(data, np.ndarray) and not isinstance(data, np.memmap):
        yield data[_thinned(data.shape, max_pixels)]
        return
    grid = _chunk_grid(data)
    blocks = _spread([len(starts) - 1 for starts in grid], max_blocks)
    for block in blocks:
        bounds = [(edges[i], edges[i + 1]) for edges, i in zip(grid, block, strict=True)]
        steps = _thinned(
            [stop - start for start, stop in bounds], max_pixels // len(blocks)
        )
        key = tuple(
            slice(start, stop, step.step)
            for (start, stop), step in zip(bounds, steps, strict=True)
        )
        yield np.asarray(data[key])


def sample_planes(
    data: ArrayData, plane: tuple[int, int], *, max_pixels: int, max_blocks: int
) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """Yield parts of planes whose pixels lie side by side, as they do in the image.

    An array in memory comes as whole planes, spread evenly over its other axes, and of
    planes that are too large as bands of rows. A lazy one comes as in ``sample_blocks``,
    but not thinned.

    Parameters
    ----------
    data
        The image, of two or more axes.
    plane
        The axes of rows and columns.
    max_pixels
        About how many pixels of an array in memory all parts hold together, at most.
    max_blocks
        How many planes of an array in memory, or chunks of a lazy one, are read, at most.

    Yields
    ------
    position, part
        Where the part lies along the other axes, in array order, and ``(h, w)``.
    """
    rows, columns = plane
    if math.prod(data.shape) == 0:
        return
    outer = [axis for axis in range(len(data.shape)) if axis not in plane]
    flip = rows > columns
    if isinstance(data, np.ndarray) and not isinstance(data, np.memmap):
        places = _spread([data.shape[axis] for axis in outer], max_blocks)
        height = data.shape[rows]
        thinner = math.ceil(height * data.shape[columns] * len(places) / max_pixels)
        band = height if thinner == 1 else _BAND
        for place in places:
            key: list[Any] = [slice(None)] * len(data.shape)
            for axis, position in zip(outer, place, strict=True):
                key[axis] = position
            for start in range(0, height, band * thinner):
                key[rows] = slice(start, min(start + band, height))
                part = data[tuple(key)]
                yield place, part.T if flip else part
        return
    grid = _chunk_grid(data)
    for block in _spread([len(edges) - 1 for edges in grid], max_blocks):
        bounds = [(edges[i], edges[i + 1]) for edges, i in zip(grid, block, strict=True)]
        lengths = [bounds[axis][1] - bounds[axis][0] for axis in outer]
        pixels = np.asarray(data[tuple(slice(*pair) for pair in bounds)])
        first = [bounds[axis][0] for axis in outer]
        # A chunk that holds many planes: some of them will do.
        for place in _spread(lengths, max_blocks):
            key = [slice(None)] * len(data.shape)
            for axis, position in zip(outer, place, strict=True):
                key[axis] = position
            part = pixels[tuple(key)]
            yield (
                tuple(a + b for a, b in zip(first, place, strict=True)),
                part.T if flip else part,
            )


def _thinned(shape: tuple[int, ...] | list[int], max_pixels: int) -> tuple[slice, ...]:
    """Slices with steps that leave about ``max_pixels``, the longest axes thinned first."""
    steps = [1] * len(shape)
    counts = list(shape)
    while math.prod(counts) > max(1, max_pixels) and max(counts) > 1:
        axis = counts.index(max(counts))
        steps[axis] += 1
        counts[axis] = math.ceil(shape[axis] / steps[axis])
    return tuple(slice(None, None, step) for step in steps)


def _chunk_grid(data: ArrayData) -> list[list[int]]:
    """Return the borders of the chunks along each axis, from 0 to its length."""
    chunks = getattr(data, "chunks", None)
    if chunks is None:
        plane = [1] * max(0, len(data.shape) - 2) + [_PSEUDO_CHUNK, _PSEUDO_CHUNK]
        chunks = tuple(plane[-len(data.shape) :]) if data.shape else ()
    grid: list[list[int]] = []
    for length, chunk in zip(data.shape, chunks, strict=True):
        if isinstance(chunk, int | np.integer):
            grid.append([*range(0, length, max(1, int(chunk))), length])
        else:
            # dask names the length of each chunk, and allows empty ones.
            edges = np.concatenate([[0], np.cumsum([int(part) for part in chunk if part])])
            grid.append([int(edge) for edge in edges])
    return grid


def _spread(counts: list[int], number: int) -> list[tuple[int, ...]]:
    """At most ``number`` different cells of a grid, evenly over all its axes.

    Uses the additive recurrence with the generalised golden ratio (M. Roberts, "The
    unreasonable effectiveness of quasirandom sequences", 2018): a plain stride over
    the cells would meet the same column of chunks again and again.
    """
    if math.prod(counts) <= number:
        return [tuple(int(i) for i in cell) for cell in np.ndindex(*counts)]
    ratio = 2.0
    for _ in range(30):
        ratio = (1 + ratio) ** (1 / (len(counts) + 1))
    cells = {
        tuple(
            int((0.5 + k * ratio ** -(axis + 1)) % 1.0 * count)
            for axis, count in enumerate(counts)
        )
        for k in range(number)
    }
    return sorted(cells)
