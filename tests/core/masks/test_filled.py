from __future__ import annotations

import time

import numpy as np
import pytest
from skimage.draw import polygon2mask

from napari_cellprompt.core.masks.filled import fill_ellipse, fill_polygon

SHAPE = (40, 50)


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_filled_as_scikit_image_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-8, 58, (int(rng.integers(3, 12)), 2))
    filled = fill_polygon(corners, SHAPE)
    expected = polygon2mask(SHAPE, corners[:, ::-1])
    np.testing.assert_array_equal(filled.to_plane(), expected)


def test_a_polygon_around_one_pixel_is_that_pixel() -> None:
    filled = fill_polygon([(2.5, 4.5), (3.5, 4.5), (3.5, 5.5), (2.5, 5.5)], SHAPE)
    assert filled.box == (3, 5, 4, 6)


@pytest.mark.parametrize(
    "corners",
    [
        pytest.param([(60, 60), (70, 60), (70, 70)], id="outside"),
        pytest.param([(3.2, 3.2), (3.4, 3.2), (3.4, 3.4)], id="between pixels"),
        pytest.param([(3, 3), (9, 9)], id="two corners"),
    ],
)
def test_nothing_inside_is_an_empty_mask(corners: list[tuple[float, float]]) -> None:
    assert fill_polygon(corners, SHAPE).box is None


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.3])
def test_a_turned_ellipse(angle: float) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([(-12, -5), (12, -5), (12, 5), (-12, 5)]) @ turn.T + (25, 20)
    filled = fill_ellipse(corners, SHAPE).to_plane()
    y, x = np.mgrid[:40, :50]
    along = np.stack([x - 25, y - 20], -1) @ turn
    expected = (along[..., 0] / 12) ** 2 + (along[..., 1] / 5) ** 2 <= 1
    assert np.count_nonzero(filled ^ expected) <= 2
    assert np.count_nonzero(filled) == pytest.approx(np.pi * 60, rel=0.03)


def test_a_long_lasso_around_a_large_object_is_quick() -> None:
    angles = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    corners = 2000 + 1500 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    started = time.perf_counter()
    filled = fill_polygon(corners, (4096, 4096))
    assert time.perf_counter() - started < 1
    assert filled.area == pytest.approx(np.pi * 1500**2, rel=0.001)
