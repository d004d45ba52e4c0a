from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.brightness import disks

from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.tasks.blocks.files import Found, Workspace
from napari_cellprompt.tasks.blocks.plan import Block, margin_for, neighbours, plan_blocks
from napari_cellprompt.tasks.blocks.seams import choose, meetings
from napari_cellprompt.tasks.blocks.steps import _middles


def test_blocks_cover_a_plane_once() -> None:
    blocks = plan_blocks((2, 300, 200), 128, 20)
    seen = np.zeros((2, 300, 200), int)
    for block in blocks:
        y0, x0, y1, x1 = block.core
        seen[block.position][y0:y1, x0:x1] += 1
        assert block.outer[0] == max(0, y0 - 20)
        assert block.outer[3] == min(200, x1 + 20)
    assert (seen == 1).all()
    assert [block.number for block in blocks] == list(range(12))
    # within a plane: 3 x 2 blocks have 7 edges and 4 diagonals
    assert len(neighbours(blocks)) == 2 * 11
    assert margin_for(5, 2048) == 64
    assert margin_for(100, 2048) == 300
    assert margin_for(5000, 2048) == 1023


def seen_in(block: Block, truth: np.ndarray) -> tuple[np.ndarray, Found]:
    """What a faultless search sees of a block; its ids count from 1."""
    y0, x0, y1, x1 = block.outer
    part = truth[y0:y1, x0:x1]
    ids, labels = np.unique(part, return_inverse=True)
    labels = labels.reshape(part.shape)
    count = len(ids) - 1
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return labels, Found(
        quality=np.full(count, 0.5, np.float32),
        middle=_middles(labels, count, (y0, x0)),
        area=np.bincount(labels.ravel(), minlength=count + 1)[1:],
        cut=np.isin(np.arange(1, count + 1), edge),
    )


def stitched(truth: np.ndarray, side: int, margin: int) -> np.ndarray:
    blocks = plan_blocks(truth.shape, side, margin)
    labels, tables = {}, {}
    for block in blocks:
        labels[block.number], tables[block.number] = seen_in(block, truth)
    shared = {
        (one.number, two.number): meetings(one, labels[one.number], two, labels[two.number])
        for one, two in neighbours(blocks)
    }
    ids = choose(blocks, tables, shared, 0.4)
    drawn = np.zeros(truth.shape, np.uint32)
    for block in blocks:
        y0, x0, y1, x1 = block.outer
        final = ids[block.number][labels[block.number]]
        here = drawn[y0:y1, x0:x1]
        np.copyto(here, final, where=here == 0)
    return drawn


def test_every_object_is_there_once_wherever_blocks_meet() -> None:
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[15:300:22, 15:290:22]
    grid = np.stack((rows, columns), -1).reshape(-1, 2)
    shifted = grid + rng.integers(-1, 2, grid.shape)
    _, truth = disks((310, 300), [(int(y), int(x)) for y, x in shifted], 9)
    for side, margin in ((64, 30), (128, 40), (192, 64)):
        drawn = stitched(truth, side, margin)
        assert len(np.unique(drawn)) == len(np.unique(truth))
        assert drawn.max() == len(np.unique(truth)) - 1
        assert average_precision(drawn, truth)[1] == 1.0


def test_two_different_opinions_of_one_object() -> None:
    """Each block finds the middle on its own side of the seam, or on the other's."""
    left, right = plan_blocks((64, 128), 64, 20)
    area = np.array([100])
    for columns, wanted in (((62.0, 66.0), 1), ((66.0, 62.0), 1)):
        tables = {
            block.number: Found(
                np.array([0.5 + block.number / 10], np.float32),
                np.array([[30.0, x]]),
                area,
                np.array([False]),
            )
            for block, x in zip((left, right), columns, strict=True)
        }
        ids = choose([left, right], tables, {(0, 1): [(1, 1, 90)]}, 0.4)
        kept = [int(ids[number][1]) for number in (0, 1)]
        # the better one, which is the right block's
        assert sorted(kept) == [0, wanted]
        assert kept[1] == 1
    # little is shared: they are two, and what a block shows in part only is no object
    ids = choose([left, right], tables, {(0, 1): [(1, 1, 10)]}, 0.4)
    assert [int(ids[number][1]) for number in (0, 1)] == [1, 2]
    tables[0] = Found(np.array([0.9]), np.array([[30.0, 66.0]]), area, np.array([True]))
    ids = choose([left, right], tables, {(0, 1): [(1, 1, 10)]}, 0.4)
    assert [int(ids[number][1]) for number in (0, 1)] == [0, 1]


def test_files_of_blocks(tmp_path: Path) -> None:
    (block, *_) = plan_blocks((1, 64, 128), 64, 20)
    space = Workspace(tmp_path)
    labels, found = seen_in(block, disks((64, 128), [(20, 20)], 9)[1])
    space.save_found(block, labels, found)
    np.testing.assert_array_equal(space.labels(block), labels)
    np.testing.assert_array_equal(space.table(block).middle, [[20, 20]])
