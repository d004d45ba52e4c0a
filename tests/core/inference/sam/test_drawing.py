from __future__ import annotations

import torch

from napari_cellprompt.core.inference.sam.drawing import draw_prompts


def draw(points, labels, size=128):
    return draw_prompts(
        torch.tensor([points], dtype=torch.float32),
        torch.tensor([labels]),
        size,
        amplitude=16.0,
        sigma=1.5,
    )[0, 0]


def test_click_is_highest_where_it_was_made() -> None:
    # the drawing's pixel 10 covers the input's pixels 40 to 43, its centre is 41.5
    canvas = draw([[41.5, 81.5]], [1])
    assert canvas.shape == (32, 32)
    assert torch.isclose(canvas[20, 10], torch.tensor(16.0))
    assert canvas.argmax() == 20 * 32 + 10
    assert canvas[5, 30] < 1e-3


def test_background_click_is_negative_and_padding_is_nothing() -> None:
    canvas = draw([[41.5, 81.5], [0.0, 0.0]], [0, -1])
    assert torch.isclose(canvas.min(), torch.tensor(-16.0))
    assert canvas[0, 0].abs() < 1e-3


def test_box_is_filled_at_half_height() -> None:
    canvas = draw([[40.0, 20.0], [80.0, 60.0]], [2, 3])
    assert canvas[10, 15] == 8
    assert canvas[10, 5] == 0
    assert int((canvas > 0).sum()) == 10 * 10


def test_box_and_click_add_up() -> None:
    canvas = draw([[40.0, 20.0], [80.0, 60.0], [57.5, 41.5]], [2, 3, 1])
    assert torch.isclose(canvas.max(), torch.tensor(24.0))


def test_objects_do_not_mix() -> None:
    points = torch.tensor([[[10.0, 10.0]], [[100.0, 100.0]]])
    both = draw_prompts(points, torch.ones(2, 1), 128, amplitude=16.0, sigma=1.5)
    alone = draw_prompts(points[1:], torch.ones(1, 1), 128, amplitude=16.0, sigma=1.5)
    assert torch.equal(both[1], alone[0])
