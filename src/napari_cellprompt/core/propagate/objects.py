"""What is known of one object that is followed through a stack; no network.

Planes that the user vouched for (prompted or locked) are anchors: every other plane is
reached from the nearest of them. Planes on which the user said that the object is not
are barriers: nothing is followed through them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cellprompt.core.masks.packed import PackedMask
    from napari_cellprompt.core.types import Box, Prompts

    from .types import Direction, State

__all__ = ["Reach", "StoredPlane", "TrackedObject"]


@dataclass(frozen=True, slots=True)
class StoredPlane:
    """One object on one plane, as it is kept."""

    mask: PackedMask | None
    """None where the object is not."""
    iou: float
    object_score: float
    state: State
    parts: int
    step: int = 0
    """+1 or -1: how the plane was reached; 0 where the user vouched for it."""
    contrast: float = 1.0
    """How far the object stands out, as a share of what it does on its anchor."""
    failed: int = 0
    """Planes in a row, up to this one, that count against the object."""
    prompts: Prompts | None = None
    """What the mask of a prompted plane was made from."""
    prior: PackedMask | None = None
    """The tracked mask that a correction started from."""
    before: StoredPlane | None = None
    """What a locked or cleared plane was before."""

    @property
    def box(self) -> Box | None:
        """Of the mask, ``x0, y0, x1, y1``; None without one."""
        return None if self.mask is None else self.mask.box

    @property
    def is_anchor(self) -> bool:
        """Whether propagation may start here."""
        return self.state in ("prompted", "locked") and self.mask is not None

    @property
    def is_barrier(self) -> bool:
        """Whether the user said that the object is not here."""
        return self.state == "absent" and self.step == 0


@dataclass(frozen=True, slots=True)
class Reach:
    """The planes that are reached from one anchor in one direction, in this order."""

    anchor: int
    step: int
    """+1 or -1."""
    last: int
    """The farthest plane."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.anchor + self.step, self.last + self.step, self.step))


@dataclass(slots=True)
class TrackedObject:
    """Planes of one object, and which of them have to be tracked (again)."""

    id: int
    planes: dict[int, StoredPlane] = field(default_factory=dict)
    stale: set[int] = field(default_factory=set)
    """Planes whose mask a correction has made obsolete; kept until there is a new one."""

    def copy(self) -> TrackedObject:
        """The same knowledge, apart from later changes."""
        return TrackedObject(self.id, dict(self.planes), set(self.stale))

    @property
    def anchors(self) -> list[int]:
        """Planes from which propagation starts, in order."""
        return sorted(p for p, stored in self.planes.items() if stored.is_anchor)

    def vouch(self, plane: int, stored: StoredPlane) -> None:
        """Make a plane what the user says; planes that depended on it become stale.

        These are the ones up to the next anchor or barrier on either side.
        """
        low, high = self._gap(plane)
        self.planes[plane] = stored
        self.stale.discard(plane)
        self.stale |= {p for p in self.planes if low < p < high and p != plane}
        self._forget_unreachable(low, high)

    def lock(self, plane: int) -> None:
        """Vouch for a plane as it is; its neighbours stay valid."""
        stored = self.planes[plane]
        if stored.state != "locked":
            self.planes[plane] = replace(stored, state="locked", step=0, before=stored)
        self.stale.discard(plane)

    def unlock(self, plane: int) -> None:
        """Make a locked or cleared plane what it was before."""
        stored = self.planes[plane]
        if stored.is_barrier:
            low, high = self._gap(plane)
            if stored.before is None:
                del self.planes[plane]
            else:
                self.planes[plane] = stored.before
            if stored.before is None or not stored.before.is_anchor:
                self.stale |= {p for p in self.planes if low < p < high}
            self._forget_unreachable(low, high)
        elif stored.before is not None and (
            # else nothing would be left that the other planes could have come from
            stored.before.is_anchor or len(self.anchors) > 1
        ):
            self.planes[plane] = stored.before

    def reaches(self, direction: Direction, length: int) -> list[Reach]:
        """Which planes are reached from which anchor.

        Between two anchors each plane belongs to the nearer one, the lower one on a
        tie; if only one direction is wanted, to the one on that side.

        Parameters
        ----------
        direction
            Along the axis.
        length
            Number of planes of the stack.
        """
        found = []
        fixed = sorted(p for p, s in self.planes.items() if s.is_anchor or s.is_barrier)
        for number, plane in enumerate(fixed):
            if not self.planes[plane].is_anchor:
                continue
            below = fixed[number - 1] if number else None
            above = fixed[number + 1] if number + 1 < len(fixed) else None
            if direction != "backward":
                last = length - 1 if above is None else above - 1
                if above is not None and direction == "both" and self._anchors(above):
                    last = (plane + above) // 2
                if last > plane:
                    found.append(Reach(plane, 1, last))
            if direction != "forward":
                last = 0 if below is None else below + 1
                if below is not None and direction == "both" and self._anchors(below):
                    last = (below + plane) // 2 + 1
                if last < plane:
                    found.append(Reach(plane, -1, last))
        return found

    def pending(self, reach: Reach) -> int | None:
        """The first plane that has still to be tracked; None when all are done."""
        for plane in reach:
            stored = self.planes.get(plane)
            if stored is None or plane in self.stale:
                return plane
            if stored.state == "ended":
                return None
        return None

    def track(self, plane: int, stored: StoredPlane) -> None:
        """Keep what propagation found on a plane."""
        self.planes[plane] = stored
        self.stale.discard(plane)

    def forget_beyond(self, plane: int, reach: Reach) -> list[int]:
        """Drop what was known of the planes after the one on which the object ended."""
        gone = [p for p in reach if (p - plane) * reach.step > 0 and p in self.planes]
        for p in gone:
            del self.planes[p]
            self.stale.discard(p)
        return gone

    def _anchors(self, plane: int) -> bool:
        return self.planes[plane].is_anchor

    def _gap(self, plane: int) -> tuple[int, int]:
        """The next anchors or barriers on either side of a plane."""
        fixed = sorted(
            p
            for p, s in self.planes.items()
            if (s.is_anchor or s.is_barrier) and p != plane
        )
        place = bisect_left(fixed, plane)
        low = fixed[place - 1] if place else -1
        high = fixed[place] if place < len(fixed) else max(self.planes, default=0) + 1
        return low, max(high, plane + 1)

    def _forget_unreachable(self, low: int, high: int) -> None:
        reached = {p for reach in self.reaches("both", high) for p in reach}
        for plane in [p for p in self.stale if low < p < high and p not in reached]:
            del self.planes[plane]
            self.stale.discard(plane)
