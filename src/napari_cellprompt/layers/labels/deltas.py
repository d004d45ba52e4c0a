"""What a step changed in a label array, run-length coded."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["LabelDelta", "find_voxels"]

_SAMPLE = 256
"""Voxels that are looked at to tell whether a step is still in its layer."""
_CHUNK = 2_000_000
"""Voxels that are compared at once: what a search needs beside the array stays small."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelDelta:
    """Voxels of a label array with the ids before and after; picklable."""

    shape: tuple[int, ...]
    """Of the array."""
    starts: NDArray[np.int64]
    """``(R,)`` first voxel of each run, counted in C order, ascending."""
    lengths: NDArray[np.int64]
    """``(R,)`` voxels of each run."""
    before: NDArray[np.int64]
    """``(R,)`` id of each run before the step."""
    after: NDArray[np.int64]
    """``(R,)`` id after it."""

    @classmethod
    def of(
        cls, shape: Sequence[int], flat: NDArray[np.int64], before: Any, after: Any
    ) -> LabelDelta:
        """Pack a change.

        Parameters
        ----------
        shape
            Of the array.
        flat
            ``(N,)`` ascending numbers of voxels in C order.
        before, after
            ``(N,)`` ids, or one for all.
        """
        old = np.broadcast_to(np.asarray(before, dtype=np.int64), flat.shape)
        new = np.broadcast_to(np.asarray(after, dtype=np.int64), flat.shape)
        if not flat.size:
            none = np.empty(0, dtype=np.int64)
            return cls(tuple(shape), none, none, none, none)
        breaks = np.flatnonzero(
            (np.diff(flat) != 1) | (np.diff(old) != 0) | (np.diff(new) != 0)
        )
        first = np.concatenate([[0], breaks + 1])
        lengths = np.diff(np.concatenate([first, [flat.size]]))
        return cls(tuple(shape), flat[first], lengths, old[first], new[first])

    @property
    def size(self) -> int:
        """Number of voxels."""
        return int(self.lengths.sum())

    @property
    def nbytes(self) -> int:
        """Memory that the change takes."""
        return 32 * len(self.starts)

    def flat(self) -> NDArray[np.int64]:
        """``(N,)`` numbers of the voxels in C order."""
        ends = np.cumsum(self.lengths)
        offsets = np.arange(self.size) - np.repeat(ends - self.lengths, self.lengths)
        return np.repeat(self.starts, self.lengths) + offsets

    def indices(self) -> tuple[NDArray[np.intp], ...]:
        """One index array per axis."""
        return np.unravel_index(self.flat(), self.shape)

    def values(self, *, after: bool) -> NDArray[np.int64]:
        """``(N,)`` ids after the step, or before it."""
        return np.repeat(self.after if after else self.before, self.lengths)

    def is_in(self, data: NDArray[np.integer[Any]]) -> bool:
        """Whether most of the voxels that are looked at are as after the step."""
        if data.shape != self.shape or not self.size:
            return False
        ends = np.cumsum(self.lengths)
        picks = np.unique(np.linspace(0, self.size - 1, _SAMPLE).astype(np.int64))
        runs = np.searchsorted(ends, picks, side="right")
        flat = self.starts[runs] + picks - (ends[runs] - self.lengths[runs])
        there = data[np.unravel_index(flat, self.shape)]
        after, before = self.after[runs], self.before[runs]
        return int((there == after).sum()) > int((there == before).sum())


def blocks_of(data: Any) -> Iterator[tuple[tuple[slice, ...], NDArray[np.integer[Any]]]]:
    """Read a label array piece by piece, each chunk of it once.

    Parameters
    ----------
    data
        Integers, in memory, dask or zarr.

    Yields
    ------
    place, block
        Index of the block in the array, and the block: some million voxels, or one chunk
        where that is larger.
    """
    if 0 in data.shape:
        return
    lengths = [_first_chunk(data, axis) for axis in range(data.ndim)]
    for axis in reversed(range(data.ndim)):
        more = max(1, _CHUNK // math.prod(lengths))
        lengths[axis] = min(lengths[axis] * more, data.shape[axis])
    starts = (
        range(0, whole, length) for whole, length in zip(data.shape, lengths, strict=True)
    )
    for corner in itertools.product(*starts):
        place = tuple(
            slice(start, min(start + length, whole))
            for start, length, whole in zip(corner, lengths, data.shape, strict=True)
        )
        yield place, np.asarray(data[place])


def _first_chunk(data: Any, axis: int) -> int:
    """Length of a chunk along an axis; 1 for an array in memory."""
    chunks = getattr(data, "chunks", None)
    if not chunks:
        return 1
    # dask names the length of each chunk
    length = chunks[axis]
    return max(int(length[0] if isinstance(length, tuple) else length), 1)


def find_voxels(
    data: NDArray[np.integer[Any]], ids: Iterable[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All voxels of some objects.

    Returns
    -------
    flat, values : ndarray
        ``(N,)`` numbers in C order, ascending, and the id at each.
    """
    wanted = np.fromiter(ids, dtype=np.int64)
    flats, values = [], []
    for place, part in blocks_of(data):
        found = part == wanted[0] if wanted.size == 1 else np.isin(part, wanted)
        here = np.nonzero(found)
        if here[0].size:
            shifted = [axis + one.start for axis, one in zip(here, place, strict=True)]
            flats.append(np.ravel_multi_index(shifted, data.shape))
            values.append(part[here].astype(np.int64))
    if not flats:
        none = np.empty(0, dtype=np.int64)
        return none, none
    flat, found_ids = np.concatenate(flats), np.concatenate(values)
    order = np.argsort(flat, kind="stable")  # blocks of chunks are not in C order
    return flat[order], found_ids[order]
