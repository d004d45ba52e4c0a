"""Turns, shifts and bends crops: between planes of a made-up stack, and for variety."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Warp", "apply", "random_motion", "random_turn"]


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """Where each pixel of the result comes from: an affine map, then a smooth field."""

    angle: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    """Down and across; above 1 the content grows."""
    shift: tuple[float, float] = (0.0, 0.0)
    """Pixels by which the content moves down and right."""
    bend: NDArray[np.float32] | None = None
    """``(2, k, k)`` pixels, interpolated over the result."""


def random_turn(rng: np.random.Generator, size: int) -> Warp:
    """Any angle, a little stretch and bend; for single images."""
    stretch = float(np.exp(rng.normal(0.0, 0.1)))
    bend = None
    if rng.random() < 0.5:
        bend = rng.normal(0.0, 0.02 * size, (2, 4, 4)).astype(np.float32)
    return Warp(float(rng.uniform(-np.pi, np.pi)), (stretch, 1 / stretch), bend=bend)


def random_motion(rng: np.random.Generator, extent: float, strength: float) -> Warp:
    """What happens to an object of ``extent`` pixels from one plane to the next."""
    shift = rng.normal(0.0, 0.13 * strength, 2) * extent
    if rng.random() < 0.15:
        # something that moves on by a good part of its size
        shift = rng.normal(0.0, 0.3 * strength, 2) * extent
    bend = rng.normal(0.0, 0.05 * strength * extent, (2, 5, 5)).astype(np.float32)
    scale = np.exp(rng.normal(0.0, 0.07 * strength, 2) + rng.normal(0.0, 0.05 * strength))
    return Warp(
        float(rng.normal(0.0, 0.12 * strength)),
        (float(scale[0]), float(scale[1])),
        (float(shift[0]), float(shift[1])),
        bend,
    )


def _grid(warp: Warp, source: int, size: int, centre: tuple[float, float]) -> torch.Tensor:
    """Sampling places ``(size, size, 2)`` for `grid_sample`, x and y in -1 to 1."""
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    y = axis[:, None] - warp.shift[0] - np.float32(centre[0])
    x = axis[None] - warp.shift[1] - np.float32(centre[1])
    y, x = np.broadcast_arrays(y, x)
    cosine, sine = np.float32(np.cos(warp.angle)), np.float32(np.sin(warp.angle))
    down = (y * cosine + x * sine) / np.float32(warp.scale[0]) + np.float32(centre[0])
    across = (x * cosine - y * sine) / np.float32(warp.scale[1]) + np.float32(centre[1])
    grid = torch.from_numpy(np.stack([across, down], axis=-1).astype(np.float32))
    if warp.bend is not None:
        field = F.interpolate(
            torch.from_numpy(warp.bend)[None],
            (size, size),
            mode="bicubic",
            align_corners=True,
        )[0]
        grid = grid + field.permute(1, 2, 0)
    return grid * (2 / source)


def apply(
    warp: Warp,
    arrays: NDArray[np.float32],
    size: int,
    *,
    ids: NDArray[np.integer] | None = None,
    centre: tuple[float, float] = (0.0, 0.0),
) -> tuple[NDArray[np.float32], NDArray[np.int32] | None]:
    """Sample the middle of arrays anew.

    Parameters
    ----------
    warp
        The change.
    arrays
        ``(C, s, s)``, interpolated; s at least ``size``.
    size
        Of the result.
    ids
        ``(s, s)``, taken from the nearest pixel.
    centre
        What turns and grows in place, pixels down and right of the middle.

    Returns
    -------
    ndarray
        ``(C, size, size)``; zeros where nothing was.
    ndarray or None
        ``(size, size)`` ids.
    """
    grid = _grid(warp, arrays.shape[-1], size, centre)[None]
    out = F.grid_sample(torch.from_numpy(arrays)[None], grid, align_corners=False)
    moved = None
    if ids is not None:
        plane = torch.from_numpy(ids.astype(np.float32))[None, None]
        nearest = F.grid_sample(plane, grid, mode="nearest", align_corners=False)
        moved = nearest[0, 0].numpy().astype(np.int32)
    return out[0].numpy(), moved
