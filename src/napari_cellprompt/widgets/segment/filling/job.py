"""Fills one object of a Labels layer in, away from the GUI thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.fill.between import Between
from napari_cellprompt.core.fill.labels import mask_of, places_of
from napari_cellprompt.core.masks.packed import PackedMask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Labels

    from napari_cellprompt.core.types import CroppedMask, Prompts
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.labels.known import LabelPlanes
    from napari_cellprompt.layers.prompting.drawn import Drawing, DrawnObject
    from napari_cellprompt.layers.stacks import LayerStack

__all__ = ["Drawn", "Job"]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A mask on screen that is not accepted yet, and belongs to the object."""

    view: PlaneView
    mask: CroppedMask
    prompts: Prompts
    score: float
    clicks: DrawnObject
    """Its clicks and shapes."""
    before: Drawing | None
    """All that was drawn at that moment."""


@dataclass(slots=True, eq=False)
class Job:
    """One object that is filled in."""

    id: int
    labels: Labels
    ways: Sequence[tuple[LayerStack, LabelPlanes]]
    """The axes along which it may be known on several planes, the likeliest first."""
    drawn: Drawn | None = None
    stack: LayerStack | None = None
    """Along the axis that was taken."""
    masks: dict[int, PackedMask] = field(default_factory=dict)
    """What is to be written, by plane."""
    known: list[int] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def run(self, on_plane: Callable[[int, CroppedMask], None]) -> None:
        """Fill in plane by plane; runs on a thread of its own.

        Parameters
        ----------
        on_plane : callable
            Told each plane and its mask there, without the pixels of others.

        Raises
        ------
        PromptError
            There is nothing to fill in; the message says why.
        """
        stack, planes, known = self._known()
        if self.cancelled.is_set():
            return
        filled = Between(known)
        self.stack, self.known = stack, filled.known
        here = None if self.drawn is None else stack.number_of(self.drawn.view)
        wanted = filled.missing if here is None else sorted({*filled.missing, here})
        if not filled.missing:
            raise PromptError(
                f"Object {self.id} has no empty {stack.axis.plane_word}s between those on "
                "which it is."
            )
        for plane in wanted:
            if self.cancelled.is_set():
                return
            mask = self._free(filled.at(plane), planes, plane)
            if mask.area:
                self.masks[plane] = PackedMask.pack(mask)
                on_plane(plane, mask)

    def _known(self) -> tuple[LayerStack, LabelPlanes, dict[int, CroppedMask]]:
        """The first axis with two planes on which it is known, and its masks there."""
        most = 0
        for stack, planes in self.ways:
            places = places_of(planes, {self.id}, self.cancelled.is_set).get(self.id, {})
            known = {z: mask_of(planes[z], self.id, at) for z, at in places.items()}
            here = None if self.drawn is None else stack.number_of(self.drawn.view)
            if self.drawn is not None and here is not None:
                known[here] = self.drawn.mask
            if len(known) > 1 or self.cancelled.is_set():
                return stack, planes, known
            most = max(most, len(known))
        if not most:
            raise PromptError(
                f"There is no object {self.id} in '{self.labels.name}': paint or accept "
                "one, or select its number in the layer."
            )
        raise PromptError(
            f"Object {self.id} is on one plane only: paint it on another one, or click on "
            "it there, and press V again."
        )

    def _free(self, mask: CroppedMask, planes: LabelPlanes, plane: int) -> CroppedMask:
        """The pixels of a mask that are empty, or the object's own."""
        box = mask.box
        if box is None or not plane < len(planes):
            return mask
        rows, columns = mask.data.shape
        y0, x0 = mask.origin
        there = planes[plane][y0 : y0 + rows, x0 : x0 + columns]
        return replace(mask, data=mask.data & ((there <= 0) | (there == self.id)))

    def cancel(self) -> None:
        """End within a plane."""
        self.cancelled.set()

    @property
    def message(self) -> str:
        """What was filled in, for the user."""
        if self.stack is None or not self.masks:
            return f"Object {self.id}: other objects have all pixels between."
        word, number = self.stack.axis.plane_word, len(set(self.masks) - set(self.known))
        return (
            f"Object {self.id}: {number} {word}{'s' if number != 1 else ''} filled in "
            f"between {self.known[0]} and {self.known[-1]}. A accepts, Q discards."
        )
