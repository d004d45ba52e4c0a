"""How a plane is cut into overlapping blocks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

__all__ = ["Block", "margin_for", "neighbours", "plan_blocks"]

_LEAST_MARGIN = 64
_SIZES = 3
"""A margin in sizes of an object: the whole object and what is around it."""


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of one plane, and the larger one that is looked at."""

    number: int
    """In the order of positions, rows and columns, from 0."""
    position: tuple[int, ...]
    """Along the axes T and Z."""
    row: int
    column: int
    core: tuple[int, int, int, int]
    """``y0, x0, y1, x1`` (the last two exclusive) that only this block draws."""
    outer: tuple[int, int, int, int]
    """The core and a margin, within the plane."""

    @property
    def name(self) -> str:
        """For files."""
        place = "_".join(map(str, (*self.position, self.row, self.column)))
        return f"block_{place}"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns that are looked at."""
        y0, x0, y1, x1 = self.outer
        return y1 - y0, x1 - x0


def margin_for(size: float, side: int) -> int:
    """By how many pixels blocks overlap, for objects of a size; less than half a side."""
    return min(max(_LEAST_MARGIN, round(_SIZES * size)), side // 2 - 1)


def plan_blocks(shape: tuple[int, ...], side: int, margin: int) -> list[Block]:
    """Blocks of all planes of an image, in array order.

    Parameters
    ----------
    shape
        Of the result: T and Z where there are any, rows, columns.
    side
        Rows and columns of a core; those at the end are smaller.
    margin
        How far a block looks beyond its core; smaller than ``side``.
    """
    *outer, height, width = shape
    blocks: list[Block] = []
    for position in itertools.product(*(range(length) for length in outer)):
        for row, y0 in enumerate(range(0, height, side)):
            for column, x0 in enumerate(range(0, width, side)):
                y1, x1 = min(y0 + side, height), min(x0 + side, width)
                around = (
                    max(y0 - margin, 0),
                    max(x0 - margin, 0),
                    min(y1 + margin, height),
                    min(x1 + margin, width),
                )
                core = (y0, x0, y1, x1)
                blocks.append(Block(len(blocks), position, row, column, core, around))
    return blocks


def neighbours(blocks: list[Block]) -> list[tuple[Block, Block]]:
    """Pairs of blocks of one plane that touch, also at a corner; the earlier one first."""
    places = {(block.position, block.row, block.column): block for block in blocks}
    pairs = []
    for block in blocks:
        for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
            place = (block.position, block.row + down, block.column + right)
            if place in places:
                pairs.append((block, places[place]))
    return pairs
