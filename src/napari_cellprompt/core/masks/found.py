"""What "segment everything" found, and which of it to keep.

Candidates carry what is known of them, so that filters run again without the model.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.types import Candidate, CroppedMask

from .regions import fill_and_drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Tile

__all__ = [
    "FilterSettings",
    "Filtered",
    "FoundObject",
    "filter_candidates",
    "shared_pixels",
]


@dataclass(frozen=True, slots=True, eq=False)
class FoundObject:
    """One object that was found without a prompt of the user."""

    candidate: Candidate
    """Mask, logits and predicted IoU."""
    object_score: float
    """Probability that there is an object, 0 to 1."""
    stability: float
    """IoU of the masks at two thresholds around the usual one, 0 to 1."""
    votes: int
    """Clicks that gave this mask."""
    consensus: float
    """Those clicks as a share of the clicks on objects inside the mask, 0 to 1."""
    agreement: float
    """IoU of the mask found from a click with the one found from its box; 1 where only
    one of them was asked for."""
    touches_border: bool
    """Whether the image ends where the object does."""
    point: tuple[float, float]
    """The click that found it, x, y in pixels of the plane."""
    tile: Tile
    """The part of the plane that the model looked at."""
    cut_by_tile: bool = False
    """Whether that part ends where the object does, within the plane: a neighbouring tile
    may show all of it."""

    @property
    def mask(self) -> CroppedMask:
        """Where the object is."""
        return self.candidate.mask

    @property
    def area(self) -> int:
        """In pixels."""
        return self.candidate.mask.area

    @property
    def score(self) -> float:
        """Predicted IoU, 0 to 1."""
        return self.candidate.score

    @property
    def quality(self) -> float:
        """By which of two overlapping objects the better one is chosen, 0 to 1.

        The predicted IoU alone is not to be relied on: a model may rate a pair of
        touching cells higher than either of them. Clicks that agree tell better.
        """
        trust = 0.5 + 0.25 * self.consensus + 0.25 * self.agreement
        whole = 0.5 if self.cut_by_tile else 1.0
        return self.score * self.object_score * trust * whole


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """Which candidates to keep; the filters run in this order."""

    min_area: float = 0.0
    """In pixels, both included."""
    max_area: float = float("inf")
    min_score: float = 0.0
    """Of the predicted IoU."""
    min_object_score: float = 0.0
    min_stability: float = 0.0
    min_consensus: float = 0.0
    drop_border: bool = False
    """Leave out what the image's border cuts."""
    max_overlap: float = 0.4
    """Of two objects that share more than this part of the smaller one, the worse goes.

    What is left of an overlap goes to the higher logit.
    """
    clean_below: float = 0.0
    """Holes and islands of fewer pixels are filled and dropped."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise ValueError(f"{field.name} must not be negative: got {value}.")
        if self.min_area > self.max_area:
            raise ValueError(
                f"min_area {self.min_area:g} must not be above max_area {self.max_area:g}."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """What is left, and why the rest is not."""

    kept: tuple[FoundObject, ...]
    removed: dict[str, int]
    """Number of candidates that each filter removed: area, score, object score,
    stability, consensus, border, overlap."""


def filter_candidates(
    candidates: Sequence[FoundObject], settings: FilterSettings
) -> Filtered:
    """Keep the candidates that pass every filter, the best of those that overlap.

    Parameters
    ----------
    candidates
        All of one plane, as they were found; they are not changed.
    settings
        The filters.
    """
    removed: dict[str, int] = {}
    left = list(candidates)
    if settings.clean_below > 0:
        left = [_cleaned(item, settings.clean_below) for item in left]

    def keep(name: str, passes: list[bool]) -> None:
        nonlocal left
        removed[name] = passes.count(False)
        left = [item for item, ok in zip(left, passes, strict=True) if ok]

    keep("area", [settings.min_area <= item.area <= settings.max_area for item in left])
    keep("score", [item.score >= settings.min_score for item in left])
    keep("object score", [item.object_score >= settings.min_object_score for item in left])
    keep("stability", [item.stability >= settings.min_stability for item in left])
    keep("consensus", [item.consensus >= settings.min_consensus for item in left])
    keep("border", [not (settings.drop_border and item.touches_border) for item in left])
    keep("overlap", _without_overlaps(left, settings.max_overlap))
    return Filtered(tuple(left), removed)


def shared_pixels(first: CroppedMask, second: CroppedMask) -> int:
    """Number of pixels that two masks of one plane have in common."""
    (ay, ax), (by, bx) = first.origin, second.origin
    y0, x0 = max(ay, by), max(ax, bx)
    y1 = min(ay + first.data.shape[0], by + second.data.shape[0])
    x1 = min(ax + first.data.shape[1], bx + second.data.shape[1])
    if y0 >= y1 or x0 >= x1:
        return 0
    a = first.data[y0 - ay : y1 - ay, x0 - ax : x1 - ax]
    b = second.data[y0 - by : y1 - by, x0 - bx : x1 - bx]
    return int(np.count_nonzero(a & b))


def _without_overlaps(items: list[FoundObject], limit: float) -> list[bool]:
    """Which objects stay when, best first, each must leave the earlier ones alone."""
    keep = [False] * len(items)
    boxes = _boxes(items)
    areas = np.array([item.area for item in items])
    taken: list[int] = []
    for row in sorted(range(len(items)), key=lambda i: -items[i].quality):
        x0, y0, x1, y1 = boxes[row]
        others = boxes[taken]
        near = (
            (others[:, 0] < x1)
            & (others[:, 2] > x0)
            & (others[:, 1] < y1)
            & (others[:, 3] > y0)
        )
        if not any(
            shared_pixels(items[row].mask, items[taken[i]].mask)
            > limit * min(areas[row], areas[taken[i]])
            for i in np.flatnonzero(near)
        ):
            keep[row] = True
            taken.append(row)
    return keep


def _boxes(items: list[FoundObject]) -> NDArray[np.int64]:
    boxes = [item.mask.box or (0, 0, 0, 0) for item in items]
    return np.array(boxes, dtype=np.int64).reshape(-1, 4)


def _cleaned(item: FoundObject, min_area: float) -> FoundObject:
    """The object with its small holes filled and its small islands dropped."""
    mask = item.mask
    # a hole is open to the outside only beyond the rectangle of the mask
    padded, changed = fill_and_drop(np.pad(mask.data, 1), min_area)
    if not changed:
        return item
    data = padded[1:-1, 1:-1]
    logits = np.where(data == mask.data, item.candidate.logits, np.where(data, 1e-3, -1e-3))
    return replace(
        item,
        candidate=Candidate(
            CroppedMask(data, mask.origin, mask.plane_shape),
            logits.astype(np.float32),
            item.score,
        ),
    )
