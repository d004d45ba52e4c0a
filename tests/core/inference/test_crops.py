"""Geometry and drawing of crops: what training and inference share."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.inference.crops import (
    CHANNELS,
    Crop,
    NeighbourPlane,
    contrast_limits,
    crop_around,
    draw_box,
    draw_points,
    draw_stroke,
    grey_plane,
    image_planes,
    paste,
    prompt_planes,
    read,
    stretch,
)


def ramp(height: int = 90, width: int = 120) -> np.ndarray:
    return np.add.outer(np.arange(height), 2.0 * np.arange(width)).astype(np.float32)


def disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def test_a_crop_of_whole_pixels_is_a_slice():
    plane = ramp()
    assert np.allclose(read(plane, Crop(10, 20, 32, 32)), plane[10:42, 20:52], atol=1e-4)


@pytest.mark.parametrize("side", [12.5, 40.0, 64.0])
def test_reading_a_ramp_keeps_it_straight_at_any_zoom(side):
    crop = Crop(11.3, 14.8, side, 64)
    values = read(ramp(), crop)
    centres = crop.step * (np.arange(64) + 0.5) - 0.5
    expected = np.add.outer(crop.y0 + centres, 2 * (crop.x0 + centres))
    assert np.abs(values - expected).max() < 0.02


@pytest.mark.parametrize("side", [200.0, 900.0, 5000.0])
def test_nothing_aliases_when_zoomed_out(side):
    rng = np.random.default_rng(0)
    noise = rng.normal(100, 30, (1200, 1200)).astype(np.float32)
    middle = read(noise, Crop(600 - side / 2, 600 - side / 2, side, 64))[24:40, 24:40]
    if side < 1000:
        assert abs(middle.mean() - 100) < 3
    assert middle.std() < 30 / (side / 64) * 1.2 + (60 if side > 1200 else 0)


def test_outside_of_the_plane_is_zero():
    values = read(np.ones((20, 20), np.float32), Crop(-20, -20, 60, 60))
    assert values[:19].max() == 0 and np.allclose(values[21:39, 21:39], 1)
    far = read(np.ones((20, 20), np.float32), Crop(100, 100, 10, 32))
    assert far.shape == (32, 32) and not far.any()


def test_a_window_is_read_as_the_plane_it_is_from():
    plane = disc((80, 90), (40, 50), 9).astype(np.float32)
    crop = Crop(22.5, 31.25, 37, 64)
    window = plane[28:55, 39:66]
    assert np.allclose(read(window, crop, (28, 39)), read(plane, crop), atol=1e-6)


def test_windows_in_large_crops_too():
    plane = disc((900, 900), (430, 500), 90).astype(np.float32)
    crop = Crop(-300.0, -200.0, 1500, 64)
    inside = read(plane[330:531, 400:601], crop, (330, 400))
    assert np.abs(inside - read(plane, crop)).max() < 0.15
    assert abs(inside.sum() * crop.step**2 / plane.sum() - 1) < 0.03


@pytest.mark.parametrize("side", [16.0, 37.5, 64.0, 150.0])
def test_paste_brings_back_what_was_read(side):
    plane = ramp(200, 220)
    crop = Crop(20.3, 31.7, side, 64)
    pasted = paste(read(plane, crop), crop, plane.shape)
    height, width = pasted.values.shape
    truth = plane[pasted.y0 : pasted.y0 + height, pasted.x0 : pasted.x0 + width]
    edge = int(np.ceil(crop.step)) + 1
    inner = (slice(edge, -edge), slice(edge, -edge))
    # a ramp of 2 a pixel: within a tenth of a pixel
    assert np.abs(pasted.values - truth)[inner].max() < 0.2
    assert height in (int(side), int(side) + 1)


def test_paste_is_cut_to_the_plane():
    pasted = paste(np.ones((32, 32), np.float32), Crop(-10, 50, 40, 32), (60, 70))
    assert (pasted.y0, pasted.x0) == (0, 50) and pasted.values.shape == (30, 20)
    assert np.allclose(pasted.values, 1)
    assert (
        paste(np.ones((32, 32), np.float32), Crop(90, 90, 9, 32), (60, 70)).values.size == 0
    )


def test_points_have_their_centres_at_integers():
    crop = Crop(0, 0, 32, 64)
    assert np.allclose(crop.place([(0, 0), (3, 5)]), [(0.5, 0.5), (6.5, 10.5)])
    drawn = draw_points([(10, 20)], crop)
    rows, columns = np.nonzero(drawn == 1)
    assert rows.mean() == pytest.approx(40.5) and columns.mean() == pytest.approx(20.5)
    assert draw_points([(200, 20)], crop).max() == 0


def test_strokes_join_their_points():
    drawn = draw_stroke([(5, 5), (25, 5), (25, 25)], Crop(0, 0, 32, 32))
    assert drawn[5, 5:26].min() == 1 and drawn[5:26, 25].min() == 1
    assert drawn[15, 10] == 0
    assert np.array_equal(
        draw_stroke([(5, 5)], Crop(0, 0, 32, 32)), draw_points([(5, 5)], Crop(0, 0, 32, 32))
    )


def test_boxes_cover_fractions_of_pixels():
    drawn = draw_box((4, 2.25, 8, 6), Crop(0, 0, 32, 32))
    assert drawn.sum() == pytest.approx(4 * 3.75)
    assert drawn[2, 4] == pytest.approx(0.75) and drawn[3, 4] == 1 and drawn[6, 4] == 0
    assert draw_box((3, 5, 4, 6), Crop(0, 0, 32, 32))[5, 3] == 1


def test_a_box_takes_its_share_of_the_crop():
    crop = crop_around((10, 20, 50, 30), 0.5, 128)
    assert crop.side == 80 and crop.x0 == -10 and crop.y0 == -15
    assert crop_around((5, 5, 6, 6), 0.5, 128).side == 8


@pytest.mark.parametrize("size", [200, 1000])
def test_an_object_looks_alike_whatever_the_size_of_its_image(size):
    rng = np.random.default_rng(0)
    plane = rng.normal(100, 5, (size, size))
    plane[60:120, 60:120] += 200 * disc((60, 60), (30, 30), 12)
    crop = crop_around((78, 78, 102, 102), 0.45, 128)
    limits = contrast_limits(plane, crop)
    assert limits[0] == pytest.approx(88, abs=6) and limits[1] == pytest.approx(305, abs=15)


def test_a_few_saturated_pixels_change_little():
    rng = np.random.default_rng(0)
    plane = rng.normal(100, 5, (200, 200)) + 100 * disc((200, 200), (90, 90), 12)
    crop = crop_around((78, 78, 102, 102), 0.45, 128)
    before = image_planes(plane, crop)
    plane[95, 70:74] = 65535
    after = image_planes(plane, crop)
    changed = np.abs(after - before).max(axis=0) > 0.1
    assert changed.mean() < 0.02 and after.max() <= 1.5


def test_stretching_is_soft_beyond_the_limits():
    values = stretch(np.array([-1e9, 0, 50, 100, 1e9], np.float32), (0, 100))
    assert np.allclose(values, [-0.25, 0, 0.5, 1, 1.5])
    assert np.isfinite(stretch(np.full((4, 4), 7, np.float32), (7, 7))).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64, np.int16])
def test_any_type_and_colour(dtype):
    plane = (ramp() * 0.5).astype(dtype)
    crop = Crop(10, 10, 50, 64)
    grey = image_planes(plane, crop)
    assert grey.shape == (3, 64, 64) and grey.dtype == np.float32
    assert np.array_equal(grey[0], grey[2])
    colour = image_planes(np.stack([plane, plane * 0, plane], axis=-1), crop)
    assert not np.array_equal(colour[0], colour[1])
    assert grey_plane(plane, crop).shape == grey_plane(colour.T, crop).shape == (64, 64)


def test_pixels_that_are_not_finite_do_no_harm():
    plane = ramp()
    plane[30, 40], plane[31, 41] = np.nan, np.inf
    assert np.isfinite(image_planes(plane, Crop(20, 20, 40, 64))).all()
    nothing = np.full((50, 50), np.nan)
    assert np.isfinite(image_planes(nothing, Crop(0, 0, 40, 64))).all()


def test_outside_is_zero_in_the_image_too():
    planes = image_planes(ramp() + 500, Crop(-30, -30, 60, 60))
    assert not planes[:, :29].any() and planes[:, 40:, 40:].any()


def test_prompts_lie_in_their_planes():
    shape = (60, 60)
    mask = disc(shape, (30, 30), 8)
    crop = crop_around((22, 22, 39, 39), 0.5, 64)
    planes = prompt_planes(
        crop,
        points=[(30, 30), (22, 40)],
        labels=[1, 0],
        strokes=[(np.array([(28, 28), (33, 30)]), 1)],
        box=(22, 22, 39, 39),
        mask=(mask, (0, 0)),
        previous=(mask[20:40, 20:40] * 0.5, (20, 20)),
        before=NeighbourPlane(ramp(60, 60), mask, distance=2),
        after=NeighbourPlane(None, np.zeros(shape, bool)),
    )
    assert planes.shape == (11, 64, 64) and planes.dtype == np.float32
    filled = {name for name, i in CHANNELS.items() if planes[i].any()}
    assert filled == set(CHANNELS) - {"after_mask", "after_image"}
    assert planes[CHANNELS["before_nearness"]].min() == 0.5
    assert planes[CHANNELS["after_nearness"]].max() == 1
    assert planes[CHANNELS["previous"]].max() == pytest.approx(0.5, abs=0.01)
    assert np.allclose(
        planes[CHANNELS["previous"]], planes[CHANNELS["mask"]] / 2, atol=0.01
    )


def test_only_the_image_of_a_side_may_be_known():
    planes = prompt_planes(Crop(0, 0, 60, 64), after=NeighbourPlane(ramp(60, 60), None))
    filled = {name for name, i in CHANNELS.items() if planes[i].any()}
    assert filled == {"after_image"}


def test_no_prompt_is_all_zeros():
    assert not prompt_planes(Crop(0, 0, 60, 64)).any()
