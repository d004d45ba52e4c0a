"""What a table says of objects: extent, areas along the axis, doubt. Knows no screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from .objects import ObjectPlane, ObjectRecord

__all__ = [
    "ObjectRow",
    "doubtful",
    "main_axis",
    "outliers",
    "plane_doubts",
    "row_of",
    "worst_planes",
]

OUTLYING = 0.6
"""Binary logarithm of the ratio of an area to the median of its neighbours: from 1.5 times
(or two thirds) on a plane stands out."""
_BESIDE = 2
"""Neighbours on each side that an area is compared with."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectRow:
    """One line of the table."""

    record: ObjectRecord
    planes: tuple[int, ...]
    """Places along the axis, in order."""
    areas: NDArray[np.int64]
    """``(N,)`` pixels on each of ``planes``."""
    outlying: NDArray[np.bool_]
    """``(N,)``: areas that stand out from those beside them."""
    size: float
    """Area or volume in calibrated units."""
    trust: float | None
    """Mean of the planes, 0 to 1; None where nothing is known."""
    worst: int | None
    """The place most worth a look; None where there is one place only."""

    @property
    def doubt(self) -> float:
        """How much a look is worth: what is not trusted, times the pixels."""
        if self.record.state == "verified":
            return 0.0
        return float((1.0 - _or_half(self.trust)) * self.areas.sum())


def main_axis(records: Iterable[ObjectRecord]) -> int:
    """Which entry of a plane's index is the axis along which objects reach.

    The one with the most places on the whole; the last one where that is undecided.
    """
    places: list[set[int]] = []
    for record in records:
        for plane in record.planes:
            for number, step in enumerate(plane.key.index):
                while len(places) <= number:
                    places.append(set())
                places[number].add(step)
    if not places:
        return 0
    return max(range(len(places)), key=lambda number: (len(places[number]), number))


def row_of(record: ObjectRecord, axis: int = 0, unit_size: float = 1.0) -> ObjectRow:
    """The line of an object.

    Parameters
    ----------
    record
        The object.
    axis
        Entry of a plane's index, from :func:`main_axis`.
    unit_size
        Area or volume of a pixel.
    """
    areas: dict[int, int] = {}
    for plane in record.planes:
        place = _place(plane, axis)
        areas[place] = areas.get(place, 0) + plane.area
    planes = tuple(sorted(areas))
    values = np.array([areas[place] for place in planes], dtype=np.int64)
    worst = worst_planes(record, axis)
    return ObjectRow(
        record,
        planes,
        values,
        outliers(planes, values),
        float(values.sum() * unit_size),
        _trust_of(record),
        worst[0] if len(planes) > 1 and worst else None,
    )


def outliers(planes: Sequence[int], areas: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which areas stand out from the median of up to two neighbours on each side.

    The two ends are compared with nothing, since objects get smaller there.

    Parameters
    ----------
    planes
        Places along the axis, in order.
    areas
        ``(N,)`` pixels.

    Returns
    -------
    ndarray
        ``(N,)`` bool.
    """
    count = len(planes)
    found = np.zeros(count, dtype=bool)
    if count < 2 * _BESIDE + 1:
        return found
    logs = np.log2(np.maximum(areas, 1))
    window = np.lib.stride_tricks.sliding_window_view(logs, 2 * _BESIDE + 1)
    beside = np.delete(window, _BESIDE, axis=1)
    # along a slope the median of both sides is what is expected in the middle
    expected = np.median(beside, axis=1)
    found[_BESIDE:-_BESIDE] = np.abs(window[:, _BESIDE] - expected) > OUTLYING
    return found


def plane_doubts(record: ObjectRecord, axis: int = 0) -> dict[int, float]:
    """How much a look at each plane is worth: what is not trusted, times the pixels.

    Planes that the user made or locked are left out; where nothing is known of a plane
    its trust counts as one half, and as none where its area stands out.
    """
    areas: dict[int, int] = {}
    trusts: dict[int, float] = {}
    vouched = set()
    for plane in record.planes:
        place = _place(plane, axis)
        areas[place] = areas.get(place, 0) + plane.area
        trust = _or_half(_known_trust(plane))
        trusts[place] = min(trust, trusts.get(place, 1.0))
        if plane.origin in ("prompted", "locked"):
            vouched.add(place)
    planes = sorted(areas)
    values = np.array([areas[place] for place in planes], dtype=np.int64)
    standing_out = outliers(planes, values)
    return {
        place: (1.0 - (0.0 if out else trusts[place])) * areas[place]
        for place, out in zip(planes, standing_out, strict=True)
        if place not in vouched
    }


def worst_planes(record: ObjectRecord, axis: int = 0) -> list[int]:
    """Places along the axis, those most worth a look first."""
    doubts = plane_doubts(record, axis)
    return sorted(doubts, key=lambda place: (-doubts[place], place))


def doubtful(rows: Iterable[ObjectRow]) -> list[ObjectRow]:
    """Rows worth a look, the worst first; verified ones are left out."""
    left = [row for row in rows if row.record.state != "verified" and row.doubt > 0]
    return sorted(left, key=lambda row: (-row.doubt, row.record.id))


def _place(plane: ObjectPlane, axis: int) -> int:
    index = plane.key.index
    return index[axis] if axis < len(index) else 0


def _known_trust(plane: ObjectPlane) -> float | None:
    if plane.trust is not None:
        return plane.trust
    return plane.score if plane.score > 0 else None


def _trust_of(record: ObjectRecord) -> float | None:
    known = [value for value in map(_known_trust, record.planes) if value is not None]
    return float(np.mean(known)) if known else None


def _or_half(trust: float | None) -> float:
    return 0.5 if trust is None else trust
