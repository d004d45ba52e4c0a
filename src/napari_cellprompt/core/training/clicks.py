"""Simulates what people give: clicks, strokes, boxes, rough masks and corrections.

Everything is in pixels of the crop, centres at integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from .warps import Warp, apply, random_motion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

__all__ = [
    "answer_like",
    "correction",
    "inner_click",
    "loosened",
    "rough",
    "stroke",
    "wrong_answer",
]

WORST_ANSWER = 0.4
"""IoU of the poorest mask that is taken for an answer of the network."""
WORST_PAINTED = 0.2
"""The same of a painted mask."""


def _floats(values: NDArray[Any]) -> Floats:
    return np.asarray(values, dtype=np.float32)


def _depth(mask: Mask) -> NDArray[np.float64]:
    """Distance to the outline; that of the crop counts too."""
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(mask, 1))
    return depth[1:-1, 1:-1]


def inner_click(mask: Mask, rng: np.random.Generator) -> tuple[float, float] | None:
    """A click x, y on an object as people click; None where nothing of it is seen.

    A third at the innermost place, some at the middle of the whole, most anywhere inside,
    some close to the outline.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    depth = _depth(mask)[rows, columns]
    kind = rng.random()
    if kind < 0.33:
        chosen = int(depth.argmax())
    elif kind < 0.48:
        away = np.hypot(rows - rows.mean(), columns - columns.mean())
        spread = 0.25 * np.sqrt(len(rows))
        weight = np.exp(-((away / max(spread, 1.0)) ** 2)) + 1e-9
        chosen = int(rng.choice(len(rows), p=weight / weight.sum()))
    elif kind < 0.58:
        near = np.flatnonzero(depth <= max(0.25 * depth.max(), 1.5))
        chosen = int(rng.choice(near))
    else:
        chosen = int(rng.integers(len(rows)))
    jitter = rng.uniform(-0.5, 0.5, 2)
    return float(columns[chosen] + jitter[0]), float(rows[chosen] + jitter[1])


def stroke(mask: Mask, rng: np.random.Generator) -> Floats | None:
    """A line x, y through two to four inner places; None where the object is tiny."""
    depth = _depth(mask)
    rows, columns = np.nonzero(depth > 0.35 * depth.max())
    if len(rows) < 4:
        return None
    count = int(rng.integers(2, 5))
    picked = rng.integers(len(rows), size=count)
    path = np.stack([columns[picked], rows[picked]], axis=1)
    # along the longer axis, not to and fro
    order = np.argsort(path @ rng.normal(size=2))
    return path[order].astype(np.float32)


