"""Made-up objects and made-up looks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from looks import STYLES, render
from napari_cellprompt.core.training.planes import make_plane
from scenes import ScenePool, made_up, painted
from shapes import KINDS, label_map


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


def test_made_up_planes_list_their_objects():
    plane = made_up(np.random.default_rng(5), 96)
    assert plane.modality == "made up" and len(plane.ids)
    for number, (x0, y0, x1, y1) in zip(plane.ids, plane.boxes, strict=True):
        window = plane.labels[y0:y1, x0:x1] == number
        assert window.sum() == (plane.labels == number).sum() >= 9


@pytest.mark.parametrize("radius", [5, 12, 60])
def test_painting_keeps_the_outlines(radius):
    y, x = np.mgrid[:200, :200]
    labels = np.zeros((200, 200), np.uint16)
    labels[np.hypot(y - 90, x - 100) <= radius] = 300
    plane = make_plane("disc", "toy", labels, labels)
    for seed in range(4):
        scene = painted(plane, np.random.default_rng(seed))
        assert scene is not None and scene.image.shape[:2] == scene.labels.shape
        (x0, y0, x1, y1), area = scene.boxes[0], scene.areas[0]
        assert len(scene.ids) == 1 and 6 <= x1 - x0 <= 110
        assert area / ((x1 - x0) * (y1 - y0)) == pytest.approx(np.pi / 4, abs=0.12)


def test_scenes_are_used_again_and_replaced():
    pool = ScenePool([made_up(np.random.default_rng(1), 64)], size=3, uses=4)
    rng = np.random.default_rng(0)
    seen = [id(pool.draw(rng)) for _ in range(24)]
    assert 3 < len(set(seen)) < 20
