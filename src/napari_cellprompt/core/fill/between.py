"""An object that is known on some planes of a stack, on all planes between."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np
import scipy  # its parts load when they are used

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.crop import shifted
from napari_cellprompt.core.types import CroppedMask

from .gap import Gap
from .parts import paired_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Between", "joined", "neighbours", "planes_between"]

_STEEPEST = 1.5
"""Areas between two planes lie between the smaller one by this, and the larger one
times this."""


class Between:
    """One object, filled in where it is asked for.

    The area follows a smooth curve through all planes that are known (Akima 1970, J. ACM
    17, 589), which rounds off caps of cells; with two of them it is a straight line.

    Parameters
    ----------
    known
        Its mask by plane, all of planes of one size, at least two; empty ones count as
        not known.

    Raises
    ------
    PromptError
        For fewer than two planes, or planes of different sizes.
    """

    def __init__(self, known: Mapping[int, CroppedMask]) -> None:
        self._known = {
            plane: known[plane] for plane in sorted(known) if known[plane].area > 0
        }
        shapes = {mask.plane_shape for mask in self._known.values()}
        if len(self._known) < 2:
            raise PromptError(
                "To fill in an object, it must be known on two planes at least: got "
                f"{len(self._known)}."
            )
        if len(shapes) > 1:
            raise PromptError(
                f"The planes of an object must have one size: got {sorted(shapes)}."
            )
        self._planes = list(self._known)
        areas = np.array([mask.area for mask in self._known.values()], dtype=float)
        self._areas: dict[int, float] = dict(zip(self._planes, areas.tolist(), strict=True))
        self._curve = None
        if len(areas) > 2:
            self._curve = scipy.interpolate.Akima1DInterpolator(self._planes, areas)
        self._ends: tuple[int, int] | None = None
        self._gaps: list[tuple[Gap, tuple[int, int]]] = []

    @property
    def known(self) -> list[int]:
        """Planes on which it is known, in order."""
        return list(self._planes)

    @property
    def missing(self) -> list[int]:
        """Planes between on which it is not, in order."""
        return planes_between(self._planes)

    def at(self, plane: int, moved: tuple[float, float] = (0.0, 0.0)) -> CroppedMask:
        """The object on a plane from the first to the last that is known.

        What both ends of a gap have in common is computed once, when the first plane of
        it is asked for, and kept until another gap is.

        Parameters
        ----------
        plane
            Place in the stack.
        moved
            Rows and columns by which it lies beside the straight way between its
            neighbours.

        Raises
        ------
        PromptError
            For a plane that does not lie between.
        """
        if plane in self._known:
            return self._known[plane]
        before, after = self._prepared(plane)
        place = (plane - before) / (after - before)
        straight = self._straight(before, after, place)
        wider = self._area(plane, before, after) / straight
        parts = [
            gap.at(place, wider * (one + place * (other - one)), moved)
            for gap, (one, other) in self._gaps
        ]
        return parts[0] if len(parts) == 1 else joined(parts)

    def exchanged(self, plane: int) -> list[tuple[int, CroppedMask]]:
        """Each known neighbour of a plane, with the mask of the other one laid over it.

        Where that has no pixel inside the plane it is left out.
        """
        before, after = self._prepared(plane)
        pairs = []
        for here, there, sign in ((before, after, -1), (after, before, 1)):
            whole = self._known[there]
            by = self._gaps[0][0].shift if len(self._gaps) == 1 else (0, 0)
            mask = shifted(whole, (sign * round(by[0]), sign * round(by[1])))
            if mask.area:
                pairs.append((here, mask))
        return pairs

    def _prepared(self, plane: int) -> tuple[int, int]:
        """The neighbours of a plane, and what lies between them made ready."""
        ends = neighbours(self._planes, plane)
        if self._ends != ends:
            first, last = (self._known[end] for end in ends)
            self._gaps = [
                (Gap.between(one, other), (one.area, other.area))
                for one, other in paired_parts(first, last)
            ]
            self._ends = ends
        return ends

    def _straight(self, before: int, after: int, place: float) -> float:
        first, last = self._areas[before], self._areas[after]
        return first + (last - first) * place

    def _area(self, plane: int, before: int, after: int) -> float:
        first, last = self._areas[before], self._areas[after]
        if self._curve is None:
            return self._straight(before, after, (plane - before) / (after - before))
        least, most = min(first, last) / _STEEPEST, max(first, last) * _STEEPEST
        return float(np.clip(self._curve(plane), least, most))


def planes_between(known: list[int]) -> list[int]:
    """Planes between the first and last of some planes, these left out."""
    if not known:
        return []
    there = set(known)
    return [plane for plane in range(min(known), max(known)) if plane not in there]


def neighbours(known: list[int], plane: int) -> tuple[int, int]:
    """The nearest of some planes, in rising order, before and after another one.

    Raises
    ------
    PromptError
        Where there are none on one of its sides.
    """
    place = bisect_right(known, plane)
    if not 0 < place < len(known):
        raise PromptError(
            f"Plane {plane} does not lie between planes on which the object is known: "
            f"these are {known[0]} to {known[-1]}."
        )
    return known[place - 1], known[place]


def joined(parts: Sequence[CroppedMask]) -> CroppedMask:
    """Several masks of one plane, at least one, as one."""
    boxes = [box for part in parts if (box := part.box) is not None]
    if not boxes:
        return parts[0]
    around = boxes[0]
    for box in boxes[1:]:
        around = around.union(box)
    data = np.zeros((around.height, around.width), bool)
    for part in parts:
        rows, columns = part.indices()
        data[rows - around.y0, columns - around.x0] = True
    return CroppedMask(data, (around.y0, around.x0), parts[0].plane_shape)
