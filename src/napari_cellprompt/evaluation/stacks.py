"""How well objects of a stack or movie are followed from one plane through the others.

Every object starts on the plane where it is largest, from its true box or mask, and is
followed both ways with the stop criteria on; all objects run together. A mask on a plane
beyond the true ends of its object counts as 0, so that going on too long costs as much as
stopping too soon. Beside it stands the true first mask copied to all planes of its object:
it is told where the object ends, hence the mean over the planes where it is stands there
too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage, stats

from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.masks.simulated import iou
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.tasks.following import Seed, follow_objects, prompt_seeds

from .objects import SMALLEST_AREA, renumbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.stack import ImageStack
    from napari_cellprompt.core.propagate.types import PropagationSettings
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

__all__ = ["STARTS", "KnownStack", "StackScore", "Track", "score_tracks", "tracks_of"]

Start = Literal["box", "mask"]
STARTS: tuple[Start, ...] = ("box", "mask")


@dataclass(frozen=True, slots=True, eq=False)
class KnownStack:
    """A stack or movie, and its objects with one id each through all planes."""

    dataset: str
    stack: ImageStack
    labels: NDArray[Any]
    """``(N, H, W)`` integer, 0 = background."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object through the planes of its stack."""

    id: int
    areas: NDArray[np.intp]
    """Pixels on each plane, ``(N,)``."""

    @property
    def start(self) -> int:
        """The plane where the object is largest."""
        return int(self.areas.argmax())

    @property
    def others(self) -> list[int]:
        """The other planes where it is."""
        planes: list[int] = np.flatnonzero(self.areas).tolist()
        return [plane for plane in planes if plane != self.start]


@dataclass(frozen=True, slots=True)
class StackScore:
    """How the objects of one stack were followed; means of IoU are over object-planes."""

    dataset: str
    start: Start
    objects: int
    planes: int
    """All object-planes but those of the start."""
    iou: float
    iou_where_it_is: float
    """Without the planes beyond the ends of an object."""
    copied: float
    """Of the first true mask, where the object is."""
    first: float
    """On the planes of the start."""
    beyond: int
    """Object-planes on which there is a mask, but no object."""
    missed: int
    """Object-planes on which there is an object, but no mask."""
    confidence_rank_correlation: float | None
    """Spearman's, of confidence with IoU; None where it is not defined."""
    seconds_per_plane: float
    """Per object-plane."""


def tracks_of(known: KnownStack, limit: int | None = None) -> list[Track]:
    """The objects on more than one plane, or so many of them spread over the ids."""
    dense, numbers = renumbered(known.labels)
    found = []
    for position, place in enumerate(ndimage.find_objects(dense)):
        if place is None:
            continue
        areas = np.zeros(len(dense), np.intp)
        areas[place[0]] = (dense[place] == position + 1).sum((1, 2))
        if areas.max() >= SMALLEST_AREA and (areas > 0).sum() > 1:
            found.append(Track(int(numbers[position]), areas))
    if limit is not None and len(found) > limit:
        rows = np.linspace(0, len(found) - 1, limit).round().astype(int)
        found = [found[row] for row in rows]
    return found


def copied(labels: NDArray[Any], track: Track) -> list[float]:
    """IoU of the object's first mask with its mask on each other plane."""
    first = labels[track.start] == track.id
    masks = (labels[plane] == track.id for plane in track.others)
    return [float((first & mask).sum() / (first | mask).sum()) for mask in masks]


def prompt_of(mask: NDArray[np.bool_], start: Start) -> Prompts:
    """The true box or mask of an object on its first plane."""
    if start == "mask":
        return Prompts(mask=encode(mask))
    rows, columns = np.nonzero(mask)
    x1, y1 = float(columns.max() + 1), float(rows.max() + 1)
    return Prompts(box=(float(columns.min()), float(rows.min()), x1, y1))


def score_tracks(
    segmenter: PlaneSegmenter,
    known: KnownStack,
    tracks: Sequence[Track],
    start: Start,
    settings: PropagationSettings | None = None,
) -> StackScore:
    """Follow objects, at least one, and compare every plane with the truth."""
    labels = known.labels
    engine = StackPropagator(segmenter, known.stack, settings)
    seeds = [
        Seed(track.id, track.start, prompt_of(labels[track.start] == track.id, start))
        for track in tracks
    ]
    for _ in prompt_seeds(engine, seeds):
        pass
    tally = follow_objects(engine)
    scores: list[float] = []
    inside: list[float] = []
    first: list[float] = []
    beyond = missed = 0
    trust: list[tuple[float, float]] = []
    for track in tracks:
        is_known = track.id in engine.ids
        ranks = engine.confidence(track.id) if is_known else []
        rank = {item.plane: item.confidence for item in ranks}
        for plane, area in enumerate(track.areas.tolist()):
            outcome = engine.outcome(track.id, plane) if is_known else None
            mask = None if outcome is None else outcome.mask
            if not area and mask is None:
                continue
            score = 0.0 if mask is None else iou(mask, labels[plane] == track.id)
            if plane == track.start:
                first.append(score)
                continue
            scores.append(score)
            if area:
                inside.append(score)
            beyond += not area
            missed += mask is None
            if mask is not None:
                trust.append((rank[plane], score))
    return StackScore(
        dataset=known.dataset,
        start=start,
        objects=len(tracks),
        planes=len(scores),
        iou=float(np.mean(scores)),
        iou_where_it_is=float(np.mean(inside)),
        copied=float(np.mean([s for track in tracks for s in copied(labels, track)])),
        first=float(np.mean(first)),
        beyond=beyond,
        missed=missed,
        confidence_rank_correlation=rank_correlation(trust),
        seconds_per_plane=tally.seconds / max(tally.tracked, 1),
    )


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Spearman's of pairs; None for fewer than three, or where one side is constant."""
    if len(pairs) < 3 or any(len(set(side)) == 1 for side in zip(*pairs, strict=True)):
        return None
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)
