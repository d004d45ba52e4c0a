"""Clicks as SAM takes them: strokes become some, and each knows what was there before.

SAM was trained on rounds: each further click came with the logits of the mask that it
corrects (Kirillov et al. 2023, arXiv:2304.02643, appendix A).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from .decoding import LOGIT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_cellprompt.core.inference.model import Answer
    from napari_cellprompt.core.types import Prompts, Tile

__all__ = ["carried", "clicks_along", "clicks_of", "near_click"]

_APART = 4.0
"""Pixels between the clicks that stand for a stroke, at least."""
_MOST = 8
"""Clicks that stand for one stroke, at most: SAM was trained on about so many."""

_REACH = 2
"""Low-resolution pixels around a click in which a change belongs to it."""
_OUTSIDE = -10.0
"""Logit beyond the tile of the step before: nothing was found there."""


def clicks_of(
    prompts: Prompts, shape: tuple[int, int]
) -> Iterator[tuple[float, float, int]]:
    """All clicks of an object as ``x, y, label``, those that stand for strokes first.

    SAM has no input for strokes. Of a stroke, what lies outside the plane of ``shape`` is
    left out.
    """
    height, width = shape
    for path, label in prompts.strokes:
        for x, y in clicks_along(path):
            if -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5:
                yield x, y, label
    for (x, y), label in zip(prompts.points, prompts.labels, strict=True):
        yield x, y, label


def clicks_along(path: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places along a line: in the middles of equal parts of it, one for a point.

    The parts are at least 4 pixels long, and at most 8 of them: the ends of a line, which
    may touch the object's border, are not clicked.

    Parameters
    ----------
    path
        ``(x, y)`` of its corners, in pixels.
    """
    corners = np.asarray(path, dtype=np.float64)
    steps = np.hypot(*np.diff(corners, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = int(min(max(along[-1] // _APART, 1), _MOST))
    wanted = (np.arange(count) + 0.5) * (along[-1] / count)
    x, y = (np.interp(wanted, along, corners[:, axis]) for axis in (0, 1))
    return list(zip(x.tolist(), y.tolist(), strict=True))


def carried(step: Answer, tile: Tile) -> Tensor:
    """The logits of an earlier answer as they lie in another tile, ``(1, 1, s, s)``."""
    logits: Tensor = step.state
    source = step.prediction.tile
    if source != tile:
        side = logits.shape[-1]
        cells = (torch.arange(side, dtype=torch.float32) + 0.5) * (tile.size / side)
        x = (cells + (tile.x0 - source.x0)) * (2 / source.size) - 1
        y = (cells + (tile.y0 - source.y0)) * (2 / source.size) - 1
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)[None]
        # what is sampled is 0 beyond the source: shift so that 0 means "nothing there"
        shifted = F.grid_sample(
            logits - _OUTSIDE, grid.to(logits.device), align_corners=False
        )
        logits = shifted + _OUTSIDE
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def near_click(masks: Tensor, before: Tensor, click: tuple[float, float]) -> Tensor:
    """Masks that differ from the one before only where the click asked for it.

    A small network redraws the whole object at each click, often worse. Of what changes,
    only the connected parts that reach the click are taken; all of it where none does.

    Parameters
    ----------
    masks
        ``(N, s, s)`` logits after the click.
    before
        ``(1, 1, s, s)`` logits of the mask that it corrects.
    click
        x, y in pixels of ``masks``.
    """
    from scipy.ndimage import label

    was = before[0, 0] > 0
    if not was.any():
        return masks
    x, y = round(click[0]), round(click[1])
    window = np.s_[max(y - _REACH, 0) : y + _REACH + 1, max(x - _REACH, 0) : x + _REACH + 1]
    kept = []
    for mask in masks:
        changed = ((mask > 0) != was).cpu().numpy()
        parts, _ = label(changed, structure=np.ones((3, 3)))
        wanted = np.unique(parts[window])
        wanted = wanted[wanted > 0]
        if len(wanted):
            other = torch.from_numpy(changed & ~np.isin(parts, wanted)).to(mask.device)
            mask = torch.where(other, before[0, 0], mask)
        kept.append(mask)
    return torch.stack(kept)
