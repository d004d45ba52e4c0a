"""Where an object has ended: what was found on a plane is not it any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .rules import (
    contrast,
    has_faded,
    has_left,
    is_doubted_again,
    reappears,
    stands_out,
)

if TYPE_CHECKING:
    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.types import CroppedMask

    from .passes import Pass
    from .types import PropagationSettings

__all__ = ["Endings", "Verdict"]

_PATCH = 64
"""Side in pixels of the parts of a plane that tell whether there is anything to see ..."""
_PATCHES = 6
"""... and how many of them there are in each direction."""
_SHRUNK = 0.6
"""Share of its area at the start below which an object has shrunk towards its end."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of a mask that was found."""

    gone: bool
    """It is not the object."""
    lost: list[int] | None
    """The object ended before: planes that were taken for it and are given back; may be
    empty. None where it goes on."""
    contrast: float
    """How far it stands out, as a share of what the object does on its anchor."""


class Endings:
    """Judges what was found of objects; remembers how they stood out at their anchors.

    Parameters
    ----------
    stack
        The planes.
    certain
        Probability of being there from which on an object has not faded away.
    """

    def __init__(self, stack: Stack, certain: float) -> None:
        self.stack = stack
        self._certain = certain
        self._contrasts: dict[tuple[int, int], tuple[float, float]] = {}

    def forget(self, object_id: int | None = None, plane: int | None = None) -> None:
        """Drop what is known of an object's anchors; of all without an object."""
        for place in list(self._contrasts):
            if object_id in (None, place[0]) and plane in (None, place[1]):
                del self._contrasts[place]

    def shows_nothing(self, plane: int) -> bool:
        """Whether a plane is of one value: dark, or lost; parts of large ones are read."""
        source = self.stack.plane(plane)
        height, width = source.shape
        lowest, highest = np.inf, -np.inf
        for y in np.linspace(0, max(height - _PATCH, 0), _PATCHES).astype(int):
            for x in np.linspace(0, max(width - _PATCH, 0), _PATCHES).astype(int):
                grey = source.read_grey(
                    y, min(y + _PATCH, height), x, min(x + _PATCH, width)
                )
                lowest, highest = min(lowest, grey.min()), max(highest, grey.max())
                if highest > lowest:
                    return False
        return True

    def judge(
        self,
        plane: int,
        item: Pass,
        mask: CroppedMask,
        presence: float,
        settings: PropagationSettings,
    ) -> Verdict:
        """Whether a mask is the object, and whether the object has ended before."""
        known = [*item.recent[:-1], item.expected]
        share = self._contrast_share(plane, item, mask)
        if has_left(mask, presence, known, settings):
            return Verdict(True, None, share)
        if self._is_doubted_again(plane, item, presence, settings):
            return Verdict(True, None, share)
        gone = presence < self._certain and self._has_faded(item, share, settings)
        gone = gone or self._has_grown_again(item, mask, settings)
        lost = None if gone else self._taken_for_it(plane, item, share, settings)
        return Verdict(gone, lost, share)

    def _is_doubted_again(
        self, plane: int, item: Pass, presence: float, settings: PropagationSettings
    ) -> bool:
        """Whether this frame of a movie and the one before it are doubtful together."""
        before = item.object.planes.get(plane - item.step)
        if not self.stack.is_time or before is None:
            return False
        if before.state not in ("tracked", "absent"):
            return False  # the user vouches for it
        return is_doubted_again(presence, before.object_score, settings.stop_object_score)

    def _taken_for_it(
        self, plane: int, item: Pass, share: float, settings: PropagationSettings
    ) -> list[int] | None:
        """Planes before this one on which the next object along z was taken for this one.

        None where it is still this one.
        """
        ratio = settings.stop_regrowth
        if ratio <= 0 or self.stack.is_time:
            return None
        if not stands_out(*self._contrast_at_anchor(item)):
            return None
        passed = [
            (p, stored.contrast)
            for p in range(item.reach.anchor + item.reach.step, plane, item.reach.step)
            if (stored := item.object.planes.get(p)) is not None and stored.mask is not None
        ]
        shares = [value for _, value in passed]
        kept = reappears(shares, share, ratio)
        return None if kept is None else [p for p, _ in passed[kept:]]

    def _has_grown_again(
        self, item: Pass, mask: CroppedMask, settings: PropagationSettings
    ) -> bool:
        """Whether an object that had shrunk grows: then another one has taken its place."""
        ratio = settings.stop_regrowth
        if ratio <= 0 or self.stack.is_time:
            return False
        step = item.reach.step
        passed = range(item.reach.anchor, item.next, step)
        areas = [
            stored.mask.area
            for p in passed
            if (stored := item.object.planes.get(p)) is not None and stored.mask is not None
        ]
        start, smallest = areas[0], min(areas)
        return smallest < _SHRUNK * start and mask.area > ratio * smallest

    def _contrast_share(self, plane: int, item: Pass, mask: CroppedMask) -> float:
        """How far the object stands out, as a share of what it does on its anchor."""
        start, _ = self._contrast_at_anchor(item)
        now, _ = contrast(self.stack.plane(plane), mask)
        return now / start if start else 1.0

    def _contrast_at_anchor(self, item: Pass) -> tuple[float, float]:
        key = (item.object.id, item.reach.anchor)
        if key not in self._contrasts:
            anchor = self.stack.plane(item.reach.anchor)
            self._contrasts[key] = contrast(anchor, item.anchor_mask.mask())
        return self._contrasts[key]

    def _has_faded(self, item: Pass, share: float, settings: PropagationSettings) -> bool:
        """Whether the object stands out much less than on the plane it was prompted on."""
        if settings.stop_contrast <= 0:
            return False
        start, noise = self._contrast_at_anchor(item)
        if not self.stack.is_time:
            # above and below its focus everything fades, however little it stood out
            noise = 0.0
        return has_faded(share * start, start, noise, settings.stop_contrast)
