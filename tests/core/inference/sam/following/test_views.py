"""Where an object that is followed is looked at."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.sam.following.views import (
    FieldView,
    choose_view,
    follow,
    from_view,
    is_cut,
    to_view,
)
from napari_cellprompt.core.propagate.rules import overlap
from napari_cellprompt.core.types import Box, CroppedMask, Tile

SHAPE = (100, 120)


def block(y0: int, x0: int, y1: int, x1: int) -> CroppedMask:
    return CroppedMask(np.ones((y1 - y0, x1 - x0), bool), (y0, x0), SHAPE)


@pytest.mark.parametrize(
    "view",
    [Tile(2.0, 20, 30, 64), Tile(1.0, 0, 0, 128), FieldView(*SHAPE)],
    ids=["magnified", "beyond the plane", "field"],
)
def test_masks_go_into_a_view_and_back(view) -> None:
    mask = block(30, 50, 60, 80)
    shown = to_view(mask, view, 128)
    assert shown.shape == (1, 1, 128, 128)
    small = shown[0].unfold(1, 4, 4).unfold(2, 4, 4).mean((3, 4)) * 20 - 10
    back = from_view(small, view, SHAPE, 0.5)
    assert overlap(back.mask, mask) > 0.9
    assert abs(back.mask.area - 900) < 120


def test_a_mask_beyond_the_view_is_cut() -> None:
    shown = to_view(block(0, 0, 40, 40), Tile(2.0, 20, 30, 64), 128)
    assert shown.sum() == 4 * 20 * 10
    assert to_view(block(90, 90, 95, 95), Tile(2.0, 0, 0, 64), 128).sum() == 0


def test_the_field_is_read_as_a_whole() -> None:
    pixels = np.zeros(SHAPE, np.uint8)
    pixels[:50] = 200
    read = FieldView(*SHAPE).read(PlaneSource.from_image(pixels), 64)
    assert read.shape == (64, 64, 3)
    assert abs(read[:28].mean() - 200) < 2
    assert read[36:].mean() < 2


def test_geometry_by_size() -> None:
    shape = (1000, 1200)
    assert isinstance(choose_view(Box(0, 0, 20, 20), shape, 512, "auto"), Tile)
    assert isinstance(choose_view(Box(0, 0, 300, 300), shape, 512, "auto"), FieldView)
    assert isinstance(choose_view(Box(0, 0, 300, 300), (500, 2000), 512, "auto"), Tile)
    assert isinstance(choose_view(Box(0, 0, 300, 300), shape, 512, "roi"), Tile)
    assert isinstance(choose_view(Box(0, 0, 20, 20), shape, 512, "field"), FieldView)


def test_views_change_only_when_they_must() -> None:
    shape = (2000, 2000)
    view = choose_view(Box(1000, 1000, 1080, 1080), shape, 512, "roi")
    assert follow(view, Box(1010, 1020, 1090, 1100), shape, 512) == view
    left, top, _, _ = view.box
    moved = follow(view, Box(left + 5, top + 200, left + 85, top + 280), shape, 512)
    assert moved != view
    assert moved.magnification == view.magnification
    assert not is_cut(moved, Box(left + 5, top + 200, left + 85, top + 280), shape)
    assert is_cut(view, Box(left, top + 200, left + 85, top + 280), shape)
    grown = follow(view, Box(800, 800, 1200, 1200), shape, 512)
    assert grown.magnification < view.magnification
    field = FieldView(*shape)
    assert follow(field, Box(0, 0, 5, 5), shape, 512) == field
