from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.tiles import (
    LEVELS,
    choose_magnification,
    next_tile,
    read_tile,
    tile_for_box,
    tile_grid,
    touches_border,
)
from napari_cellprompt.core.types import CroppedMask, Tile

SIDES = st.integers(1, 5000)
SHAPES = st.tuples(SIDES, SIDES)
SIZES = st.sampled_from([256, 512, 1024])
LEVEL = st.sampled_from(LEVELS)
FRACTION = st.floats(0, 1)


@given(st.floats(0.1, 1e5), SIZES)
def test_objects_span_an_eighth_to_a_third(size: float, imgsz: int) -> None:
    level = choose_magnification(size, imgsz)
    share = size * level / imgsz
    if level not in (LEVELS[0], LEVELS[-1]):
        assert 1 / 8 <= share <= 1 / 3
    elif level == LEVELS[0]:
        assert share <= 1 / 3
    else:
        assert share >= 1 / 8


def test_unknown_sizes_are_magnified_twice() -> None:
    assert choose_magnification(None, 512) == 2
    assert choose_magnification(12, 512) == 4


@given(SHAPES, SIZES, LEVEL, FRACTION, FRACTION, FRACTION, FRACTION)
def test_small_boxes_lie_well_inside_their_tile(
    shape: tuple[int, int],
    imgsz: int,
    level: float,
    x: float,
    y: float,
    width: float,
    height: float,
) -> None:
    size = imgsz / level
    w, h = min(width * size / 3, shape[1]), min(height * size / 3, shape[0])
    x0, y0 = x * (shape[1] - w), y * (shape[0] - h)
    box = (x0, y0, x0 + w, y0 + h)
    tile = tile_for_box(shape, imgsz, level, box)
    assert tile in tile_grid(shape, imgsz, level)
    left, top, right, bottom = tile.box
    # One pixel of leeway: starts of tiles are whole pixels.
    margin = tile.size / 12 - 1
    assert left == 0 or box[0] - left >= margin
    assert top == 0 or box[1] - top >= margin
    assert right >= shape[1] or right - box[2] >= margin
    assert bottom >= shape[0] or bottom - box[3] >= margin


