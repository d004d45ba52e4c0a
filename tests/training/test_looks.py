"""Made-up objects, made-up looks, and disturbed masks as prompts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from augment import cut, repaint
from looks import STYLES, render
from mask_prompts import disturbed, mask_prompt, moved_to_nothing
from prompts import synthetic_plane
from shapes import KINDS, label_map


def disc(side: int = 64, radius: float = 12.0) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    return (np.hypot(y, x) <= radius).astype(np.float32)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a > 0.5, b > 0.5
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("kind", [*KINDS, "tissue"])
def test_label_maps_hold_objects_in_one_piece(kind):
    rng = np.random.default_rng(3)
    for _ in range(4):
        labels = label_map(128, rng, kind=kind)
        ids, counts = np.unique(labels[labels > 0], return_counts=True)
        assert labels.shape == (128, 128) and len(ids) >= 1
        assert counts.max() < 0.5 * labels.size


def test_rods_are_longer_than_wide_and_buds_come_in_pairs():
    rng = np.random.default_rng(0)
    (rod,) = KINDS["rod"](20.0, 0.0, rng)
    assert np.ptp(np.nonzero(rod)[1]) > 1.5 * np.ptp(np.nonzero(rod)[0])
    mother, daughter = KINDS["budding"](20.0, 1.0, rng)
    assert mother.sum() > daughter.sum() > 0 and not (mother & daughter).any()


@pytest.mark.parametrize("style", STYLES)
def test_objects_can_be_told_from_their_surroundings(style):
    labels = np.zeros((96, 96), np.uint16)
    labels[20:70, 25:60] = 1
    for seed in range(3):
        image = render(labels, np.random.default_rng(seed), style=style)
        assert image.shape[:2] == (96, 96) and image.dtype == np.uint8
        assert image.std() > 5
    again = render(labels, np.random.default_rng(2), style=style)
    assert np.array_equal(image, again)


def test_phase_contrast_has_dark_bodies_or_their_negative():
    labels = label_map(128, np.random.default_rng(1), kind="ellipse")
    contrasts = []
    for seed in range(12):
        image = render(labels, np.random.default_rng(seed), style="phase contrast")
        grey = image.astype(float).reshape(*labels.shape, -1).mean(axis=2)
        contrasts.append(grey[labels > 0].mean() - grey[labels == 0].mean())
    assert min(contrasts) < -10 and max(contrasts) > 10


def test_repainting_keeps_the_objects():
    rng = np.random.default_rng(0)
    plane = synthetic_plane(96, rng)
    crop = cut(plane, 64, rng)
    other = repaint(crop, 64, rng)
    assert other.labels is crop.labels and other.chosen == crop.chosen
    assert other.image.shape[:2] == (64, 64)


def test_made_up_planes_list_their_objects():
    plane = synthetic_plane(96, np.random.default_rng(5))
    assert plane.modality == "synthetic"
    for number, (x0, y0, x1, y1) in zip(plane.ids, plane.boxes, strict=True):
        window = plane.labels[y0:y1, x0:x1] == number
        assert window.sum() == (plane.labels == number).sum() >= 9


def test_disturbed_masks_stay_near_and_grow_worse_with_strength():
    mask = disc()
    means = []
    for strength in (0.0, 0.4, 1.0):
        found = [
            overlap(mask, disturbed(mask, np.random.default_rng(seed), strength=strength))
            for seed in range(12)
        ]
        assert min(found) > 0.25
        means.append(np.mean(found))
    assert means[0] > 0.97 and means[0] > means[1] > means[2]


def test_nothing_to_disturb():
    empty = np.zeros((16, 16), np.float32)
    assert disturbed(empty, np.random.default_rng(0)) is empty
    assert moved_to_nothing(empty, empty > 0, np.random.default_rng(0)) is None


def test_hard_prompts_are_those_of_the_package_and_soft_ones_vary():
    mask = disc()
    hard, soft = 0, []
    for seed in range(30):
        logits = mask_prompt(mask, np.random.default_rng(seed))
        assert logits.shape == mask.shape and np.isfinite(logits).all()
        assert logits[32, 32] > 0 > logits[0, 0]
        if logits[32, 32] == 10 and logits[0, 0] == -10:
            hard += 1
        else:
            soft.append(logits[32, 32])
    assert hard > 10 and len(set(soft)) > 3


def test_masks_over_nothing_touch_no_object():
    occupied = np.zeros((64, 64), dtype=bool)
    occupied[:, 32:] = True
    mask = disc(radius=6.0)
    moved = moved_to_nothing(mask, occupied, np.random.default_rng(0))
    assert moved is not None and moved.sum() == mask.sum()
    assert (moved[occupied] > 0.3).sum() <= 0.05 * (mask > 0.3).sum()
    assert (
        moved_to_nothing(mask, ~np.zeros_like(occupied), np.random.default_rng(0)) is None
    )
