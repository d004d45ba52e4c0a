"""One object in one crop: image, outlines and looks, before any prompt is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_cellprompt.core.inference.crops import Crop, image_planes, read

from .warps import Warp, apply

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .planes import Plane

    Floats = NDArray[np.float32]

__all__ = ["Look", "View", "dense_target", "look_at", "random_look", "warped"]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What is in a crop of S x S pixels."""

    image: Floats
    """``(3, S, S)``."""
    cover: Floats
    """``(S, S)``, the share of each pixel that the object covers."""
    ids: NDArray[np.int32]
    """``(S, S)`` of all objects."""
    whole: float
    """Area of the whole object in pixels of the crop."""


def look_at(plane: Plane, number: int, crop: Crop) -> View:
    """Cut a crop for an object; ``cover`` is empty where the plane does not hold it."""
    image = image_planes(plane.image, crop)
    row = plane.row(number)
    size = crop.size
    cover, whole = np.zeros((size, size), np.float32), 0.0
    if row is not None:
        x0, y0, x1, y1 = plane.boxes[row]
        mask = plane.labels[y0:y1, x0:x1] == number
        cover = read(mask, crop, (y0, x0))
        whole = float(plane.areas[row]) / crop.step**2
    return View(image, cover, _ids(plane.labels, crop), whole)


def _ids(labels: NDArray[np.uint16], crop: Crop) -> NDArray[np.int32]:
    """The id at the middle of each pixel of the crop, 0 outside of the plane."""
    steps = (np.arange(crop.size) + 0.5) * crop.step
    rows = np.floor(crop.y0 + steps).astype(np.intp)
    columns = np.floor(crop.x0 + steps).astype(np.intp)
    good_rows = (rows >= 0) & (rows < labels.shape[0])
    good_columns = (columns >= 0) & (columns < labels.shape[1])
    ids = np.zeros((crop.size, crop.size), np.int32)
    ids[np.ix_(good_rows, good_columns)] = labels[
        np.ix_(rows[good_rows], columns[good_columns])
    ]
    return ids


def warped(
    view: View, warp: Warp, size: int, centre: tuple[float, float] = (0.0, 0.0)
) -> View:
    """The middle of a view, turned and bent."""
    stack = np.concatenate([view.image, view.cover[None]])
    moved, ids = apply(warp, stack, size, ids=view.ids, centre=centre)
    if ids is None:
        raise ValueError("ids were given and must come back")
    grown = warp.scale[0] * warp.scale[1]
    return View(moved[:3], moved[3], ids, view.whole * grown)


def dense_target(ids: NDArray[np.int32]) -> Floats:
    """Foreground, boundary and relative distance to the boundary, ``(3, S, S)``."""
    edge = np.zeros(ids.shape, dtype=bool)
    below, right = ids[1:] != ids[:-1], ids[:, 1:] != ids[:, :-1]
    edge[1:] |= below
    edge[:-1] |= below
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    inside = ids > 0
    edge &= inside
    depth = ndimage.distance_transform_edt(inside & ~edge) + edge * 0.5
    top = np.ones(int(ids.max()) + 1)
    np.maximum.at(top, ids.ravel(), depth.ravel())
    relative = depth / top[ids]
    return np.stack([inside, edge, np.where(inside, relative, 0)]).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How contrast, polarity, colour, sharpness and noise differ from the data."""

    low: float = 0.0
    high: float = 1.0
    gamma: float = 1.0
    inverted: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    order: tuple[int, int, int] = (0, 1, 2)
    blur: float = 0.0
    noise: float = 0.0

    def apply(self, image: Floats, rng: np.random.Generator) -> Floats:
        """Change ``(3, S, S)``; pixels outside of the plane, exactly 0, stay."""
        outside = image == 0
        value = image[list(self.order)] if self.order != (0, 1, 2) else image
        if self.blur > 0:
            value = ndimage.gaussian_filter(value, (0, self.blur, self.blur))
        value = (value - self.low) / (self.high - self.low)
        if self.gamma != 1.0:
            value = np.sign(value) * np.abs(value) ** np.float32(self.gamma)
        if self.inverted:
            value = 1 - value
        value = value * np.array(self.gain, np.float32)[:, None, None]
        if self.noise > 0:
            grain = rng.standard_normal(value.shape[1:], dtype=np.float32)
            if rng.random() < 0.5:
                # grain of the camera's pixels, larger than the network's
                grain = 1.8 * ndimage.gaussian_filter(grain, 0.7)
            value = value + grain * self.noise
        value = np.clip(value, -0.3, 1.6)
        return np.where(outside, 0, value).astype(np.float32)

    def varied(self, rng: np.random.Generator) -> Look:
        """The look of another plane of the same stack."""
        return Look(
            self.low + float(rng.normal(0, 0.03)),
            self.high * float(np.exp(rng.normal(0, 0.08))),
            self.gamma,
            self.inverted,
            self.gain,
            self.order,
            max(self.blur + float(rng.normal(0, 0.25)), 0.0)
            if rng.random() < 0.4
            else self.blur,
            self.noise,
        )


def random_look(rng: np.random.Generator, colour: bool) -> Look:
    """A look; about one in six leaves the image as it is."""
    if rng.random() < 0.15:
        return Look()
    low, high = float(rng.normal(0.0, 0.06)), 1.0 + float(rng.normal(0.0, 0.15))
    if rng.random() < 0.12:
        high *= float(rng.uniform(1.2, 2.5))
    gain, order = (1.0, 1.0, 1.0), (0, 1, 2)
    if colour:
        drawn = rng.normal(1.0, 0.08, 3)
        gain = (float(drawn[0]), float(drawn[1]), float(drawn[2]))
        if rng.random() < 0.15:
            shuffled = rng.permutation(3)
            order = (int(shuffled[0]), int(shuffled[1]), int(shuffled[2]))
    return Look(
        low,
        max(high, low + 0.3),
        float(np.exp(rng.normal(0.0, 0.3))) if rng.random() < 0.6 else 1.0,
        bool(rng.random() < (0.05 if colour else 0.12)),
        gain,
        order,
        float(rng.uniform(0.4, 2.0)) if rng.random() < 0.2 else 0.0,
        float(rng.uniform(0.005, 0.08)) if rng.random() < 0.4 else 0.0,
    )
