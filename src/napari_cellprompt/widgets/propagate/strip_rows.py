"""What the confidence strip shows of one object, and in which colours and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtGui import QColor

if TYPE_CHECKING:
    from napari_cellprompt.core.propagate.types import PlaneConfidence

__all__ = ["StripRow", "row_text", "shade"]

# Okabe and Ito's colours, which people with any kind of colour vision tell apart:
# vermillion, yellow, blue. Bars are also as high as the value, for prints in grey.
_STOPS = ((0.0, (213, 94, 0)), (0.6, (240, 228, 66)), (1.0, (0, 114, 178)))


@dataclass(frozen=True, slots=True)
class StripRow:
    """What is known of one object."""

    id: int
    planes: Mapping[int, PlaneConfidence] = field(default_factory=dict)
    """By plane; planes that were not looked at are missing."""


def shade(value: float) -> QColor:
    """Colour of a value of 0 (vermillion) to 1 (blue)."""
    value = min(max(value, 0.0), 1.0)
    for (low, first), (high, second) in pairwise(_STOPS):
        if value <= high:
            share = (value - low) / (high - low)
            mixed = (a + share * (b - a) for a, b in zip(first, second, strict=True))
            return QColor(*(round(part) for part in mixed))
    return QColor(*_STOPS[-1][1])


_STATES = {
    "prompted": "from your prompts",
    "locked": "accepted by you",
    "tracked": "found by following the object",
    "ended": "the object ends here",
    "absent": "the object is not here",
}


def row_text(row: StripRow, plane: int, axis: str = "plane") -> str:
    """What is known of one object on one plane, for a tool tip."""
    known = row.planes.get(plane)
    head = f"Object {row.id}, {axis} {plane}: "
    if known is None:
        return head + "not looked at yet."
    text = head + _STATES[known.state] + "."
    if known.state == "absent":
        return text
    ratio = 2**known.area_jump
    return (
        f"{text}\nPredicted IoU {known.iou:.2f}, present {known.object_score:.2f}, "
        f"area changes {ratio:.1f}-fold to the neighbour."
    )
