"""One object on its way through a stack, in one direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.masks.crop import shifted

if TYPE_CHECKING:
    from napari_cellprompt.core.masks.packed import PackedMask
    from napari_cellprompt.core.types import CroppedMask

    from .objects import Reach, TrackedObject

__all__ = ["Pass"]


@dataclass(slots=True)
class Pass:
    """One object on its way from an anchor in one direction.

    A follower sees it as a ``Track`` of :mod:`~napari_cellprompt.core.inference.following`.
    """

    object: TrackedObject
    reach: Reach
    next: int
    """The plane to be tracked next."""
    recent: list[CroppedMask]
    """Masks of the last planes on which the object was, the nearest last."""
    last_plane: int
    """The nearest plane on which the object was."""
    state: Any = field(default=None, repr=False)
    """The follower's own."""
    failed: int = 0
    """Planes in a row on which the object was not found."""
    moved: tuple[float, float] = (0.0, 0.0)
    """Rows and columns by which it is expected elsewhere on the next plane."""

    @property
    def id(self) -> int:
        """Of the object."""
        return self.object.id

    @property
    def anchor(self) -> int:
        """The plane that it is followed from."""
        return self.reach.anchor

    @property
    def step(self) -> int:
        """+1 or -1."""
        return self.reach.step

    @property
    def anchors(self) -> list[int]:
        """All planes that the user vouched for, in order."""
        return self.object.anchors

    @property
    def beyond(self) -> int | None:
        """The anchor on the other side, towards which it is followed; None without one."""
        others = [p for p in self.object.anchors if (p - self.anchor) * self.step > 0]
        return min(others, key=lambda plane: abs(plane - self.anchor), default=None)

    @property
    def anchor_mask(self) -> PackedMask:
        """The mask that it is followed from."""
        stored = self.object.planes[self.reach.anchor].mask
        if stored is None:
            raise RuntimeError("an anchor has no mask")
        return stored

    @property
    def last(self) -> CroppedMask:
        """Its mask on ``last_plane``."""
        return self.recent[-1]

    @property
    def expected(self) -> CroppedMask:
        """Its last mask, where it should be on the next plane."""
        return shifted(self.recent[-1], self.moved)

    def mask_on(self, plane: int) -> CroppedMask | None:
        """The mask of a plane; None where there is none."""
        stored = self.object.planes.get(plane)
        return None if stored is None or stored.mask is None else stored.mask.mask()

    @property
    def is_done(self) -> bool:
        """Whether the last plane is behind it."""
        return (self.next - self.reach.last) * self.reach.step > 0

    @property
    def remaining(self) -> int:
        """Planes still to be tracked, unless the object ends before."""
        return max(0, (self.reach.last - self.next) * self.reach.step + 1)
