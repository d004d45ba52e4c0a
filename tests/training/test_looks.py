"""Made-up objects and made-up looks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from looks import STYLES, render, render_planes
from napari_cellprompt.core.training.planes import make_plane, make_stack
from scenes import (
    MOST_PLANES,
    ScenePool,
    StackPool,
    made_up,
    painted,
    painted_stack,
    wandering,
)
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


def test_planes_of_a_made_up_stack_share_their_look():
    labels = np.zeros((3, 96, 96), np.uint16)
    labels[:, 20:70, 25:60] = 1
    labels[1:, 74:90, 10:80] = 2
    correlations = []
    for seed in range(6):
        first, second, third = (
            plane.astype(float).reshape(96, 96, -1).mean(axis=2)
            for plane in render_planes(labels, np.random.default_rng(seed))
        )
        assert not np.array_equal(second, third)  # noise of its own
        correlations.append(np.corrcoef(second.ravel(), third.ravel())[0, 1])
        assert first.std() > 5
    assert np.median(correlations) > 0.6


def test_objects_of_a_made_up_movie_move_and_some_come_or_go():
    rng = np.random.default_rng(4)
    ends, moved = 0, []
    for _ in range(4):
        movie = wandering(rng, 96)
        assert movie is not None and len(movie.planes) == MOST_PLANES
        for number, present in movie.present.items():
            ends += len(present) < MOST_PLANES
            boxes = [movie.planes[p].boxes[movie.planes[p].row(number)] for p in present]
            moved.append(np.abs(np.array(boxes[-1]) - boxes[0]).max())
    assert ends > 0 and max(moved) > 3


def test_painted_stacks_keep_the_outlines_of_the_stack():
    y, x = np.mgrid[:80, :80]
    planes = []
    for radius in (6, 12, 14, 9):
        labels = ((y - 40) ** 2 + (x - 40) ** 2 < radius**2).astype(np.uint16) * 5
        planes.append(make_plane("stack", "kind", labels * 10, labels))
    stack = make_stack(planes)
    painted = painted_stack(stack, np.random.default_rng(0))
    assert painted is not None and list(painted.present) == [1]
    areas = [int(plane.areas[0]) for plane in painted.planes]
    ratios = np.array(areas) / areas[1] * 12**2
    assert np.allclose(ratios, (36, 144, 196, 81), rtol=0.25)


def test_the_pool_of_stacks_draws_from_what_it_keeps():
    pool = StackPool([], size=2, uses=1e9)
    rng = np.random.default_rng(2)
    drawn = {id(pool.draw(rng)) for _ in range(12)}
    assert len(drawn) == 2
