"""What differs from model to model and is no network: data beside its registry entry."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CROP_WISE", "DRAWN_PROMPTS", "Traits"]


@dataclass(frozen=True, slots=True)
class Traits:
    """How the answers of a model are asked for and used.

    The defaults are those of SAM and SAM 2 as they were published.
    """

    ambiguous: bool = True
    """Whether a single click has three answers (whole, part, part of a part); otherwise
    the one answer comes first."""
    click_share: float | None = None
    """Share of its tile at which an object is found best from clicks (measured by
    ``benchmarks/levels.py``); None: as from a box."""
    corrected_share: float | None = None
    """The same where clicks correct a mask (``benchmarks/quality.py``: 0.09 to 0.18 differ
    by 0.02 for the model that has it)."""
    tries_finer: bool = False
    """Whether doubtful answers to a first click are asked for again on finer levels."""
    rounds: bool = False
    """Whether outlines are drawn towards ellipses where the predicted IoU is low."""
    corrects_locally: bool = False
    """Whether a corrective click changes only what it is about."""
    adapts: bool = False
    """Whether it can learn from accepted objects."""
    refines_by_box: bool = True
    """Whether automatic mode asks once more with the box of what a click found."""
    lean: float = 0.0
    """Share of the mask of the plane before in each next one, while an object is followed
    (``benchmarks/propagation.py``)."""
    look: float = 0.0
    """Weight of the grey values in each next mask, in logits
    (``benchmarks/propagation.py``)."""
    certain: float = 1.01
    """Probability of being there from which on a followed object is not taken to have ended
    because it has faded; above 1: always asked."""
    best_of_three: bool = True
    """Whether the best of three masks is taken for a single click on a followed frame."""


DRAWN_PROMPTS = Traits(
    ambiguous=False,
    click_share=0.09,
    corrected_share=0.13,
    tries_finer=True,
    rounds=True,
    corrects_locally=True,
    refines_by_box=False,
    lean=0.8,
    look=1.0,
    best_of_three=False,
)
"""Of small models that take their prompts as a drawing, such as the bundled SAM 2."""

CROP_WISE = Traits(
    ambiguous=False,
    refines_by_box=False,
    best_of_three=False,
    certain=0.7,
    adapts=True,
)
"""Of models that look at a crop zoomed to one object: one answer, made for it."""
