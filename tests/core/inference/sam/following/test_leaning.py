"""How far the network is believed from plane to plane."""

from __future__ import annotations

import torch

from napari_cellprompt.core.inference.sam.following.leaning import lean_on

STILL = torch.zeros(1, 32, 32)


def square(at: int, side: int = 10) -> torch.Tensor:
    """Logits of a square on 32 x 32 pixels."""
    logits = torch.full((1, 32, 32), -8.0)
    logits[0, at : at + side, at : at + side] = 8.0
    return logits


def overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    """IoU of two masks."""
    return float((first & second).sum() / (first | second).sum())


def test_a_believed_network_is_left_alone() -> None:
    found = square(5)
    assert lean_on(found, square(9), STILL, 0.0) is found


def test_a_doubted_network_hardly_moves_the_mask() -> None:
    mixed = lean_on(square(20), square(5), STILL, 0.95) > 0
    assert torch.equal(mixed, square(5) > 0)


def test_between_them_the_outline_moves_part_of_the_way() -> None:
    larger, smaller = square(4, 14), square(8, 6)
    area = int((lean_on(larger, smaller, STILL, 0.7) > 0).sum())
    assert int((smaller > 0).sum()) < area < int((larger > 0).sum())


def test_nothing_to_lean_on() -> None:
    found = square(5)
    assert lean_on(found, torch.full((1, 32, 32), -8.0), STILL, 0.8) is found


def test_the_mask_moves_with_what_changed() -> None:
    change = (square(8) - square(5)) / 1.6
    moved = lean_on(-square(5).abs(), square(5), change, 0.95) > 0
    assert overlap(square(8) > 0, moved) > 0.9


def test_an_error_that_is_made_on_both_planes_cancels_out() -> None:
    redrawn_too_large = square(3, 14)
    change = redrawn_too_large - redrawn_too_large
    kept = lean_on(redrawn_too_large, square(5), change, 0.95) > 0
    assert torch.equal(kept, square(5) > 0)