@given(SHAPES, SIZES, LEVEL)
def test_grids_cover_the_image_and_overlap_by_half(
    shape: tuple[int, int], imgsz: int, level: float
) -> None:
    grid = tile_grid(shape, imgsz, level)
    assert grid == tile_grid(shape, imgsz, level)
    assert len(set(grid)) == len(grid)
    for length, starts in (
        (shape[0], sorted({tile.y0 for tile in grid})),
        (shape[1], sorted({tile.x0 for tile in grid})),
    ):
        size = round(imgsz / level)
        assert starts[0] == 0
        assert starts[-1] + size == max(length, size)
        assert all(b - a <= size // 2 for a, b in itertools.pairwise(starts))


def test_an_image_smaller_than_a_tile_has_one() -> None:
    assert tile_grid((300, 512), 512, 1) == [Tile(1, 0, 0, 512)]


@given(LEVEL, SIDES, SIDES, st.floats(-100, 5000), st.floats(-100, 5000))
def test_coordinates_round_trip(level: float, y0: int, x0: int, x: float, y: float) -> None:
    tile = Tile(level, y0, x0, round(512 / level))
    there = tile.to_tile([[x, y]])
    # The side of a tile, half a pixel beside the centre of its first pixel, stays there.
    np.testing.assert_allclose(tile.to_tile((x0 - 0.5, y0 - 0.5)), [-0.5, -0.5])
    np.testing.assert_allclose(tile.from_tile(there), [[x, y]], atol=1e-9)


TILE = Tile(1.0, 100, 200, 512)


@pytest.mark.parametrize(
    ("box", "touches"),
    [
        ((300, 200, 400, 300), False),
        ((200, 200, 400, 300), True),
        ((300, 100, 400, 300), True),
        ((300, 200, 712, 300), True),
        ((300, 200, 400, 612), True),
        ((202, 102, 710, 610), False),
        (None, False),
    ],
    ids=["inside", "left", "top", "right", "bottom", "large", "nothing"],
)
def test_touching_the_border(box: tuple[int, int, int, int] | None, touches: bool) -> None:
    assert touches_border(TILE, box, (2000, 2000)) is touches


def test_sides_of_the_image_are_no_border() -> None:
    whole = Tile(1.0, 0, 0, 512)
    assert not touches_border(whole, (0, 0, 512, 512), (512, 512))
    assert not touches_border(whole, (0, 0, 300, 200), (300, 300))
    assert touches_border(whole, (0, 0, 512, 512), (512, 513))


def test_masks_touch_like_their_boxes() -> None:
    mask = CroppedMask(np.ones((10, 10), bool), (100, 300), (2000, 2000))
    assert touches_border(TILE, mask, (2000, 2000))
    empty = CroppedMask(np.zeros((10, 10), bool), (100, 300), (2000, 2000))
    assert not touches_border(TILE, empty, (2000, 2000))


def test_a_cut_object_moves_beside_first() -> None:
    # Seen in the tile 0..512, it goes on beyond 512.
    tile = Tile(1.0, 0, 0, 512)
    following = next_tile(tile, (440, 200, 512, 260), (2000, 2000), 512)
    assert following == Tile(1.0, 0, 256, 512)


def test_an_object_as_large_as_its_tile_moves_to_a_coarser_level() -> None:
    tile = Tile(2.0, 512, 512, 256)
    following = next_tile(tile, (512, 512, 768, 768), (2000, 2000), 512)
    assert following is not None
    assert following.magnification < 2


def test_nothing_is_coarser_than_the_coarsest() -> None:
    tile = Tile(0.25, 0, 0, 2048)
    assert next_tile(tile, (0, 0, 2048, 2048), (9000, 9000), 512) is None


@given(SHAPES, SIZES, LEVEL, FRACTION, FRACTION, FRACTION, FRACTION, FRACTION, FRACTION)
def test_the_search_for_a_tile_comes_to_an_end(
    shape: tuple[int, int],
    imgsz: int,
    level: float,
    x: float,
    y: float,
    width: float,
    height: float,
    click_x: float,
    click_y: float,
) -> None:
    w, h = max(2, width * shape[1]), max(2, height * shape[0])
    assume(w <= shape[1] and h <= shape[0])
    x0, y0 = x * (shape[1] - w), y * (shape[0] - h)
    whole = (x0, y0, x0 + w, y0 + h)
    click = (x0 + click_x * (w - 1), y0 + click_y * (h - 1))
    tile: Tile | None = tile_for_box(shape, imgsz, level, (*click, *click))
    for _ in range(2 * len(LEVELS) + 1):
        assert tile is not None
        left, top, right, bottom = tile.box
        seen = (
            max(whole[0], left),
            max(whole[1], top),
            min(whole[2], right),
            min(whole[3], bottom),
        )
        if not touches_border(tile, seen, shape):
            assert seen == whole
            return
        tile = next_tile(tile, seen, shape, imgsz)
        if tile is None:
            # Only what no tile can hold at all ends without one.
            assert max(w, h) >= imgsz / LEVELS[-1] / 3
            return
    pytest.fail("still looking")


def test_tiles_are_read_resampled_and_padded() -> None:
    image = np.zeros((40, 100), np.uint8)
    image[10:20, 30:50] = 200
    plane = PlaneSource.from_image(image)
    tile = Tile(2.0, 0, 0, 128)
    seen = read_tile(plane, tile, 256)
    assert seen.flags.writeable  # torch warns of arrays that are not
    assert seen.shape == (256, 256, 3)
    assert seen.dtype == np.uint8
    assert seen.flags.c_contiguous
    assert (seen[22:38, 62:98] == 200).all()
    assert (seen[82:] == 0).all()
    assert (seen[:, 202:] == 0).all()
    # Where an object lies in the tile is where its coordinates say.
    rows, columns = np.nonzero(seen[:, :, 0] > 100)
    centre = (columns.mean(), rows.mean())
    assert centre == pytest.approx(tuple(tile.to_tile((39.5, 14.5))))


def test_tiles_are_averaged_when_they_get_smaller() -> None:
    checks = np.indices((2048, 2048)).sum(axis=0) % 2 * np.uint8(255)
    plane = PlaneSource.from_image(checks.astype(np.uint8))
    seen = read_tile(plane, Tile(0.25, 0, 0, 2048), 512)
    assert abs(seen[4:-4, 4:-4].astype(int) - 127).max() <= 2


def test_tiles_of_rgb_keep_their_colours() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 1] = 90
    seen = read_tile(PlaneSource.from_image(image), Tile(4.0, 0, 0, 64), 256)
    assert seen.reshape(-1, 3).max(axis=0).tolist() == [0, 90, 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 600), (600, 1)])
@pytest.mark.parametrize("level", LEVELS)
def test_thin_images(shape: tuple[int, int], level: float) -> None:
    plane = PlaneSource.from_image(np.full(shape, 50, np.uint8))
    tile = tile_for_box(shape, 256, level, (0, 0, 1, 1))
    assert read_tile(plane, tile, 256).shape == (256, 256, 3)
