"""Where to look for an object, and at which magnification.

The prompts tell where it is and perhaps how large. What is found decides where to look
again: an object cut by the border of its tile moves to a tile that holds it, and a first
click on an object of unknown size is repeated at the level that fits what it found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.images.tiles import (
    DEFAULT_MAGNIFICATION,
    LEVELS,
    TARGET_SHARE,
    choose_magnification,
    next_tile,
    tile_for_box,
    touches_border,
)
from napari_cellprompt.core.inference.extent import extent_of
from napari_cellprompt.core.types import Tile

if TYPE_CHECKING:
    from napari_cellprompt.core.inference.model import Answer
    from napari_cellprompt.core.types import Prompts, Rectangle
    from napari_cellprompt.core.zoo.traits import Traits

__all__ = ["Aim", "Look"]

_MAX_LOOKS = 4
"""An object is predicted at most this often while a tile that holds it is sought."""
_DOUBTFUL = 0.7
"""A first click whose answer is rated below this is asked again on finer levels."""
_FINER = 2
"""On so many of them; a coarser look finds something large and is too sure of it."""
_UNFIT = 0.15
"""What an answer loses for each octave that its size is off the one its level is for."""


@dataclass(slots=True)
class Look:
    """One object on its way to a prediction."""

    prompts: Prompts
    extent: Rectangle
    """The rectangle that the object covers as far as the prompts tell."""
    tile: Tile
    size_known: bool
    earlier: Answer | None = None
    """What the prompts gave before their last click."""
    looks: int = 0
    seen: set[Tile] = field(default_factory=set)
    result: Answer | None = None
    doubts: bool = False
    """Whether finer levels may be tried: a click on an object of unknown size."""
    left: list[Tile] | None = None
    """Finer tiles still to be tried; None before the object has found its place."""
    answers: list[Answer] = field(default_factory=list)
    """What was found so far."""

    @property
    def guided(self) -> bool:
        """Whether a mask is given beside clicks and box."""
        return self.prompts.mask is not None or self.earlier is not None


@dataclass(frozen=True, slots=True)
class Aim:
    """Chooses tiles for a model."""

    image_size: int
    """Side of the model's square input in pixels."""
    traits: Traits
    """Of the model."""

    def first(
        self,
        shape: tuple[int, int],
        prompts: Prompts,
        size_hint: float | None,
        earlier: Answer | None = None,
    ) -> Look:
        """Where to look first.

        Parameters
        ----------
        shape
            Rows and columns of the plane.
        prompts
            Checked: at least one click on the object, a box or a mask.
        size_hint
            Expected longer side in pixels, used where the prompts do not tell.
        earlier
            What the prompts gave before their last click.
        """
        extent = extent_of(prompts)
        before = None if earlier is None else earlier.prediction.best.mask.box
        if before is not None:
            extent = _around(before, extent)
            seen = max(extent[2] - extent[0], extent[3] - extent[1])
            level = self._level(prompts, seen, corrected=True)
            tile = tile_for_box(shape, self.image_size, level, extent)
            return Look(prompts, extent, tile, size_known=True, earlier=earlier)
        size: float | None = max(extent[2] - extent[0], extent[3] - extent[1])
        told = prompts.outlined
        if not told and size_hint is not None:
            size = max(size or 0.0, size_hint)
        elif not told and self._level(prompts, size) >= DEFAULT_MAGNIFICATION:
            # clicks say how large an object is at least: only very distant ones count
            size = None
        tile = tile_for_box(shape, self.image_size, self._level(prompts, size), extent)
        known = told or size_hint is not None
        return Look(
            prompts,
            extent,
            tile,
            size_known=known,
            earlier=earlier,
            doubts=self.traits.tries_finer and not known,
        )

    def _level(
        self, prompts: Prompts, size: float | None, *, corrected: bool = False
    ) -> float:
        """The magnification for an object of this size."""
        share = None
        if not prompts.outlined:
            traits = self.traits
            share = traits.corrected_share if corrected else traits.click_share
        return choose_magnification(size, self.image_size, share=share or TARGET_SHARE)

    def again(self, shape: tuple[int, int], item: Look) -> bool:
        """Move the object to another tile; False when its result is the last one."""
        if item.result is not None:
            item.answers.append(item.result)
        if item.left is None:
            following = self._following(shape, item)
            if following is not None:
                item.tile = following
                return True
            if not self._is_doubtful(item):
                return False
            item.left = self._finer(shape, item)
        if item.left:
            item.tile = item.left.pop(0)
            return True
        best = max(item.answers, key=lambda step: self._rating(shape, step))
        seconds = item.answers[-1].prediction.seconds
        item.result = replace(best, prediction=replace(best.prediction, seconds=seconds))
        return False

    def _following(self, shape: tuple[int, int], item: Look) -> Tile | None:
        """A tile that shows what was found better; None when it has found its place."""
        box = None if item.result is None else item.result.prediction.best.mask.box
        if box is None or item.looks >= _MAX_LOOKS:
            return None
        whole = _around(box, item.extent)
        following: Tile | None = None
        if touches_border(item.tile, box, shape):
            following = next_tile(item.tile, whole, shape, self.image_size)
        elif not item.size_known:
            size = max(whole[2] - whole[0], whole[3] - whole[1])
            level = self._level(item.prompts, size)
            if level != item.tile.magnification:
                following = tile_for_box(shape, self.image_size, level, whole)
        item.size_known = True
        return None if following in item.seen else following

    def _is_doubtful(self, item: Look) -> bool:
        if not item.doubts or item.result is None:
            return False
        found = item.result.prediction
        return found.best.score * found.object_score < _DOUBTFUL

    def _finer(self, shape: tuple[int, int], item: Look) -> list[Tile]:
        """Where else to look for an object; coarser answers do not count any more."""
        here = item.tile.magnification
        item.answers = [a for a in item.answers if a.prediction.magnification >= here]
        tiles = [
            tile_for_box(shape, self.image_size, level, item.extent)
            for level in LEVELS
            if here < level <= here * 2**_FINER
        ]
        return [tile for tile in tiles if tile not in item.seen]

    def _rating(self, shape: tuple[int, int], step: Answer) -> float:
        """How far an answer is believed beside those from other levels."""
        found = step.prediction
        box = found.best.mask.box
        if box is None:
            return 0.0
        if touches_border(found.tile, box, shape):
            return -1.0
        size = max(box[2] - box[0], box[3] - box[1]) * found.tile.magnification
        share = self.traits.click_share or TARGET_SHARE
        octaves = abs(math.log2(size / (share * self.image_size)))
        # levels are an octave apart: nothing fits better than half of one
        fit = math.exp(-_UNFIT * max(octaves - 0.5, 0.0))
        return found.best.score * found.object_score * fit


def _around(one: Rectangle, other: Rectangle) -> Rectangle:
    """The smallest rectangle that holds both; not at whole pixels as boxes of masks are."""
    low = min(one[0], other[0]), min(one[1], other[1])
    return *low, max(one[2], other[2]), max(one[3], other[3])
