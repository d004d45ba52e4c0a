"""Drift of the whole field between two frames of a movie."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.propagate.drift import Drift, field_shift
from napari_cellprompt.core.propagate.motion import displacement
from napari_cellprompt.core.types import CroppedMask


def field(seed: int, shape: tuple[int, int] = (400, 500)) -> np.ndarray:
    """Cells at random places on a noisy ground, 8 bits."""
    rng = np.random.default_rng(seed)
    spots = np.zeros(shape)
    rows, columns = rng.integers(0, shape[0], 120), rng.integers(0, shape[1], 120)
    spots[rows, columns] = rng.uniform(4e4, 9e4, 120)
    image = ndimage.gaussian_filter(spots, 7) + rng.normal(30, 3, shape)
    return image.clip(0, 255).astype(np.uint8)


def jumped(by: tuple[int, int], crop: tuple[int, int] = (300, 360)) -> np.ndarray:
    """``(2, 300, 360)``: two windows of one field; what was at p is at p + by."""
    large = field(3)
    first = large[60 : 60 + crop[0], 80 : 80 + crop[1]]
    y, x = 60 - by[0], 80 - by[1]
    return np.stack([first, large[y : y + crop[0], x : x + crop[1]]])


@pytest.mark.parametrize("by", [(40, -55), (-22, 0), (0, 60)])
def test_a_jump_of_the_stage_is_measured(by) -> None:
    drift = Drift(ImageStack(jumped(by), axes="TYX"))
    assert drift.between(0, 1, (150.0, 180.0)) == pytest.approx(by, abs=1)
    assert drift.between(1, 0, (150.0, 180.0)) == pytest.approx((-by[0], -by[1]), abs=1)


def test_each_pair_is_read_once(monkeypatch) -> None:
    stack = ImageStack(jumped((30, 30)), axes="TYX")
    drift, read = Drift(stack), []
    plane = stack.plane
    drift.between(0, 1, (150.0, 180.0))

    def counted(index: int):
        read.append(index)
        return plane(index)

    monkeypatch.setattr(stack, "plane", counted)
    assert drift.between(0, 1, (20.0, 300.0)) == pytest.approx((30, 30), abs=1)
    # only its shape is asked for
    assert read == [0]


def test_nothing_is_measured_where_nothing_moved() -> None:
    still = field(5)
    noise = np.random.default_rng(0).normal(0, 4, still.shape)
    assert field_shift(still.astype(float), still + noise) == (0, 0)
    assert field_shift(field(5).astype(float), field(6).astype(float)) == (0, 0)
    assert field_shift(np.zeros((64, 64)), still[:64, :64].astype(float)) == (0, 0)
    assert field_shift(still[:4, :4].astype(float), still[:4, :4].astype(float)) == (0, 0)


def test_a_large_plane_is_measured_near_the_object() -> None:
    large = field(9, (1500, 1500))
    frames = np.stack([large, np.roll(large, (50, -70), (0, 1))])
    drift = Drift(ImageStack(frames, axes="TYX"))
    for middle in ((100.0, 100.0), (1400.0, 900.0)):
        assert drift.between(0, 1, middle) == pytest.approx((50, -70), abs=4)


def test_an_object_is_found_beyond_its_own_reach() -> None:
    by = (44, -52)
    stack = ImageStack(jumped(by), axes="TYX")
    mask = CroppedMask(np.ones((16, 16), bool), (140, 170), (300, 360))
    planes = stack.plane(0), stack.plane(1)
    assert displacement(*planes, mask) != by
    drift = Drift(stack).between(0, 1, (148.0, 178.0))
    assert displacement(*planes, mask, drift) == by


def test_what_stays_while_the_field_moves_stays() -> None:
    """Dirt on the camera."""
    frames = jumped((44, -52))
    frames[:, 130:178, 160:208] = np.random.default_rng(2).integers(0, 255, (48, 48))
    stack = ImageStack(frames, axes="TYX")
    mask = CroppedMask(np.ones((32, 32), bool), (138, 168), (300, 360))
    assert displacement(stack.plane(0), stack.plane(1), mask, (44, -52)) == (0, 0)
