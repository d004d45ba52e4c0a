"""When an object has ended, how far a plane can be trusted, what may be a division.

Functions of masks, scores and pixels; no network.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.types import CroppedMask

from .types import Division, PlaneConfidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_cellprompt.core.images.planes import PlaneSource

    from .types import PlaneOutcome, PropagationSettings

__all__ = [
    "SMALLEST_PART",
    "area_jump",
    "confidence_of",
    "contrast",
    "find_divisions",
    "has_faded",
    "has_left",
    "is_doubted_again",
    "main_parts",
    "next_worst",
    "overlap",
    "reappears",
    "stands_out",
]

SMALLEST_PART = 0.2
"""Connected parts of a smaller share of the object's area do not count."""

_EIGHT = np.ones((3, 3), dtype=bool)
_CLEAR = 1.2
"""An object stands out clearly by so many standard deviations of its surroundings."""
_FAINT = 0.7
"""Share of its contrast at the start below which an object has begun to fade."""
_RING = 4
"""Pixels around an object that stand for its surroundings."""


def overlap(one: CroppedMask, other: CroppedMask) -> float:
    """Shared pixels over those of the smaller mask, 0 to 1.

    Unlike the IoU this does not punish an object for growing.
    """
    first, second = one.box, other.box
    if first is None or second is None:
        return 0.0
    x0, y0 = max(first[0], second[0]), max(first[1], second[1])
    x1, y1 = min(first[2], second[2]), min(first[3], second[3])
    if x0 >= x1 or y0 >= y1:
        return 0.0
    shared = _part(one, x0, y0, x1, y1) & _part(other, x0, y0, x1, y1)
    return int(np.count_nonzero(shared)) / min(one.area, other.area)


def area_jump(area: int, neighbour: int) -> float:
    """Absolute base-2 logarithm of the ratio of two areas; infinite when one is 0."""
    if area == neighbour:
        return 0.0
    return abs(math.log2(area / neighbour)) if area and neighbour else math.inf


def has_left(
    mask: CroppedMask,
    object_score: float,
    recent: Sequence[CroppedMask],
    settings: PropagationSettings,
) -> bool:
    """Whether what was found on a plane is not the object any more.

    Parameters
    ----------
    mask, object_score
        What was found, and the probability that the object is there.
    recent
        Masks of the planes before, the nearest last; the last three decide.
    settings
        The three limits, see :class:`PropagationSettings`.
    """
    area = mask.area
    if area == 0 or object_score < settings.stop_object_score:
        return True
    if not recent:
        return False
    usual = float(np.median([item.area for item in recent[-3:]]))
    if area < settings.stop_area_ratio * usual:
        return True
    return overlap(mask, recent[-1]) < settings.stop_overlap


def is_doubted_again(presence: float, before: float, least: float) -> bool:
    """Whether an object is doubted on two frames in a row, though on neither enough.

    What was followed beyond its birth or its death often stays a little above the limit
    for many frames. The probability that it is there on both is the product of the two.

    Parameters
    ----------
    presence, before
        Probability that it is there, on this frame and on the one before. A frame before
        that failed by itself, by its focus for instance, says nothing of this one.
    least
        The limit, see :attr:`PropagationSettings.stop_object_score`.
    """
    return before >= least and presence * before < least


def contrast(plane: PlaneSource, mask: CroppedMask) -> tuple[float, float]:
    """How far an object stands out from what surrounds it.

    Returns
    -------
    tuple of float
        Mean grey value (0 to 255) of the object less that of a ring of 4 pixels around
        it, and the standard deviation in that ring; zeros without a mask or a ring.
    """
    from scipy.ndimage import binary_dilation

    box = mask.box
    if box is None:
        return 0.0, 0.0
    height, width = plane.shape
    x0, y0 = max(box[0] - _RING, 0), max(box[1] - _RING, 0)
    x1, y1 = min(box[2] + _RING, width), min(box[3] + _RING, height)
    grey = plane.read_grey(y0, y1, x0, x1)
    inside = np.zeros(grey.shape, bool)
    rows, columns = mask.indices()
    inside[rows - y0, columns - x0] = True
    ring = binary_dilation(inside, iterations=_RING) & ~inside
    if not ring.any():
        return 0.0, 0.0
    around = grey[ring]
    return float(grey[inside].mean() - around.mean()), float(around.std())


def stands_out(start: float, noise: float) -> bool:
    """Whether contrast on the prompted plane is more than the noise around the object."""
    return abs(start) > _CLEAR * noise


