"""Corrections build on what was there: the clicks of an object, one after another.

Models are trained on rounds: each further click comes with the answer that it corrects
(Kirillov et al. 2023, arXiv:2304.02643, appendix A). Prompts of several clicks are
therefore gone through in their order, and each answer is given to the next question.
The last answer still depends on nothing but the prompts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_cellprompt.core.inference.model import Answer
    from napari_cellprompt.core.types import Prompts

__all__ = ["says_nothing", "steps_of"]


def steps_of(prompts: Prompts) -> list[Prompts]:
    """The prompts as they grew, click by click; the last are all of them.

    The first step is a box or a stroke on the object with no click, or all up to the
    first click on the object. Strokes are part of every step. A painted mask is what the
    user wants corrected: it is given anew in a single step.
    """
    if prompts.mask is not None or not prompts.points:
        return [prompts]
    begun = prompts.box is not None or any(sign for _, sign in prompts.strokes)
    first = 0 if begun else prompts.labels.index(1) + 1
    return [
        replace(prompts, points=prompts.points[:count], labels=prompts.labels[:count])
        for count in range(first, len(prompts.points) + 1)
    ]


def says_nothing(prompts: Prompts, answer: Answer | None) -> bool:
    """Whether the last click is on background that the answer before never looked at."""
    if answer is None or not prompts.points or prompts.labels[-1] == 1:
        return False
    return not answer.prediction.tile.holds(*prompts.points[-1])
