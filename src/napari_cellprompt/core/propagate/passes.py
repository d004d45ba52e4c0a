"""One object on its way through a stack, in one direction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .motion import shifted

if TYPE_CHECKING:
    from napari_cellprompt.core.inference.sam.tracking import ObjectMemory
    from napari_cellprompt.core.masks.packed import PackedMask
    from napari_cellprompt.core.types import CroppedMask

    from .objects import Reach, TrackedObject
    from .views import ViewOfPlane

__all__ = ["Pass"]


@dataclass(slots=True)
class Pass:
    """One object on its way from an anchor in one direction."""

    object: TrackedObject
    reach: Reach
    next: int
    """The plane to be tracked next."""
    view: ViewOfPlane
    memory: ObjectMemory | None = None
    """Of ``view``; None when it has to be made from the masks of planes done."""
    recent: list[CroppedMask] = field(default_factory=list)
    """Masks of the last planes on which the object was, the nearest last."""
    failed: int = 0
    """Planes in a row on which the object was not found."""
    moved: tuple[int, int] = (0, 0)
    """Rows and columns by which it is expected elsewhere on the next plane."""

    @property
    def anchor_mask(self) -> PackedMask:
        """The mask that it is followed from."""
        stored = self.object.planes[self.reach.anchor].mask
        if stored is None:
            raise RuntimeError("an anchor has no mask")
        return stored

    @property
    def expected(self) -> CroppedMask:
        """Its last mask, where it should be on the next plane."""
        return shifted(self.recent[-1], self.moved)

    @property
    def is_done(self) -> bool:
        """Whether the last plane is behind it."""
        return (self.next - self.reach.last) * self.reach.step > 0

    @property
    def remaining(self) -> int:
        """Planes still to be tracked, unless the object ends before."""
        return max(0, (self.reach.last - self.next) * self.reach.step + 1)
