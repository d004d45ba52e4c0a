"""Which of the followed objects is under a click."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_cellprompt.core.masks.rle import encode

if TYPE_CHECKING:
    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.core.types import CroppedMask, MaskRLE, Prompts

__all__ = ["mask_at", "object_at", "pointed_at"]

Outcomes = Mapping[tuple[int, int], "PlaneOutcome"]
"""By id and plane."""


def mask_at(outcomes: Outcomes, place: tuple[int, int]) -> MaskRLE | None:
    """The mask of an object on a plane, as prompts take it."""
    known = outcomes.get(place)
    if known is None or known.mask is None or known.mask.box is None:
        return None
    return encode(known.mask.to_plane())


def pointed_at(
    outcomes: Outcomes, plane: int, now: Prompts, before: Prompts, *, first: int | None
) -> int | None:
    """The object that the one new positive click lies in; None where there is none.

    Parameters
    ----------
    outcomes : mapping
        By id and plane.
    plane : int
        Where the click is.
    now, before : Prompts
        What the layers say, and what they said before the click.
    first : int, optional
        Wins where several objects overlap.
    """
    new = [
        point
        for point, label in zip(now.points, now.labels, strict=True)
        if label == 1 and point not in before.points
    ]
    if len(new) != 1 or (now.box, now.mask) != (before.box, before.mask):
        return None
    return object_at(outcomes, plane, new[0], first=first)


def object_at(
    outcomes: Outcomes,
    plane: int,
    xy: tuple[float, float],
    *,
    first: int | None,
) -> int | None:
    """The object whose mask on a plane covers a place; None where none does.

    Parameters
    ----------
    outcomes : mapping
        By id and plane.
    plane : int
        Where to look.
    xy : tuple of float
        In pixels of the plane.
    first : int, optional
        Wins where several objects overlap; else the smallest one does.
    """
    found = [
        (number != first, outcome.mask.area, number)
        for (number, on), outcome in list(outcomes.items())
        if on == plane and outcome.mask is not None and _covers(outcome.mask, xy)
    ]
    return min(found)[2] if found else None


def _covers(mask: CroppedMask, xy: tuple[float, float]) -> bool:
    column, row = round(xy[0]) - mask.origin[1], round(xy[1]) - mask.origin[0]
    height, width = mask.data.shape
    return 0 <= row < height and 0 <= column < width and bool(mask.data[row, column])