def has_faded(now: float, start: float, noise: float, share: float) -> bool:
    """Whether an object no longer stands out as it did on its prompted plane.

    Parameters
    ----------
    now, start
        Contrast on this plane and on the prompted one, see :func:`contrast`.
    noise
        Standard deviation around the object on the prompted plane. An object that stood
        out by less is known by its outline or texture: nothing is said of it.
    share
        Of the contrast at the start, at which it counts as gone.
    """
    return stands_out(start, noise) and now / start < share


def reappears(shares: Sequence[float], now: float, ratio: float) -> int | None:
    """Whether an object that had faded stands out again: then it is the next one.

    Parameters
    ----------
    shares
        Of the contrast on the prompted plane, on the planes since then, see
        :func:`contrast`.
    now
        The share on this plane.
    ratio
        So much more than where it was faintest counts as standing out again.

    Returns
    -------
    int or None
        How many of the planes, up to the faintest, belong to the object; None where it
        goes on.
    """
    if not shares:
        return None
    faintest = int(np.argmin(shares))
    if shares[faintest] < _FAINT and now > ratio * max(shares[faintest], 0.0):
        return faintest + 1
    return None


def main_parts(mask: CroppedMask) -> list[CroppedMask]:
    """Connected parts that hold a fifth of the area or more, the largest first.

    Pixels are connected over edges and corners.
    """
    from scipy.ndimage import find_objects, label

    regions, count = label(mask.data, structure=_EIGHT)
    if count == 0:
        return []
    if count == 1:
        return [mask]
    areas = np.bincount(regions.ravel())[1:]
    places = find_objects(regions)
    parts = []
    for number in np.argsort(-areas, kind="stable"):
        if areas[number] < SMALLEST_PART * areas.sum():
            break
        rows, columns = places[number]
        origin = (mask.origin[0] + rows.start, mask.origin[1] + columns.start)
        inside = regions[rows, columns] == number + 1
        parts.append(CroppedMask(inside, origin, mask.plane_shape))
    return parts


def confidence_of(outcome: PlaneOutcome, neighbour: PlaneOutcome | None) -> PlaneConfidence:
    """How far a plane can be trusted.

    The product of predicted IoU, probability of being there, a factor that falls to a
    half as the overlap with the neighbouring plane falls to 0, and one that falls
    from 1 to 0 as the area changes up to fourfold. A user reads it as a rank.

    Parameters
    ----------
    outcome
        The plane.
    neighbour
        The same object on the plane next to it on the side of the prompt.
    """
    shared, jump = 1.0, 0.0
    if outcome.mask is not None and neighbour is not None and neighbour.mask is not None:
        shared = overlap(outcome.mask, neighbour.mask)
        jump = area_jump(outcome.mask.area, neighbour.mask.area)
    if outcome.state in ("prompted", "locked"):
        value = 1.0
    else:
        steady = (0.5 + 0.5 * shared) * max(0.0, 1.0 - jump / 2)
        value = outcome.iou * outcome.object_score * steady
        if outcome.mask is None:
            # sure that it is gone is as good as sure that it is there
            value = 1.0 - outcome.object_score
    return PlaneConfidence(
        plane=outcome.plane,
        state=outcome.state,
        iou=outcome.iou,
        object_score=outcome.object_score,
        overlap=shared,
        area_jump=jump,
        confidence=min(max(value, 0.0), 1.0),
    )


def next_worst(planes: Sequence[PlaneConfidence], after: int | None = None) -> int | None:
    """The plane to be trusted least; with ``after``, the one that follows it in rank.

    None when there is none (left).
    """
    ranked = [item.plane for item in sorted(planes, key=lambda item: item.confidence)]
    if after in ranked:
        ranked = ranked[ranked.index(after) + 1 :]
    return ranked[0] if ranked else None


def find_divisions(
    masks: Mapping[int, CroppedMask], object_id: int, *, persist: int = 2
) -> list[Division]:
    """Planes from which on a mask stays in two parts.

    Parameters
    ----------
    masks
        Of one object, by plane; planes count up with time.
    object_id
        Of the object.
    persist
        So many planes in a row must show two parts.

    Returns
    -------
    list of Division
        In order of planes; a run of planes in two parts is one division.
    """
    found: list[Division] = []
    run: list[tuple[int, list[CroppedMask]]] = []
    for plane in sorted(masks):
        parts = main_parts(masks[plane])
        if run and (plane != run[-1][0] + 1 or len(parts) != 2):
            run = []
        if len(parts) == 2:
            run.append((plane, parts))
            if len(run) == persist:
                first, pair = run[0]
                found.append(Division(object_id, first, (pair[0], pair[1])))
    return found


def _part(mask: CroppedMask, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    top, left = mask.origin
    return mask.data[y0 - top : y1 - top, x0 - left : x1 - left]
