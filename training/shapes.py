"""Makes up label maps: rods, ellipses, budding, bent and flat cells, blobs, tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["KINDS", "label_map"]

LEAST_SEEN = 0.75
"""An object of which others cover more is left out."""


def _grid(reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns around 0, far enough for a shape of this reach."""
    side = np.arange(-int(reach) - 2, int(reach) + 3, dtype=np.float64)
    return side[:, None], side[None]


def _turned(reach: float, angle: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = _grid(reach)
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine


def _ellipse(radius: float, angle: float, rng: np.random.Generator) -> list[Mask]:
    longer = radius * float(np.exp(abs(rng.normal(0.0, 0.25))))
    u, v = _turned(longer, angle)
    return [(u / longer) ** 2 + (v * longer / radius**2) ** 2 <= 1]


def _rod(radius: float, angle: float, rng: np.random.Generator) -> list[Mask]:
    """A capsule, straight or slightly bent."""
    half = radius * float(rng.uniform(1.0, 2.6))
    thick = radius * float(rng.uniform(0.35, 0.6))
    u, v = _turned(half + thick, angle)
    v = v + float(rng.normal(0.0, 0.12)) * u**2 / max(half, 1)
    beyond = np.maximum(np.abs(u) - (half - thick), 0)
    return [beyond**2 + v**2 <= thick**2]


def _bent(radius: float, angle: float, rng: np.random.Generator) -> list[Mask]:
    """A thin cell along an arc."""
    bow = radius * float(rng.uniform(1.0, 3.0))
    thick = max(radius * float(rng.uniform(0.2, 0.4)), 1.2)
    spread = float(rng.uniform(0.5, 1.3)) * min(radius * 2.0 / bow, 1.6)
    u, v = _turned(bow + thick, angle)
    distance = np.abs(np.hypot(u, v) - bow)
    direction = np.abs(np.arctan2(v, u))
    past = np.maximum(direction - spread, 0) * bow
    return [distance**2 + past**2 <= thick**2]


def _budding(radius: float, angle: float, rng: np.random.Generator) -> list[Mask]:
    """A mother and a daughter of their own."""
    small = radius * float(rng.uniform(0.3, 0.8))
    apart = radius + small * float(rng.uniform(0.75, 1.0))
    u, v = _turned(apart + small, angle)
    mother = u**2 + (v * float(rng.uniform(0.85, 1.1))) ** 2 <= radius**2
    daughter = (u - apart) ** 2 + v**2 <= small**2
    return [mother, daughter & ~mother]


def _blob(radius: float, angle: float, rng: np.random.Generator) -> list[Mask]:
    """An outline with a few smooth lobes."""
    u, v = _turned(radius * 1.8, angle)
    direction = np.arctan2(v, u)
    outline = np.ones_like(direction)
    for lobes in range(2, 6):
        outline += rng.normal(0.0, 0.25 / lobes) * np.cos(
            lobes * direction + rng.uniform(0, 6.3)
        )
    return [np.hypot(u, v) <= radius * np.clip(outline, 0.4, 1.7)]


def _spread(radius: float, angle: float, rng: np.random.Generator) -> list[Mask]:
    """A flat cell that holds on to the ground: drawn out, with pointed processes."""
    longer = radius * float(rng.uniform(1.0, 1.8))
    reach = longer * 1.9
    u, v = _turned(reach, angle)
    direction = np.arctan2(v * longer / radius, u)
    outline = np.ones_like(direction)
    for _ in range(int(rng.integers(2, 6))):
        towards, sharpness = rng.uniform(-np.pi, np.pi), rng.uniform(3.0, 14.0)
        lobe = np.exp(sharpness * (np.cos(direction - towards) - 1))
        outline += float(rng.uniform(-0.2, 0.75)) * lobe
    outline = np.clip(outline, 0.5, 1.85)
    return [np.hypot(u / longer, v / radius) <= outline * 0.8]


KINDS: dict[str, Callable[[float, float, np.random.Generator], list[NDArray[np.bool_]]]] = {
    "ellipse": _ellipse,
    "rod": _rod,
    "bent": _bent,
    "budding": _budding,
    "blob": _blob,
    "spread": _spread,
}


def _tissue(side: int, radius: float, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Cells that fill the plane, their borders a little crooked, some left empty."""
    count = max(int((side / (2 * radius)) ** 2), 3)
    seeds = rng.uniform(0, side, (count, 2))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    wobble = ndimage.gaussian_filter(
        rng.standard_normal((2, side, side), dtype=np.float32), (0, radius / 2, radius / 2)
    )
    wobble *= radius * float(rng.uniform(0.0, 0.25)) / max(float(wobble.std()), 1e-6)
    marks = np.full((side, side), 0, np.uint16)
    nearest = np.full((side, side), np.inf, np.float32)
    for number, (cy, cx) in enumerate(seeds, 1):
        distance = (y + wobble[0] - np.float32(cy)) ** 2
        distance += (x + wobble[1] - np.float32(cx)) ** 2
        closer = distance < nearest
        nearest[closer], marks[closer] = distance[closer], number
    empty = 1 + np.flatnonzero(rng.random(count) < rng.uniform(0.0, 0.4))
    marks[np.isin(marks, empty)] = 0
    if rng.random() < 0.5:
        inner = ndimage.minimum_filter(marks, 3) == ndimage.maximum_filter(marks, 3)
        marks *= inner
    return marks


def label_map(
    side: int, rng: np.random.Generator, *, kind: str | None = None
) -> NDArray[np.uint16]:
    """Objects of one kind and about one size on a square, some of them touching.

    Parameters
    ----------
    side
        Of the square, pixels.
    rng
        Random numbers.
    kind
        One of ``KINDS``, or ``"tissue"``; None for a random one.

    Returns
    -------
    ndarray
        ``(side, side)`` ids.
    """
    radius = float(np.exp(rng.uniform(np.log(5.0), np.log(side / 7))))
    names = [*KINDS, "tissue"]
    chosen = (
        kind
        or names[int(rng.choice(len(names), p=(0.13, 0.26, 0.1, 0.12, 0.11, 0.18, 0.1)))]
    )
    if chosen == "tissue":
        return _tissue(side, max(radius, side / 24), rng)
    labels = np.zeros((side, side), np.uint16)
    crowding = float(rng.uniform(0.1, 1.2))
    tries = min(int(crowding * side**2 / (3.5 * radius**2)) + 1, 250)
    aligned, turn = rng.random() < 0.4, float(rng.uniform(0, np.pi))
    number, places = 0, [rng.uniform(0, side, 2)]
    for _ in range(tries):
        angle = turn + rng.normal(0.0, 0.15) if aligned else rng.uniform(0, 2 * np.pi)
        if rng.random() < 0.6:
            # beside an object that is there already, as cells that divide are
            near = places[int(rng.integers(len(places)))]
            centre = near + rng.normal(0.0, 1.0, 2) * radius * 1.6
        else:
            centre = rng.uniform(0, side, 2)
        size = radius * float(np.exp(rng.normal(0.0, 0.2)))
        for mask in KINDS[chosen](size, float(angle), rng):
            if _paint(labels, mask, centre, number + 1):
                number += 1
                places.append(centre)
    return labels


def _paint(
    labels: NDArray[np.uint16], mask: Mask, centre: NDArray[np.float64], number: int
) -> bool:
    """Put an object where nothing is yet, unless too little of it would be seen."""
    y0, x0 = (int(value) - mask.shape[0] // 2 for value in centre)
    rows = slice(max(y0, 0), max(min(y0 + mask.shape[0], labels.shape[0]), 0))
    columns = slice(max(x0, 0), max(min(x0 + mask.shape[1], labels.shape[1]), 0))
    window = labels[rows, columns]
    if not window.size:
        return False
    part = mask[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
    free = part & (window == 0)
    if free.sum() < max(LEAST_SEEN * part.sum(), 9):
        return False
    window[free] = number
    return True
