from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cellprompt.core.masks.ellipse import (
    ellipse_in_box,
    ellipse_of_mask,
    part_at,
    rounded,
)

SIDE = 64
ROWS, COLUMNS = torch.meshgrid(
    torch.arange(float(SIDE)), torch.arange(float(SIDE)), indexing="ij"
)


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    return torch.hypot(COLUMNS - x, ROWS - y) < radius


def iou(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_the_ellipse_in_a_box_touches_its_edges() -> None:
    radius = ellipse_in_box((9.5, 19.5, 29.5, 49.5), SIDE, torch.device("cpu"))
    inside = radius < 1
    rows, columns = np.nonzero(inside.numpy())
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 29, 20, 49)
    assert inside.sum() == pytest.approx(np.pi * 10 * 15, rel=0.02)


def test_an_object_cut_by_the_image_is_half_an_ellipse() -> None:
    plane = (-0.5, -0.5, 40.5, 60.5)
    radius = ellipse_in_box((20.5, 9.5, 40.5, 29.5), SIDE, torch.device("cpu"), plane=plane)
    inside = (radius < 1).numpy()
    rows, columns = np.nonzero(inside)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (21, 40, 10, 29)
    # highest at the edge of the image, and nothing beyond
    assert inside.sum(0)[40] == inside.sum(0).max() == 20
    assert not inside[:, 41:].any()


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2], ids=["upright", "a little", "more"])
def test_an_ellipse_is_found_from_its_moments(angle: float) -> None:
    x, y = COLUMNS - 30, ROWS - 34
    u = x * np.cos(angle) + y * np.sin(angle)
    v = y * np.cos(angle) - x * np.sin(angle)
    mask = torch.hypot(u / 20, v / 9) < 1
    radius = ellipse_of_mask(mask)
    assert radius is not None
    assert iou(radius < 1, mask) > 0.96


def test_a_few_pixels_tell_no_ellipse() -> None:
    mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    mask[3, 4:8] = True
    assert ellipse_of_mask(mask) is None
    logits = torch.where(mask, 5.0, -5.0)
    assert torch.equal(rounded(logits[None], [0.1], box=None, click=(5, 3))[0], logits)


@pytest.mark.parametrize("kind", ["box", "click"])
def test_a_doubtful_outline_becomes_rounder_and_a_sure_one_stays(kind: str) -> None:
    truth = disc(30, 32, 14)
    frayed = truth & ~disc(44, 32, 5) | disc(18, 26, 4)
    logits = torch.where(frayed, 1.0, -1.0)
    box = (15.5, 17.5, 44.5, 46.5) if kind == "box" else None
    doubtful, sure = (
        rounded(logits[None], [trust], box=box, click=(30, 32))[0] > 0
        for trust in (0.3, 1.0)
    )
    assert torch.equal(sure, frayed)
    assert iou(doubtful, truth) > iou(frayed, truth) + (0.02 if kind == "box" else 0.005)


def test_what_is_no_ellipse_stays() -> None:
    bent = disc(32, 32, 24) & ~disc(32, 38, 22)
    logits = torch.where(bent, 6.0, -6.0)
    for box in ((7.5, 7.5, 56.5, 40.5), None):
        found = rounded(logits[None], [0.7], box=box, click=(32, 11))[0] > 0
        assert iou(found, bent) > 0.95


def test_the_part_under_the_click_is_kept() -> None:
    logits = torch.where(disc(15, 15, 8) | disc(45, 45, 12), 4.0, -4.0)
    small = part_at(logits, (14.2, 15.9)) > 0
    assert torch.equal(small, disc(15, 15, 8))
    # nothing is under this one, and the next lies beyond the picture
    for click in ((60.0, 5.0), (-3.0, 70.0)):
        assert torch.equal(part_at(logits, click) > 0, disc(45, 45, 12))
    one = torch.where(disc(45, 45, 12), 4.0, -4.0)
    assert torch.equal(part_at(one, (1.0, 1.0)), one)
