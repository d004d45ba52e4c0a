"""One object between two planes."""

import numpy as np
import pytest

from napari_cellprompt.core.fill.gap import Gap
from napari_cellprompt.core.types import CroppedMask

SHAPE = (80, 100)


def disc(y: float, x: float, radius: float, shape=SHAPE) -> CroppedMask:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return CroppedMask((rows - y) ** 2 + (columns - x) ** 2 <= radius**2, (0, 0), shape)


def both(*masks: CroppedMask) -> CroppedMask:
    return CroppedMask(np.any([m.to_plane() for m in masks], axis=0), (0, 0), SHAPE)


def iou(one: CroppedMask, other: CroppedMask) -> float:
    a, b = one.to_plane(), other.to_plane()
    return float((a & b).sum() / (a | b).sum())


def at(first: CroppedMask, second: CroppedMask, place: float) -> CroppedMask:
    area = first.area + place * (second.area - first.area)
    return Gap.between(first, second).at(place, area)


@pytest.mark.parametrize("place", [0.25, 0.5, 0.75])
def test_an_object_that_moves_is_carried_along(place):
    first, second = disc(20, 15, 8), disc(60, 80, 8)
    assert not (first.to_plane() & second.to_plane()).any()
    expected = disc(20 + 40 * place, 15 + 65 * place, 8)
    assert iou(at(first, second, place), expected) > 0.9


def test_an_object_that_grows_has_the_area_that_is_asked_for():
    first, second = disc(40, 50, 6), disc(40, 50, 18)
    half = Gap.between(first, second).at(0.5, disc(40, 50, 12).area)
    assert iou(half, disc(40, 50, 12)) > 0.93
    assert half.area == pytest.approx(disc(40, 50, 12).area, rel=0.05)


def test_the_ends_are_the_masks_themselves():
    first, second = disc(30, 30, 9), both(disc(33, 40, 7), disc(50, 60, 9))
    gap = Gap.between(first, second)
    assert iou(gap.at(0.0, first.area), first) == 1.0
    assert iou(gap.at(1.0, second.area), second) == 1.0


def test_a_hole_stays_open():
    ring = disc(40, 50, 16).to_plane() & ~disc(40, 50, 8).to_plane()
    first = CroppedMask(ring, (0, 0), SHAPE)
    second = CroppedMask(np.roll(ring, 10, axis=1), (0, 0), SHAPE)
    half = at(first, second, 0.5).to_plane()
    assert not half[40, 55] and half[40, 55 + 12] and half[40, 55 - 12]


def test_one_part_becomes_two():
    first, second = disc(40, 50, 12), both(disc(40, 42, 8), disc(40, 60, 8))
    half = at(first, second, 0.5)
    assert half.area == pytest.approx((first.area + second.area) / 2, rel=0.05)
    assert iou(half, first) > 0.6
    assert iou(half, second) > 0.6


def test_what_leaves_the_plane_is_cut_off():
    first, second = disc(10, 10, 9), disc(10, -2, 9)
    half = at(first, second, 0.5)
    assert half.area > 0
    y0, x0 = half.origin
    assert y0 >= 0 and x0 >= 0
    assert half.to_plane().shape == SHAPE


def test_masks_cut_to_their_object_and_whole_planes_give_the_same():
    first, second = disc(30, 30, 9), disc(45, 50, 6)
    cut = []
    for mask in (first, second):
        box = mask.box
        cut.append(
            CroppedMask(
                mask.data[box.y0 : box.y1, box.x0 : box.x1], (box.y0, box.x0), SHAPE
            )
        )
    np.testing.assert_array_equal(
        at(first, second, 0.3).to_plane(), at(*cut, 0.3).to_plane()
    )


def test_a_large_object_is_filled_in_coarsely_but_in_the_right_place():
    shape = (1800, 1900)
    first, second = disc(850, 900, 600, shape), disc(900, 960, 660, shape)
    half = at(first, second, 0.5)
    assert iou(half, disc(875, 930, 630, shape)) > 0.97


def test_an_empty_mask_is_refused():
    empty = CroppedMask(np.zeros(SHAPE, bool), (0, 0), SHAPE)
    with pytest.raises(ValueError, match="both planes"):
        Gap.between(empty, disc(30, 30, 9))
