"""Corrections build on what was there: the clicks of an object, one after another.

SAM was trained on rounds: each further click came with the mask that it corrects
(Kirillov et al. 2023, arXiv:2304.02643, appendix A). Prompts of several clicks are
therefore gone through in their order, and the logits of each step are given to the next.
The answer still depends on nothing but the prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from .prompting import LOGIT_LIMIT

if TYPE_CHECKING:
    from torch import Tensor

    from napari_cellprompt.core.images.tiles import Tile
    from napari_cellprompt.core.types import Prediction, Prompts

__all__ = ["Step", "carried", "says_nothing", "steps_of"]

_OUTSIDE = -10.0
"""Logit beyond the tile of the step before: nothing was found there."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What the prompts up to one click gave."""

    prediction: Prediction
    logits: Tensor
    """``(1, 1, S/4, S/4)`` of the mask offered first, over the prediction's tile."""

    @property
    def nbytes(self) -> int:
        """Bytes of the logits."""
        return self.logits.element_size() * self.logits.nelement()


def steps_of(prompts: Prompts) -> list[Prompts]:
    """The prompts as they grew, click by click; the last are all of them.

    The first step is a box with no click, or all up to the first click on the object.
    A painted mask is what the user wants corrected: it is given anew in a single step.
    """
    if prompts.mask is not None or not prompts.points:
        return [prompts]
    first = 0 if prompts.box is not None else prompts.labels.index(1) + 1
    return [
        replace(prompts, points=prompts.points[:count], labels=prompts.labels[:count])
        for count in range(first, len(prompts.points) + 1)
    ]


def says_nothing(prompts: Prompts, step: Step | None) -> bool:
    """Whether the last click is on background that the step before never looked at."""
    if step is None or not prompts.points or prompts.labels[-1] == 1:
        return False
    return not step.prediction.tile.holds(*prompts.points[-1])


def carried(step: Step, tile: Tile) -> Tensor:
    """The logits of a step as they lie in another tile, ``(1, 1, S/4, S/4)``."""
    logits, source = step.logits, step.prediction.tile
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
