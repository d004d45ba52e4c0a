"""Cuts a random square out of a plane at a random scale and varies its looks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from looks import render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data import Plane

__all__ = ["Crop", "cut", "jitter_looks", "repaint", "to_network"]

MEAN = np.array((0.485, 0.456, 0.406), dtype=np.float32)
STD = np.array((0.229, 0.224, 0.225), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A square of a plane as the network will see it."""

    image: NDArray[np.uint8]
    """``(S, S)`` or ``(S, S, 3)``."""
    labels: NDArray[np.uint16]
    """``(h, w)`` at the plane's own resolution, over the same square."""
    chosen: int
    """Id of the object that the square was cut for."""


def cut(plane: Plane, size: int, rng: np.random.Generator) -> Crop:
    """Cut a square in which one random object spans a random number of input pixels.

    The part of the square outside of the plane is filled with zeros. Width and height
    are stretched a little differently; the square is flipped and turned at random.
    """
    position = int(rng.integers(len(plane.ids)))
    x0, y0, x1, y1 = plane.boxes[position]
    extent = max(x1 - x0, y1 - y0)
    # The pyramid shows most objects 50 to 150 pixels wide, and larger ones to a click.
    if rng.random() < 0.65:
        span = float(np.exp(rng.normal(np.log(85.0), 0.45)))
    else:
        span = float(np.exp(rng.uniform(np.log(14.0), np.log(300.0))))
    span = min(max(span, 14.0), 0.85 * size)
    # more than x8 shows nothing that x8 does not; the pyramid ends at a quarter
    magnification = min(max(span / extent, 0.3), 8.0)
    stretch = float(np.exp(rng.normal(0.0, 0.08)))
    width = max(round(size / magnification * stretch), 8)
    height = max(round(size / magnification / stretch), 8)
    left = _start(x0, x1, width, rng)
    top = _start(y0, y1, height, rng)
    image = _window(plane.image, top, left, height, width)
    labels = _window(plane.labels, top, left, height, width)
    resized = np.asarray(
        Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    )
    turns = int(rng.integers(4))
    resized, labels = np.rot90(resized, turns), np.rot90(labels, turns)
    if rng.random() < 0.5:
        resized, labels = resized[:, ::-1], labels[:, ::-1]
    return Crop(
        np.ascontiguousarray(resized),
        np.ascontiguousarray(labels),
        int(plane.ids[position]),
    )


def repaint(crop: Crop, size: int, rng: np.random.Generator) -> Crop:
    """Another image of the same objects, of a kind of microscopy that is made up."""
    side = min(max(crop.labels.shape), size)
    small = Image.fromarray(crop.labels).resize((side, side), Image.Resampling.NEAREST)
    image = Image.fromarray(render(np.asarray(small), rng))
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return replace(crop, image=resized)


def _start(low: int, high: int, length: int, rng: np.random.Generator) -> int:
    """A start such that the window holds the object wherever possible."""
    slack = length - (high - low)
    if slack <= 0:
        return round((low + high - length) / 2)
    return int(low) - int(rng.integers(slack + 1))


def _window(
    array: NDArray[np.generic], top: int, left: int, height: int, width: int
) -> NDArray[np.generic]:
    """A rectangle of an array, zeros where it overhangs."""
    out = np.zeros((height, width, *array.shape[2:]), array.dtype)
    y0, y1 = max(top, 0), min(top + height, array.shape[0])
    x0, x1 = max(left, 0), min(left + width, array.shape[1])
    if y1 > y0 and x1 > x0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return out


def jitter_looks(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary contrast, polarity, sharpness, noise and colour.

    Returns
    -------
    ndarray
        ``(S, S, 3)`` float32, 0 to 1.
    """
    colour = image.ndim == 3
    if rng.random() < 0.2:
        radius = float(rng.uniform(0.3, 1.6))
        image = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))
    value = image.astype(np.float32) * (1 / 255)
    if colour and rng.random() < 0.2:
        value, colour = value.mean(axis=2), False
    # limits that a user might have set: some saturation, some headroom
    low = float(rng.normal(0.0, 0.06))
    high = 1.0 + float(rng.normal(0.0, 0.15))
    if rng.random() < 0.15:
        high *= float(rng.uniform(1.2, 3.0))
    value = np.clip((value - low) / max(high - low, 0.2), 0.0, 1.0)
    if rng.random() < 0.6:
        value = value ** np.float32(np.exp(rng.normal(0.0, 0.35)))
    if rng.random() < (0.05 if colour else 0.1):
        value = 1.0 - value
    if colour:
        value = value * rng.normal(1.0, 0.08, 3).astype(np.float32)
        value = value + rng.normal(0.0, 0.03, 3).astype(np.float32)
        if rng.random() < 0.15:
            value = value[..., rng.permutation(3)]
    else:
        value = np.repeat(value[..., None], 3, axis=2)
    if rng.random() < 0.4:
        noise = rng.standard_normal(value.shape[:2], dtype=np.float32)
        value = value + noise[..., None] * float(rng.uniform(0.005, 0.07))
    return np.clip(value, 0.0, 1.0, dtype=np.float32)


def to_network(value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalise ``(S, S, 3)``, 0 to 1, and put channels first."""
    return np.ascontiguousarray(((value - MEAN) / STD).transpose(2, 0, 1), dtype=np.float32)
