"""Pure parts of propagation: end of objects, confidence, packed masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.packed import PackedMask, without_overlap
from napari_cellprompt.core.propagate.rules import (
    area_jump,
    confidence_of,
    contrast,
    find_divisions,
    has_faded,
    has_left,
    is_doubted_again,
    main_parts,
    next_worst,
    overlap,
    reappears,
    stands_out,
)
from napari_cellprompt.core.propagate.types import PlaneOutcome, PropagationSettings
from napari_cellprompt.core.types import CroppedMask

SHAPE = (100, 120)


def block(y0: int, x0: int, y1: int, x1: int) -> CroppedMask:
    return CroppedMask(np.ones((y1 - y0, x1 - x0), bool), (y0, x0), SHAPE)


def both(*parts: CroppedMask) -> CroppedMask:
    whole = np.zeros(SHAPE, bool)
    for part in parts:
        whole |= part.to_plane()
    return CroppedMask(whole, (0, 0), SHAPE)


EMPTY = CroppedMask(np.zeros((2, 2), bool), (0, 0), SHAPE)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(block(10, 10, 20, 20), block(10, 10, 20, 20), 1.0, id="same"),
        pytest.param(block(10, 10, 20, 20), block(0, 0, 60, 60), 1.0, id="grown"),
        pytest.param(block(10, 10, 20, 20), block(10, 15, 20, 25), 0.5, id="half"),
        pytest.param(block(10, 10, 20, 20), block(40, 40, 50, 50), 0.0, id="apart"),
        pytest.param(EMPTY, block(0, 0, 9, 9), 0.0, id="empty"),
    ],
)
def test_overlap(one, other, expected) -> None:
    assert overlap(one, other) == overlap(other, one) == expected


def test_area_jump() -> None:
    assert area_jump(100, 200) == area_jump(200, 100) == 1
    assert area_jump(7, 7) == 0
    assert math.isinf(area_jump(0, 5))


@pytest.mark.parametrize(
    ("mask", "score", "gone"),
    [
        pytest.param(block(10, 10, 30, 30), 0.9, False, id="there"),
        pytest.param(block(10, 10, 30, 30), 0.4, True, id="low score"),
        pytest.param(EMPTY, 0.9, True, id="empty"),
        pytest.param(block(10, 10, 15, 17), 0.9, True, id="a remnant"),
        pytest.param(block(60, 60, 80, 80), 0.9, True, id="another object"),
    ],
)
def test_when_an_object_has_left(mask, score, gone) -> None:
    recent = [block(10, 10, 30, 30)] * 3
    assert has_left(mask, score, recent, PropagationSettings()) is gone


@pytest.mark.parametrize(
    ("presence", "before", "doubted"),
    [
        pytest.param(0.6, 0.6, True, id="both doubtful"),
        pytest.param(0.6, 0.95, False, id="this one only"),
        pytest.param(0.9, 0.2, False, id="the one before failed by itself"),
        pytest.param(0.95, 0.55, False, id="it is back"),
        pytest.param(0.52, 0.95, True, id="hardly there"),
    ],
)
def test_two_doubtful_frames(presence: float, before: float, doubted: bool) -> None:
    assert is_doubted_again(presence, before, 0.5) == doubted
    assert not is_doubted_again(presence, before, 0.0)


def test_limits_can_be_switched_off() -> None:
    settings = PropagationSettings(stop_object_score=0, stop_area_ratio=0, stop_overlap=0)
    recent = [block(10, 10, 30, 30)]
    assert not has_left(block(60, 60, 61, 61), 0.0, recent, settings)
    assert has_left(EMPTY, 1.0, recent, settings)


def test_parts_that_matter() -> None:
    assert main_parts(EMPTY) == []
    large, small = block(10, 10, 30, 30), block(50, 50, 60, 70)
    speck = block(90, 90, 92, 92)
    parts = main_parts(both(small, large, speck))
    assert [part.area for part in parts] == [400, 200]
    assert parts[1].box == small.box


def test_divisions_must_persist() -> None:
    one, two = block(10, 10, 30, 30), both(block(10, 10, 30, 18), block(10, 22, 30, 30))
    assert find_divisions({0: one, 1: two, 2: one, 3: two}, 5) == []
    (found,) = find_divisions({0: one, 1: one, 2: two, 3: two, 4: two}, 5)
    assert (found.id, found.plane) == (5, 2)
    assert find_divisions({0: two, 2: two}, 5) == []


def outcome(plane, mask, iou=0.9, score=0.9, state="tracked") -> PlaneOutcome:
    return PlaneOutcome(1, plane, mask, iou, score, state, 1)


def test_confidence_falls_with_everything_that_may_be_wrong() -> None:
    mask = block(10, 10, 30, 30)
    good = confidence_of(outcome(3, mask), outcome(2, mask))
    worse = [
        confidence_of(outcome(3, mask, iou=0.5), outcome(2, mask)),
        confidence_of(outcome(3, mask, score=0.5), outcome(2, mask)),
        confidence_of(outcome(3, mask), outcome(2, block(10, 10, 30, 60))),
        confidence_of(outcome(3, mask), outcome(2, block(20, 20, 40, 40))),
    ]
    assert all(item.confidence < good.confidence for item in worse)
    assert confidence_of(outcome(3, mask, state="locked"), None).confidence == 1
    gone = confidence_of(outcome(3, None, score=0.1, state="ended"), outcome(2, mask))
    assert gone.confidence == pytest.approx(0.9)
    ranked = [confidence_of(outcome(p, mask, iou=i), None) for p, i in ((1, 0.9), (2, 0.3))]
    assert next_worst(ranked) == 2
    assert next_worst(ranked, after=2) == 1
    assert next_worst(ranked, after=1) is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 50))
def test_packing_keeps_every_pixel(random, height, width) -> None:
    rng = np.random.default_rng(random)
    logits = rng.normal(0, 10, (height, width)).astype(np.float32)
    mask = CroppedMask(logits > 0, (7, 11), SHAPE)
    packed = PackedMask.pack(mask, logits)
    assert np.array_equal(packed.mask().to_plane(), mask.to_plane())
    assert packed.area == mask.area
    assert packed.box == mask.box


def test_packing_saves_memory() -> None:
    rows, columns = np.mgrid[:90, :90]
    logits = (30 - np.hypot(rows - 45, columns - 45)).astype(np.float32)
    packed = PackedMask.pack(CroppedMask(logits > 0, (0, 0), SHAPE), logits)
    assert packed.nbytes < (logits > 0).sum() / 2


def packed(mask: CroppedMask, level: float, rank: int = 0) -> PackedMask:
    return PackedMask.pack(mask, np.full(mask.data.shape, level, np.float32), rank=rank)


@pytest.mark.parametrize(
    ("one", "other", "left"),
    [
        pytest.param((2.0, 0), (5.0, 0), 300, id="weaker"),
        pytest.param((5.0, 0), (2.0, 0), 400, id="stronger"),
        pytest.param((2.0, 1), (9.0, 0), 400, id="prompted before tracked"),
        pytest.param((2.0, 0), (2.0, 0), 400, id="equal: the lower id"),
    ],
)
def test_who_gets_a_pixel(one, other, left) -> None:
    first = packed(block(10, 10, 30, 30), *one)
    second = packed(block(20, 20, 40, 40), *other)
    own = without_overlap(first, {2: second}, 1)
    theirs = without_overlap(second, {1: first}, 2)
    assert own.area == left
    assert own.area + theirs.area == 700


def test_contrast_is_measured_against_a_ring() -> None:
    image = np.full(SHAPE, 40, np.uint8)
    image[20:30, 30:45] = 140
    found = contrast(PlaneSource.from_image(image), block(20, 30, 30, 45))
    assert found == (100.0, 0.0)
    assert contrast(PlaneSource.from_image(image), EMPTY) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("now", "start", "noise", "faded"),
    [
        pytest.param(90, 100, 10, False, id="as bright"),
        pytest.param(20, 100, 10, True, id="nearly gone"),
        pytest.param(-20, 100, 10, True, id="darker than around"),
        pytest.param(-80, -100, 10, False, id="dark objects stay dark"),
        pytest.param(-10, -100, 10, True, id="a dark one fades"),
        pytest.param(0, 5, 10, False, id="never stood out"),
        pytest.param(0, 0, 0, False, id="no contrast at all"),
    ],
)
def test_fading(now: float, start: float, noise: float, faded: bool) -> None:
    assert has_faded(now, start, noise, 0.25) is faded


@pytest.mark.parametrize(
    ("shares", "now", "kept"),
    [
        pytest.param([], 2.0, None, id="the first plane"),
        pytest.param([0.9, 0.8, 0.75], 1.0, None, id="never faded"),
        pytest.param([0.9, 0.6, 0.5], 0.55, None, id="noise"),
        pytest.param([0.9, 0.6, 0.5], 0.61, 3, id="at once"),
        pytest.param([0.9, 0.5, 0.55, 0.58], 0.7, 2, id="by and by"),
        pytest.param([0.9, -0.2], 0.1, 2, id="darker than around"),
    ],
)
def test_what_stands_out_again_is_the_next_object(
    shares: list[float], now: float, kept: int | None
) -> None:
    assert reappears(shares, now, 1.2) == kept


def test_only_what_stands_out_clearly_can_fade() -> None:
    assert stands_out(-30.0, 20.0) and stands_out(25.0, 20.0)
    assert not stands_out(20.0, 20.0) and not stands_out(0.0, 0.0)
