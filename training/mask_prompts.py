"""Simulates mask prompts: a rough outline, or what was found on the plane before.

A painted mask to be corrected and the mask of a neighbouring plane look alike: about the
right shape at about the right place. Both reach the network as logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from napari_cellprompt.core.inference.sam.decoding import mask_to_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Cover = NDArray[np.float32]

__all__ = ["disturbed", "mask_prompt", "moved_to_nothing"]

SOFT_SHARE = 0.35
"""Share of prompts that look like logits of an earlier prediction, not like a mask."""
FARTHEST_CARE = 0.15
"""Shift of a disturbed mask in sizes of the object."""


def mask_prompt(cover: Cover, rng: np.random.Generator) -> NDArray[np.float32]:
    """Logits ``(n, n)`` of a mask given as the covered share ``(n, n)`` of each cell.

    A hard mask becomes what the package makes of one; a soft one is blurred, and its
    logits are stretched and shifted as a network's are.
    """
    if rng.random() >= SOFT_SHARE:
        hard = torch.from_numpy(np.clip(cover, 0, 1))[None, None]
        logits: NDArray[np.float32] = mask_to_logits(hard, len(cover))[0, 0].numpy()
        return logits
    blurred = ndimage.gaussian_filter(cover, float(rng.uniform(0.4, 2.0)))
    share = np.clip(blurred, 1e-4, 1 - 1e-4)
    soft = np.log(share / (1 - share)) * rng.uniform(0.6, 2.0) + rng.normal(0.0, 0.7)
    soft = np.clip(soft, -rng.uniform(8, 24), rng.uniform(5, 14))
    return np.asarray(soft, dtype=np.float32)


def disturbed(
    cover: Cover, rng: np.random.Generator, *, strength: float = 1.0
) -> NDArray[np.float32]:
    """Shift, turn, scale, bend, grow or shrink a mask as one of a neighbouring plane.

    Parameters
    ----------
    cover
        ``(n, n)``, the share of each cell that the object covers.
    rng
        Random numbers.
    strength
        Of all changes; 0 for none.
    """
    rows, columns = np.nonzero(cover > 0.3)
    if not len(rows):
        return cover
    side = len(cover)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    middle = np.array((rows.mean(), columns.mean()))
    care = FARTHEST_CARE * strength
    shift = rng.uniform(-care, care, 2) * (height, width)
    scale = np.exp(rng.uniform(-0.22, 0.22, 2) * strength)
    angle = rng.normal(0.0, 0.12) * strength
    y, x = np.mgrid[:side, :side].astype(np.float32)
    y, x = y - middle[0] - shift[0], x - middle[1] - shift[1]
    turned_y = (y * np.cos(angle) + x * np.sin(angle)) / scale[0]
    turned_x = (x * np.cos(angle) - y * np.sin(angle)) / scale[1]
    extent = float(max(height, width))
    for coordinate in (turned_y, turned_x):
        coarse = rng.normal(0.0, 0.08 * strength, (5, 5)) * extent
        bend = ndimage.zoom(coarse, side / 5, order=1)[:side, :side]
        coordinate += np.pad(bend, ((0, side - len(bend)), (0, side - bend.shape[1])))
    changed = ndimage.map_coordinates(
        cover, (turned_y + middle[0], turned_x + middle[1]), order=1
    )
    if min(height, width) > 6 and rng.random() < 0.3 * strength:
        change = ndimage.grey_erosion if rng.random() < 0.5 else ndimage.grey_dilation
        changed = change(changed, size=(3, 3))
    return np.asarray(changed, dtype=np.float32)


def moved_to_nothing(
    cover: Cover, occupied: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32] | None:
    """The same mask where no object is; None where there is no room.

    Parameters
    ----------
    cover
        ``(n, n)``, the share of each cell that the object covers.
    occupied
        ``(n, n)``, cells that belong to any object.
    rng
        Random numbers.
    """
    side, inside = len(cover), cover > 0.3
    rows, columns = np.nonzero(inside)
    if not len(rows):
        return None
    for _ in range(8):
        down = int(rng.integers(-rows.min(), side - rows.max()))
        right = int(rng.integers(-columns.min(), side - columns.max()))
        hit = occupied[rows + down, columns + right].mean()
        if hit < 0.05:
            moved: NDArray[np.float32] = np.roll(cover, (down, right), axis=(0, 1))
            return moved
    return None
