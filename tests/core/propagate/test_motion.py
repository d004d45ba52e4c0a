from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellprompt import PlaneSegmenter, load_model, propagate
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.masks.crop import shifted
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.motion import displacement
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.types import CroppedMask, Prompts

SHAPE = (80, 90)


def textured(seed: int = 0) -> np.ndarray:
    """A cell of 16 x 16 pixels with a texture of its own, on noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(20, 40, SHAPE).astype(np.uint8)
    image[30:46, 40:56] = rng.integers(90, 250, (16, 16))
    return image


def cell() -> CroppedMask:
    return CroppedMask(np.ones((16, 16), bool), (30, 40), SHAPE)


def source(image: np.ndarray) -> PlaneSource:
    return PlaneSource.from_image(image)


@pytest.mark.parametrize("by", [(0, 0), (5, -7), (-8, 8), (3, 0)])
def test_a_movement_is_found(by) -> None:
    moved = np.roll(textured(), by, (0, 1))
    assert displacement(source(textured()), source(moved), cell()) == pytest.approx(
        by, abs=0.3
    )


@pytest.mark.parametrize("by", [(0, 2), (-1, 1), (0, 0)])
def test_a_small_step_of_a_large_object_is_found(by) -> None:
    """It correlates well with where it was, too."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = np.hypot(rows - 40, columns - 45) <= 20
    smooth = ndimage.gaussian_filter(np.where(inside, 160.0, 20.0), 4)
    noise = np.random.default_rng(0).normal(0, 6, (2, *SHAPE))
    before = (smooth + noise[0]).clip(0, 255).astype(np.uint8)
    here = (np.roll(smooth, by, (0, 1)) + noise[1]).clip(0, 255).astype(np.uint8)
    mask = CroppedMask(inside, (0, 0), SHAPE)
    assert displacement(source(before), source(here), mask) == pytest.approx(by, abs=0.3)


@pytest.mark.parametrize("by", [(0.5, 0.0), (-0.4, 0.6), (2.5, -1.5)])
def test_fractions_of_a_pixel_are_found(by) -> None:
    before = ndimage.gaussian_filter(textured().astype(float), 1.5)
    here = ndimage.shift(before, by, order=3)
    images = [image.clip(0, 255).astype(np.uint8) for image in (before, here)]
    found = displacement(source(images[0]), source(images[1]), cell())
    assert found == pytest.approx(by, abs=0.25)


def drifting(speed: float, frames: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Three blurred discs on noise that go to the right, and the labels of each frame.

    They start beside the middle of a pixel: half covered pixels would be anybody's.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:120, :90]
    movie, labels = [], np.zeros((frames, 120, 90), np.uint8)
    for frame in range(frames):
        away = np.stack(
            [
                np.hypot(rows - y - 0.1, columns - 20.25 - speed * frame) - radius
                for y, radius in ((20, 6), (56, 8), (94, 10))
            ]
        )
        for number, distance in enumerate(away, start=1):
            labels[frame][distance <= 0] = number
        clean = 200 + 1800 / (1 + np.exp(away.min(axis=0) / 0.8))
        movie.append(clean + rng.normal(0, 36, clean.shape))
    return np.stack(movie).clip(0).astype(np.uint16), labels


@pytest.mark.parametrize("speed", [0.0, 0.5, 0.7, 1.5, 2.0])
def test_slowly_drifting_and_still_discs_are_followed_to_the_end(speed) -> None:
    movie, truth = drifting(speed)
    seeds = {(n, 0): {"mask": truth[0] == n} for n in (1, 2, 3)}
    found = propagate(movie, seeds, axis="t", axes="TYX")
    for number in (1, 2, 3):
        a, b = found == number, truth == number
        iou = (a & b).sum(axis=(1, 2)) / (a | b).sum(axis=(1, 2))
        assert iou.min() >= 0.9, (number, iou.round(2))


def test_noise_alone_moves_nothing() -> None:
    other = np.random.default_rng(1).integers(20, 40, SHAPE).astype(np.uint8)
    assert displacement(source(textured()), source(other), cell()) == (0, 0)
    flat = np.full(SHAPE, 30, np.uint8)
    assert displacement(source(flat), source(textured()), cell()) == (0, 0)


def test_at_the_border_of_the_plane() -> None:
    before, here = textured(), textured()
    before = np.roll(before, (-28, -38), (0, 1))
    here = np.roll(here, (-26, -35), (0, 1))
    mask = CroppedMask(np.ones((16, 16), bool), (2, 2), SHAPE)
    assert displacement(source(before), source(here), mask) == pytest.approx(
        (2, 3), abs=0.3
    )


def test_colour_images() -> None:
    image = np.repeat(textured()[..., None], 3, axis=2)
    moved = np.roll(image, (4, 4), (0, 1))
    assert displacement(source(image), source(moved), cell()) == pytest.approx(
        (4, 4), abs=0.3
    )


@given(st.tuples(st.integers(-100, 100), st.integers(-100, 100)), st.integers(0, 2**20 - 1))
def test_shifted_masks_are_cut_at_the_plane(by, bits) -> None:
    data = np.array([bits >> n & 1 for n in range(20)], bool).reshape(4, 5)
    mask = CroppedMask(data, (30, 40), SHAPE)
    rows, columns = mask.indices()
    rows, columns = rows + by[0], columns + by[1]
    inside = (rows >= 0) & (rows < SHAPE[0]) & (columns >= 0) & (columns < SHAPE[1])
    expected = np.zeros(SHAPE, bool)
    expected[rows[inside], columns[inside]] = True
    np.testing.assert_array_equal(shifted(mask, by).to_plane(), expected)


def followed(axes: str, **settings: object) -> list[tuple[int, ...] | None]:
    """Boxes of a cell that jumps by more than its size from frame to frame."""
    frames = np.stack([np.roll(textured(), (7 * n, -7 * n), (0, 1)) for n in range(4)])
    engine = StackPropagator(
        PlaneSegmenter(load_model("cellprompt-nano")),
        ImageStack(frames, axes=axes),
        PropagationSettings(
            method="neighbour",
            lean=1.0,
            look=0.0,
            stop_object_score=0.0,
            stop_contrast=0.0,
            **settings,
        ),
    )
    engine.prompt(1, 0, Prompts(mask=encode(cell().to_plane())))
    for _ in engine.propagate():
        pass
    return [
        None if outcome.mask is None else outcome.mask.box
        for outcome in (engine.outcome(1, plane) for plane in range(4))
        if outcome is not None
    ]


def test_an_object_of_a_movie_is_followed_where_it_goes() -> None:
    boxes = followed("TYX")
    for number, box in enumerate(boxes):
        assert box is not None
        middle = ((box[1] + box[3]) / 2, (box[0] + box[2]) / 2)
        assert middle == pytest.approx((38 + 7 * number, 48 - 7 * number), abs=2.5)


def test_along_z_and_where_switched_off_it_is_not() -> None:
    for boxes in (followed("ZYX"), followed("TYX", motion=False)):
        box = boxes[-1]
        assert box is None or (box[1] + box[3]) / 2 < 38 + 2 * 7
