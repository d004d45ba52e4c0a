from __future__ import annotations

import numpy as np

from napari_cellprompt.core.types import Box, CroppedMask


def test_boxes_are_tuples_that_know_their_sides() -> None:
    box = Box(2, 3, 10, 7)
    assert box == (2, 3, 10, 7)
    assert (box.width, box.height, box.side) == (8, 4, 8)
    assert box.union(Box(0, 5, 3, 9)) == Box(0, 3, 10, 9)
    assert box.meets(Box(9, 6, 20, 20))
    assert not box.meets(Box(10, 3, 12, 7)), "the end is exclusive"
    assert not box.meets(Box(2, 7, 10, 8))


def test_masks_have_a_side() -> None:
    data = np.zeros((6, 9), bool)
    assert CroppedMask(data, (0, 0), (20, 20)).side == 0
    data[2:4, 1:8] = True
    mask = CroppedMask(data, (5, 6), (20, 20))
    assert mask.box == Box(7, 7, 14, 9)
    assert mask.side == 7
