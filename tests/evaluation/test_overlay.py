from __future__ import annotations

import numpy as np

from napari_cellprompt.core.types import Prompts
from napari_cellprompt.evaluation.overlay import draw_overlay


def test_overlays_show_outlines_and_prompts() -> None:
    image = np.full((30, 40), 50, np.uint8)
    labels = np.zeros((30, 40), np.uint16)
    labels[5:15, 5:15] = 3
    labels[5:15, 15:25] = 4
    prompts = [
        Prompts(points=((10, 10), (35, 2)), labels=(1, 0)),
        Prompts(box=(-5, 20, 100, 28)),
    ]
    picture = draw_overlay(image, labels, prompts)
    assert picture.shape == (30, 40, 3)
    assert (image == 50).all()
    assert tuple(picture[5, 7]) != tuple(picture[5, 20]) != (50, 50, 50)
    assert tuple(picture[7, 7]) == (50, 50, 50)
    assert picture[10, 10, 1] > picture[10, 10, 0]
    assert picture[2, 35, 0] > picture[2, 35, 1]
    assert tuple(picture[20, 0]) == tuple(picture[27, 39]) == (255, 220, 60)
