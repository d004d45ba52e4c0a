"""What a step changed in a label array, run-length coded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
    rows = data.reshape(-1, data.shape[-1])
    step = max(1, _CHUNK // max(data.shape[-1], 1))
    flats, values = [], []
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        if wanted.size == 1:
            inside = part == wanted[0]
        else:
            inside = np.isin(part, wanted)
        here = np.flatnonzero(inside)
        if here.size:
            flats.append(here + start * data.shape[-1])
            values.append(part.reshape(-1)[here].astype(np.int64))
    if not flats:
        none = np.empty(0, dtype=np.int64)
        return none, none
    return np.concatenate(flats), np.concatenate(values)