def loosened(
    box: Sequence[float], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A box as drawn: half of them exact, others 10 % too small to 25 % too large."""
    x0, y0, x1, y1 = (float(value) for value in box)
    if rng.random() < 0.45:
        return x0, y0, x1, y1
    width, height = x1 - x0, y1 - y0
    growth = float(rng.uniform(-0.1, 0.25)) / 2
    sides = growth + rng.normal(0.0, 0.025, 4)
    return (
        x0 - sides[0] * width,
        y0 - sides[1] * height,
        x1 + sides[2] * width,
        y1 + sides[3] * height,
    )


def answer_like(
    cover: Floats, ids: NDArray[np.int32], chosen: int, rng: np.random.Generator
) -> Floats:
    """The mask of an object as the network may have answered it: hard and not quite right.

    Parameters
    ----------
    cover
        ``(S, S)``, the share of each pixel that the object covers.
    ids
        ``(S, S)`` of all objects.
    chosen
        Id of the object.
    rng
        Random numbers.
    """
    rows, columns = np.nonzero(cover > 0.5)
    if not len(rows):
        return cover
    side = len(cover)
    extent = float(max(np.ptp(rows), np.ptp(columns)) + 1)
    centre = (rows.mean() - (side - 1) / 2, columns.mean() - (side - 1) / 2)
    warp = random_motion(rng, extent, 0.6)
    changed = apply(warp, cover[None], side, centre=centre)[0][0]
    if rng.random() < 0.5:
        blur = float(rng.uniform(0.03, 0.1)) * extent
        changed = ndimage.gaussian_filter(changed, blur)
        hard = changed > float(rng.uniform(0.3, 0.7)) * changed.max()
    else:
        hard = changed > 0.5
    if rng.random() < 0.15:
        # a part was missed
        place = int(rng.integers(len(rows)))
        direction = rng.normal(size=2)
        y, x = np.ogrid[:side, :side]
        beyond = (y - rows[place]) * direction[0] + (x - columns[place]) * direction[1]
        cut = hard & (beyond < 0)
        if cut.sum() > 0.5 * hard.sum():
            hard = cut
    if rng.random() < 0.12:
        # a piece of a neighbour was taken along
        others = ids * ((ids > 0) & (ids != chosen))
        ring = ndimage.binary_dilation(hard, iterations=3) & (others > 0)
        if ring.any():
            touched = others[ring]
            other = others == touched[int(rng.integers(len(touched)))]
            near = ndimage.distance_transform_edt(~hard) < rng.uniform(0.1, 0.5) * extent
            hard |= other & near
    truth = cover > 0.5
    if (hard & truth).sum() < WORST_ANSWER * (hard | truth).sum():
        # nobody would hand this on
        hard = truth
    return _floats(hard)


def wrong_answer(
    cover: Floats, ids: NDArray[np.int32], chosen: int, rng: np.random.Generator
) -> Floats:
    """The probability of an answer that wants correcting, ``(S, S)``.

    Nearly right, with neighbours, only a part, far too large or small, or another object.
    """
    mask = cover > 0.5
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return cover
    side = len(cover)
    extent = float(max(np.ptp(rows), np.ptp(columns)) + 1)
    others = ids * ((ids > 0) & (ids != chosen))
    kind = rng.random()
    if kind < 0.35:
        answer = answer_like(cover, ids, chosen, rng) > 0.5
    elif kind < 0.62 and others.any():
        near = ndimage.binary_dilation(mask, iterations=max(int(0.15 * extent), 2))
        touched = np.unique(others[near & (others > 0)])
        if not len(touched):
            touched = np.unique(others[others > 0])
        picked = rng.choice(touched, min(len(touched), int(rng.integers(1, 4))), False)
        taken = np.isin(others, picked)
        # in one in four the neighbour alone
        answer = taken if rng.random() < 0.25 else taken | mask
    elif kind < 0.8:
        place = int(rng.integers(len(rows)))
        direction = rng.normal(size=2)
        y, x = np.ogrid[:side, :side]
        beyond = (y - rows[place]) * direction[0] + (x - columns[place]) * direction[1]
        answer = mask & (beyond < 0)
    else:
        blur = float(rng.uniform(0.1, 0.3)) * extent
        blurred = ndimage.gaussian_filter(cover, blur)
        answer = blurred > float(rng.choice((0.15, 0.8))) * blurred.max()
    soft = ndimage.gaussian_filter(answer.astype(np.float32), float(rng.uniform(0.4, 1.6)))
    sure = float(rng.uniform(4, 10))
    probability: Floats = 1 / (1 + np.exp(-sure * (soft - 0.5)))
    low = 1 / (1 + np.exp(0.5 * sure))
    return _floats(np.clip((probability - low) / (1 - 2 * low), 0, 1))


def rough(cover: Floats, rng: np.random.Generator) -> Floats:
    """A painted mask: a blob in the object, a coarse outline, or a shifted copy."""
    mask = cover > 0.5
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return cover
    side = len(cover)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    extent = float(max(height, width))
    kind = rng.random()
    if kind < 0.35:
        y, x = np.ogrid[:side, :side]
        size = rng.uniform(0.6, 1.15, 2)
        shift = rng.normal(0.0, 0.06, 2) * extent
        away = ((y - rows.mean() - shift[0]) / max(height * size[0] / 2, 1)) ** 2
        away = away + ((x - columns.mean() - shift[1]) / max(width * size[1] / 2, 1)) ** 2
        return _floats(away <= 1)
    if kind < 0.6:
        blurred = ndimage.gaussian_filter(cover, float(rng.uniform(0.05, 0.18)) * extent)
        return _floats(blurred > rng.uniform(0.25, 0.7) * blurred.max())
    centre = (rows.mean() - (side - 1) / 2, columns.mean() - (side - 1) / 2)
    warp: Warp = random_motion(rng, extent, 1.0)
    moved = apply(warp, cover[None], side, centre=centre)[0][0] > 0.5
    if (moved & mask).sum() < WORST_PAINTED * (moved | mask).sum():
        moved = mask
    return _floats(moved)


def correction(
    answer: Mask, truth: Mask, rng: np.random.Generator
) -> tuple[float, float, int] | None:
    """A click x, y and its label into the largest error; None where there is none."""
    missed, extra = truth & ~answer, answer & ~truth
    best: tuple[float, int, NDArray[np.float64]] | None = None
    for label, error in ((1, missed), (0, extra)):
        if not error.any():
            continue
        depth = _depth(error)
        top = float(depth.max())
        if best is None or top > best[0]:
            best = (top, label, depth)
    if best is None or best[0] < 1.0:
        return None
    top, label, depth = best
    if rng.random() < 0.55:
        place = int(depth.argmax())
    else:
        inside = np.flatnonzero(depth >= 0.4 * top)
        place = int(rng.choice(inside))
    row, column = divmod(place, depth.shape[1])
    jitter = rng.uniform(-0.5, 0.5, 2)
    return column + float(jitter[0]), row + float(jitter[1]), label
