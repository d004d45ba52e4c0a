"""Objects of a few pixels keep their size with the bundled model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL


@pytest.mark.parametrize("side", [3, 5])
@pytest.mark.parametrize("kind", ["click", "box"])
def test_tiny_objects_are_not_made_larger(side: int, kind: str) -> None:
    truth = np.zeros((96, 96), bool)
    truth[40 : 40 + side, 50 : 50 + side] = True
    noise = np.random.default_rng(0).normal(0, 20, truth.shape)
    image = ndimage.gaussian_filter(np.where(truth, 1000.0, 200.0), 0.5) + noise
    middle = (50 + (side - 1) / 2, 40 + (side - 1) / 2)
    prompts = {
        "click": Prompts(points=(middle,), labels=(1,)),
        "box": Prompts(box=(50, 40, 50 + side, 40 + side)),
    }[kind]
    segmenter = PlaneSegmenter(load_model(DEFAULT_MODEL))
    plane = PlaneSource.from_image(image.clip(0).astype(np.uint16))
    found = segmenter.predict(plane, prompts).best.mask.to_plane()
    assert (found & truth).sum() / (found | truth).sum() >= 0.6
    assert found.sum() <= 1.5 * truth.sum()
