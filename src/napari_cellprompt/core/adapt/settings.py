"""How a model is adapted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["LEAST_OBJECTS", "PARTS", "SECONDS", "AdaptSettings", "Parts"]

Parts = Literal["decoder", "all"]

LEAST_OBJECTS = 6
"""Three to learn from and three to decide by."""
SECONDS = 60.0
"""Time that a run may take, where nothing else is said."""
PARTS: Parts = "decoder"
"""What learns, where nothing else is said."""


def _kinds() -> dict[str, float]:
    return {
        "click": 0.34,
        "box": 0.24,
        "follow": 0.12,
        "fix": 0.14,
        "mask": 0.06,
        "nothing": 0.04,
        "dense": 0.06,
    }


def _losses() -> dict[str, float]:
    return {"entropy": 1.0, "dice": 1.0, "iou": 0.3, "presence": 0.15, "dense": 0.3}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptSettings:
    """How long, what, and by which rule the result is offered.

    ``benchmarks/adapt.py --choose`` measures rates, parts and shares on validation images.
    Ten objects of one image teach its look, and with it what only this image has: what was
    learnt is therefore mixed with what the model knew before.
    """

    seconds: float = SECONDS
    """Wall time, measuring before and after included; less where ``steps`` end first."""
    steps: int | None = None
    """At most; None: two a second. The rate falls over them, or over the time where that
    is further. Where the steps are always ahead of the time, ``seed`` alone decides what
    comes out, on one processor."""
    seed: int = 0
    parts: Parts = PARTS
    """``decoder``: what comes behind the encoder, scores included; ``all``: everything.
    Statistics of batch norms stay as they are."""
    batch: int = 8
    rate: float = 2e-4
    warm_up_steps: int = 5
    share: float = 0.3
    """How far the weights go from those of before to those that were learnt, 0 to 1."""
    weight_decay: float = 0.02
    clip_norm: float = 3.0
    corrected_share: float = 0.35
    """Of the steps with one round of corrective clicks."""
    kinds: Mapping[str, float] = field(default_factory=_kinds)
    """Shares of the kinds of prompt."""
    losses: Mapping[str, float] = field(default_factory=_losses)
    held_out_share: float = 0.2
    held_out_least: int = 3
    held_out_most: int = 40
    """Objects that are never trained on and decide whether the model is better."""
    needed_iou: float = 0.85
    """What corrections are to reach."""
    most_clicks: int = 6
    """After which an object counts as not reached."""
    margin: float = 0.02
    """By which the mean IoU of clicks and boxes has to rise where as many corrections are
    needed as before."""
    tolerance: float = 0.01
    """By which the mean IoU may fall where fewer corrections are needed."""
    seconds_between_checks: float = 90.0
    """A long run is measured on the way, and its best state is kept."""
    seconds_between_checkpoints: float = 60.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ValueError(f"seconds must be above 0: got {self.seconds}.")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1: got {self.steps}.")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1: got {self.share}.")
        if self.parts not in ("decoder", "all"):
            raise ValueError(f"parts must be decoder or all: got {self.parts}.")

    @property
    def most_steps(self) -> int:
        """After which a run ends."""
        return max(round(2 * self.seconds), 1) if self.steps is None else self.steps
