"""Which object of two blocks that overlap stays, and the ids of all that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .files import Found
    from .plan import Block

__all__ = ["Meeting", "choose", "meetings"]

Meeting = tuple[int, int, int]
"""An id of one block, one of the other, and the number of pixels that they share."""


def meetings(
    first: Block, labels: NDArray[Any], second: Block, others: NDArray[Any]
) -> list[Meeting]:
    """What the objects of two overlapping blocks of one plane share.

    Parameters
    ----------
    first, second
        The blocks.
    labels, others
        Their labels ``(h, w)``, margins included.
    """
    y0, x0 = max(first.outer[0], second.outer[0]), max(first.outer[1], second.outer[1])
    y1, x1 = min(first.outer[2], second.outer[2]), min(first.outer[3], second.outer[3])
    if y0 >= y1 or x0 >= x1:
        return []
    one, two = (
        part[
            y0 - block.outer[0] : y1 - block.outer[0],
            x0 - block.outer[1] : x1 - block.outer[1],
        ]
        for block, part in ((first, labels), (second, others))
    )
    both = (one > 0) & (two > 0)
    codes = one[both].astype(np.int64) << 32 | two[both].astype(np.int64)
    pairs, counts = np.unique(codes, return_counts=True)
    return [
        (int(code >> 32), int(code & 0xFFFFFFFF), int(count))
        for code, count in zip(pairs, counts, strict=True)
    ]


def choose(
    blocks: Sequence[Block],
    tables: Mapping[int, Found],
    shared: Mapping[tuple[int, int], Sequence[Meeting]],
    max_overlap: float,
) -> dict[int, NDArray[np.uint32]]:
    """Decide what stays, the best first, and number it.

    Before all others come objects whose middle lies in the core of their own block, then
    those that their block shows whole, then the better ones. What shares more than a part
    of its pixels with one of another block that stays is the same object, and goes. So
    does what is cut by its block and belongs to another one. The outcome depends on the
    image and the plan alone, not on the order in which blocks were ready.

    Parameters
    ----------
    blocks
        All blocks of an image.
    tables
        Their objects, by the number of the block.
    shared
        What the objects of two blocks share, by the numbers of the blocks.
    max_overlap
        Part of the smaller object from which on two are one.

    Returns
    -------
    dict
        For each block ``(N + 1,)``: the final id of each of its ids, 0 for what goes. Ids
        count up from 1 through the blocks, without gaps.
    """
    partners = _partners(shared)
    stays: dict[int, NDArray[np.bool_]] = {}
    disputed = []
    for block in blocks:
        table = tables[block.number]
        own = _in_core(block, table.middle)
        stays[block.number] = own & ~_of(block.number, partners, len(own))
        for row in np.flatnonzero(~stays[block.number]).tolist():
            if own[row] or not table.cut[row]:
                rank = (not own[row], bool(table.cut[row]), -float(table.quality[row]))
                disputed.append((rank, block.number, int(row)))
    for _, number, row in sorted(disputed):
        area = int(tables[number].area[row])
        stays[number][row] = not any(
            stays[other][there]
            and pixels > max_overlap * min(area, int(tables[other].area[there]))
            for other, there, pixels in partners.get((number, row), ())
        )
    ids: dict[int, NDArray[np.uint32]] = {}
    following = 1
    for block in blocks:
        kept = stays[block.number]
        final = np.zeros(len(kept) + 1, np.uint32)
        final[1:][kept] = np.arange(following, following + int(kept.sum()))
        following += int(kept.sum())
        ids[block.number] = final
    return ids


def _partners(
    shared: Mapping[tuple[int, int], Sequence[Meeting]],
) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """For an object, by block and row: block, row and shared pixels of each it meets."""
    partners: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for (first, second), items in shared.items():
        for one, two, pixels in items:
            partners.setdefault((first, one - 1), []).append((second, two - 1, pixels))
            partners.setdefault((second, two - 1), []).append((first, one - 1, pixels))
    return partners


def _in_core(block: Block, middle: NDArray[np.float64]) -> NDArray[np.bool_]:
    y0, x0, y1, x1 = block.core
    inside: NDArray[np.bool_] = (
        (middle[:, 0] >= y0)
        & (middle[:, 0] < y1)
        & (middle[:, 1] >= x0)
        & (middle[:, 1] < x1)
    )
    return inside


def _of(
    number: int, partners: Mapping[tuple[int, int], object], count: int
) -> NDArray[np.bool_]:
    """Which objects of a block meet one of another."""
    return np.array([(number, row) in partners for row in range(count)], bool)
