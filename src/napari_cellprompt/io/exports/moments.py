"""Sizes, places and grey values of objects, gathered plane by plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .subject import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from .subject import ExportSubject, Plane

__all__ = ["FrameObjects", "frames_of"]


@dataclass(frozen=True, slots=True, eq=False)
class FrameObjects:
    """The objects of one time; N of them."""

    time: int
    ids: NDArray[np.int64]
    """``(N,)``, rising."""
    voxels: NDArray[np.int64]
    """``(N,)`` number of pixels on all planes."""
    centroids: NDArray[np.float64]
    """``(N, 3)`` z, y, x in planes and pixels; pixel centres at integers."""
    first: NDArray[np.int64]
    """``(N, 3)`` smallest z, y, x."""
    last: NDArray[np.int64]
    """``(N, 3)`` largest z, y, x, inclusive."""
    means: NDArray[np.float64]
    """``(N, channels)`` mean grey value; no columns without an image."""
    deviations: NDArray[np.float64]
    """``(N, channels)`` standard deviation of the pixels, divided by their number."""
    lowest: NDArray[np.float64]
    """``(N, channels)``."""
    highest: NDArray[np.float64]
    """``(N, channels)``."""


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Objects on one plane: as of ``FrameObjects``, with sums where it has means."""

    ids: NDArray[Any]
    counts: NDArray[Any]
    sums: NDArray[Any]
    first: NDArray[Any]
    last: NDArray[Any]
    means: NDArray[Any]
    squares: NDArray[Any]
    """Sums of squared differences from the mean of the part."""
    lowest: NDArray[Any]
    highest: NDArray[Any]


def frames_of(
    subject: ExportSubject,
    *,
    grey: bool = True,
    progress: Callable[[int, int], None] = silent,
) -> Iterator[FrameObjects]:
    """The objects of each time, in order; one plane is in memory at a time.

    Parameters
    ----------
    subject
        Labels, and the image for grey values.
    grey
        Whether grey values are wanted.
    progress
        Told after each plane.
    """
    parts: list[_Part] = []
    time = 0
    for plane in subject.planes(progress):
        if plane.at.get("T", 0) != time:
            yield _merged(time, parts)
            parts, time = [], plane.at["T"]
        parts.append(_measured(subject, plane, grey=grey))
    yield _merged(time, parts)


def _measured(subject: ExportSubject, plane: Plane, *, grey: bool) -> _Part:
    rows, columns = np.nonzero(plane.labels)
    found = plane.labels[rows, columns]
    # Sorted by object, so that each is one stretch of the pixels.
    order = np.argsort(found, kind="stable")
    rows, columns, found = rows[order], columns[order], found[order]
    ids, starts, counts = np.unique(found, return_index=True, return_counts=True)
    z = np.full(len(ids), plane.at.get("Z", 0), dtype=np.int64)
    channels = subject.channels if grey else 0
    values = np.empty((channels, len(found)))
    if channels:
        pixels = subject.image_plane(plane.at)
        values = pixels[:, rows, columns].astype(np.float64)

    def over(ufunc: Any, data: NDArray[Any]) -> NDArray[Any]:
        if not len(ids):
            return np.empty((0, *data.shape[:-1]), dtype=data.dtype)
        return np.moveaxis(ufunc.reduceat(data, starts, axis=-1), -1, 0)

    means = over(np.add, values) / counts[:, None]
    squares = over(np.add, (values - np.repeat(means, counts, axis=0).T) ** 2)
    places = np.stack([rows, columns])
    return _Part(
        ids=ids.astype(np.int64),
        counts=counts,
        sums=np.column_stack([z * counts, over(np.add, places)]),
        first=np.column_stack([z, over(np.minimum, places)]),
        last=np.column_stack([z, over(np.maximum, places)]),
        means=means,
        squares=squares,
        lowest=over(np.minimum, values),
        highest=over(np.maximum, values),
    )


def _merged(time: int, parts: list[_Part]) -> FrameObjects:
    """Objects that lie on several planes, put together.

    Variances by the rule of Chan, Golub and LeVeque ("Updating formulae and a pairwise
    algorithm for computing sample variances", 1979), which keeps their digits.
    """
    every = np.concatenate([part.ids for part in parts])
    ids, place = np.unique(every, return_inverse=True)

    def gathered(name: str, ufunc: Any, start: float) -> NDArray[Any]:
        rows = np.concatenate([getattr(part, name) for part in parts])
        total = np.full((len(ids), *rows.shape[1:]), start, dtype=rows.dtype)
        ufunc.at(total, place, rows)
        return total

    counts = gathered("counts", np.add, 0)
    part_counts = np.concatenate([part.counts for part in parts])[:, None]
    part_means = np.concatenate([part.means for part in parts])
    means = np.zeros((len(ids), part_means.shape[1]))
    np.add.at(means, place, part_means * part_counts)
    means /= counts[:, None]
    squares = gathered("squares", np.add, 0)
    np.add.at(squares, place, part_counts * (part_means - means[place]) ** 2)
    return FrameObjects(
        time=time,
        ids=ids,
        voxels=counts,
        centroids=gathered("sums", np.add, 0) / counts[:, None],
        first=gathered("first", np.minimum, np.iinfo(np.int64).max),
        last=gathered("last", np.maximum, 0),
        means=means,
        deviations=np.sqrt(squares / counts[:, None]),
        lowest=gathered("lowest", np.minimum, np.inf),
        highest=gathered("highest", np.maximum, -np.inf),
    )
