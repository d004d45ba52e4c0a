"""Finds all cells of a plane without a prompt.

A coarse grid of clicks asks the model everywhere; most answers are background, and the
model says so. What it said teaches a linear rule where else there are objects, and these
are clicked in their middle. Clicks that agree on one mask vote for it; the box of the
best of them is asked once more where that gives better outlines. Where nothing is known of
the size of the cells, a look at a few tiles tells it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.images.tiles import (
    DEFAULT_MAGNIFICATION,
    LEVELS,
    choose_magnification,
    tile_grid,
    touches_border,
)
from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.masks.found import (
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.types import Tile

from .answers import Answers, ask, box_of, plausible, representatives, tile_features
from .foreground import Foreground, peaks
from .grid import stability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.sam.encoding.encoder import PlaneEncoder
    from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures

__all__ = ["find_candidates", "find_size"]

_SHARE = 0.11
"""Share of its tile that a cell is to span.

Tuned on training images: a little finer than for a single click
(:mod:`.aim`), since cells are searched for between others.
"""
_STABILITY_OFFSET = 1.0
"""In logits."""
_GROWTH = 1.0
"""Model pixels by which a box is larger than the mask it asks about."""
_SURVEYED = 6
"""Tiles per level at which the size of the cells is found."""
_MIN_SPAN = 8
"""Low-resolution pixels."""
_SURE = 0.7
"""What is found whole and with this quality is not clicked again from other tiles."""
_DOUBTFUL = 0.65
"""Where the median of the predicted IoU is lower, a finer level is tried."""
_FEW = 400
"""Where no more clicks than these found nothing, twice as dense ones are tried."""
_ABSENT = 0.3
"""A click with an object score below it says that there is background."""


def find_candidates(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    settings: SearchSettings | None = None,
    *,
    region: tuple[int, int, int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[FoundObject]:
    """Find what may be cells, with all that is known of each.

    Nothing is chosen yet: the same object may be found twice, and two found objects may
    share pixels; :func:`.found.filter_candidates` decides.

    Parameters
    ----------
    encoder
        The model, with its cache of features.
    plane
        What to look at.
    settings
        How to look.
    region
        ``x0, y0, x1, y1`` in pixels, the last two exclusive: only objects whose click
        lies in it; default the whole plane.
    progress
        Called with the number of tiles done and of all tiles.
    cancelled
        Asked before each slow step.

    Raises
    ------
    concurrent.futures.CancelledError
        Where ``cancelled`` said so.
    """
    settings = SearchSettings() if settings is None else settings
    side = encoder.image_size

    def search(size: float | None) -> list[FoundObject]:
        return _search(encoder, plane, settings, size, region, progress, cancelled)

    if settings.size is not None:
        return search(settings.size)
    size = find_size(encoder, plane, settings, region=region, cancelled=cancelled)
    found, level = search(size), _level(size, side)
    # a few clicks rather hit large objects: what was found now tells the size better
    again = _median_side(found)
    if again is not None and _level(again, side) != level:
        found, level = search(again), _level(again, side)
    # small cells are answered with doubt, and without it where they are shown larger
    while level < (LEVELS[0] if found else DEFAULT_MAGNIFICATION) and _is_doubtful(found):
        level *= 2
        finer = search(_SHARE * side / level)
        if found and _worth(finer) <= _worth(found):
            break
        found = finer
    return found


def _is_doubtful(found: Sequence[FoundObject]) -> bool:
    return not found or float(np.median([item.score for item in found])) < _DOUBTFUL


def _worth(found: Sequence[FoundObject]) -> float:
    """How many objects were found, each counted by how far it is believed."""
    kept = filter_candidates(found, FilterSettings()).kept
    return sum(item.quality for item in kept)


def _level(size: float | None, side: int) -> float:
    return choose_magnification(size, side, share=_SHARE)


def _median_side(found: Sequence[FoundObject]) -> float | None:
    """Median of the longer sides of objects that the border leaves whole, in pixels."""
    boxes = [item.mask.box for item in found if not item.touches_border]
    sides = [max(box[2] - box[0], box[3] - box[1]) for box in boxes if box is not None]
    return float(np.median(sides)) if sides else None


def _search(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    settings: SearchSettings,
    size: float | None,
    region: tuple[int, int, int, int] | None,
    progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> list[FoundObject]:
    """Everything at the level that fits objects of this size."""
    level = _level(size, encoder.image_size)
    tiles = tile_grid(plane.shape, encoder.image_size, level)
    clicks = _clicks(tiles, plane.shape, settings.spacing, region)
    found = _search_tiles(encoder, plane, clicks, size, settings, progress, cancelled)
    if not found and sum(len(xy) for _, xy in clicks) <= _FEW:
        # few objects may all lie between the clicks
        settings = replace(settings, spacing=settings.spacing / 2)
        clicks = _clicks(tiles, plane.shape, settings.spacing, region)
        found = _search_tiles(encoder, plane, clicks, size, settings, progress, cancelled)
    return found


def _search_tiles(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    clicks: Sequence[tuple[Tile, NDArray[np.float64]]],
    size: float | None,
    settings: SearchSettings,
    progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> list[FoundObject]:
    """What these clicks lead to, tile after tile."""
    rule = Foreground()
    found: list[FoundObject] = []
    for number, (tile, xy) in enumerate(clicks):
        if progress is not None:
            progress(number, len(clicks))
        stop_if(cancelled)
        if not _is_blank(plane, tile):
            found += _search_tile(
                encoder, plane, tile, xy, size, rule, found, settings, cancelled
            )
    if progress is not None:
        progress(len(clicks), len(clicks))
    return found


def find_size(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    settings: SearchSettings | None = None,
    *,
    region: tuple[int, int, int, int] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> float | None:
    """How large the cells of a plane are: their longer side in pixels.

    A few tiles are looked at at natural size and, where the image is larger than one of
    them, at a quarter of it; the median of what is found decides. None where there is
    nothing.
    """
    settings = SearchSettings() if settings is None else settings
    side = encoder.image_size
    sizes: list[float] = []
    for level in [1.0] if max(plane.shape) <= side else [1.0, 0.25]:
        tiles = tile_grid(plane.shape, side, level)
        clicks = _clicks(tiles, plane.shape, settings.spacing, region)
        step = -(-len(clicks) // _SURVEYED)
        for tile, xy in clicks[step // 2 :: step]:
            stop_if(cancelled)
            if _is_blank(plane, tile):
                continue
            features = tile_features(encoder, plane, tile, cancelled)
            answers = ask(encoder, features, xy, None, cancelled)
            answers = _believed(answers, settings)
            for row in representatives(answers)[0]:
                x0, y0, x1, y1 = box_of(answers.masks[row] > 0)
                span = max(x1 - x0, y1 - y0)
                # of a quarter of the size, only what is large there is believed
                if level == 1.0 or span >= _MIN_SPAN:
                    sizes.append(span * 4 / level)
    return float(np.median(sizes)) if sizes else None


# -- clicks ----------------------------------------------------------------------------
def _clicks(
    tiles: Sequence[Tile],
    shape: tuple[int, int],
    spacing: float,
    region: tuple[int, int, int, int] | None,
) -> list[tuple[Tile, NDArray[np.float64]]]:
    """A grid of clicks over the plane, each given to the tile whose middle is nearest.

    Tiles without a click are left out. Clicks ``(N, 2)`` are in model pixels.
    """
    step = spacing / tiles[0].magnification
    x0, y0, x1, y1 = (0, 0, shape[1], shape[0]) if region is None else region
    xs, ys = _ticks(x0, x1, step), _ticks(y0, y1, step)
    # every other row is shifted by half a step: cells often lie in rows too
    shifted = (xs[:-1] + xs[1:]) / 2
    rows = [xs if number % 2 == 0 else shifted for number in range(len(ys))]
    points = np.array([(x, y) for row, y in zip(rows, ys, strict=True) for x in row])
    centres = np.array([(t.x0 + t.size / 2, t.y0 + t.size / 2) for t in tiles])
    distance = np.abs(points[:, None] - centres[None]).max(axis=2)
    nearest = distance.argmin(axis=1)
    return [
        (tile, tile.to_tile(points[nearest == number]))
        for number, tile in enumerate(tiles)
        if (nearest == number).any()
    ]


def _ticks(start: int, stop: int, step: float) -> NDArray[np.float64]:
    """Middles of equal parts of about ``step`` between two edges, in pixel centres."""
    # two at least: a single click on a small region would rather miss what is in it
    count = max(2, round((stop - start) / step))
    return start - 0.5 + (np.arange(count) + 0.5) * (stop - start) / count


def _is_blank(plane: PlaneSource, tile: Tile) -> bool:
    """Whether there is nothing at all to see in a tile."""
    pixels = plane.read(*tile.crop(plane.shape))
    return int(pixels.max()) == int(pixels.min())


def _believed(answers: Answers, settings: SearchSettings) -> Answers:
    """Those that may be objects."""
    rows = plausible(
        answers,
        min_object_score=settings.min_object_score,
        min_score=settings.min_score,
    )
    return answers.pick(rows)


def _search_tile(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    tile: Tile,
    xy: NDArray[np.float64],
    size: float | None,
    rule: Foreground,
    known: Sequence[FoundObject],
    settings: SearchSettings,
    cancelled: Callable[[], bool] | None,
) -> list[FoundObject]:
    """What the clicks ``(N, 2)``, and others that follow from them, find in a tile.

    Clicks on what other tiles have found, ``known``, are left out.
    """
    features = tile_features(encoder, plane, tile, cancelled)
    answers = ask(encoder, features, xy, None, cancelled)
    further = _further_clicks(answers, features, xy, tile, size, rule, settings)
    further = further[~_on_known(further, tile, known)]
    answers = _believed(answers, settings)
    if len(further):
        more = ask(encoder, features, further, None, cancelled)
        answers = answers.join(_believed(more, settings))
    chosen, votes, consensus = representatives(answers)
    if not chosen:
        return []
    first = answers.pick(torch.tensor(chosen))
    final, agreement = first, [1.0] * len(chosen)
    refine = settings.refine
    if refine is None:
        refine = encoder.loaded.spec.traits.refines_by_box
    if refine:
        boxes = np.array([box_of(mask > 0) for mask in first.masks], dtype=np.float64)
        # the edges of low-resolution pixels, in model pixels
        asked = boxes * 4 - 0.5 + _GROWTH * np.array([-1, -1, 1, 1])
        final = ask(encoder, features, first.xy, asked, cancelled)
        a, b = (first.masks > 0).flatten(1), (final.masks > 0).flatten(1)
        agreement = ((a & b).sum(1) / (a | b).sum(1).clamp(min=1)).tolist()
    steady = stability(final.masks, 0.0, _STABILITY_OFFSET).nan_to_num().tolist()
    found = []
    for row in range(len(chosen)):
        candidate = cut_candidate(
            _upsample(final.masks[row], tile, plane.shape),
            float(final.scores[row]),
            origin=(tile.y0, tile.x0),
            plane_shape=plane.shape,
        )
        box = candidate.mask.box
        if box is None:
            continue
        x, y = tile.from_tile(first.xy[row])
        found.append(
            FoundObject(
                candidate,
                # a box always holds something: only the click was a question
                object_score=float(first.present[row]),
                stability=steady[row],
                votes=votes[row],
                consensus=consensus[row],
                agreement=agreement[row],
                touches_border=box[0] == 0
                or box[1] == 0
                or box[2] == plane.shape[1]
                or box[3] == plane.shape[0],
                point=(float(x), float(y)),
                tile=tile,
                cut_by_tile=touches_border(tile, candidate.mask, plane.shape),
            )
        )
    return found


def _further_clicks(
    answers: Answers,
    features: ImageFeatures,
    xy: NDArray[np.float64],
    tile: Tile,
    size: float | None,
    rule: Foreground,
    settings: SearchSettings,
) -> NDArray[np.float64]:
    """Where the answers say that there are more objects, ``(M, 2)`` in model pixels."""
    side = answers.masks.shape[-1]
    good = _believed(answers, settings)
    objects = (good.masks > 0).any(0)
    absent = (answers.present < _ABSENT) | (answers.scores < settings.min_score / 2)
    missed = xy[absent.cpu().numpy()] / 4
    ticks = np.arange(side)
    near = np.zeros((side, side), bool)
    for x, y in missed:
        near |= np.hypot(ticks - x, ticks[:, None] - y) <= settings.spacing / 16
    background = torch.from_numpy(near).to(objects.device) & ~objects
    rule.learn(features, objects, background)
    if not rule.is_fitted:
        return np.zeros((0, 2))
    span = settings.spacing if size is None else size * tile.magnification
    points = peaks(rule.predict(features), span / 4) * 4 + 1.5
    # of overlapping tiles, each clicks only about where its grid does
    low, high = xy.min(0) - settings.spacing, xy.max(0) + settings.spacing
    inside: NDArray[np.bool_] = ((points >= low) & (points <= high)).all(axis=1)
    return points[inside]


def _on_known(
    xy: NDArray[np.float64], tile: Tile, known: Sequence[FoundObject]
) -> NDArray[np.bool_]:
    """Which clicks ``(N, 2)`` of a tile hit what was surely found elsewhere, ``(N,)``."""
    hit = np.zeros(len(xy), bool)
    points = np.rint(tile.from_tile(xy)).astype(int)
    for item in known:
        if item.cut_by_tile or item.quality < _SURE:
            continue
        (y0, x0), mask = item.mask.origin, item.mask.data
        columns, rows = points[:, 0] - x0, points[:, 1] - y0
        inside = (rows >= 0) & (columns >= 0)
        inside &= (rows < mask.shape[0]) & (columns < mask.shape[1])
        hit[inside] |= mask[rows[inside], columns[inside]]
    return hit


def _upsample(logits: Tensor, tile: Tile, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Logits ``(s, s)`` of a tile at image resolution, cut to the image."""
    y0, y1, x0, x1 = tile.crop(shape)
    size = (tile.size, tile.size)
    full = F.interpolate(logits[None, None], size=size, mode="bilinear")
    cut: NDArray[np.float32] = full[0, 0, : y1 - y0, : x1 - x0].cpu().numpy()
    return cut
