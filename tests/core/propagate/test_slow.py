"""Long stacks with the bundled model."""

from __future__ import annotations

import multiprocessing

import numpy as np
import psutil
import pytest

from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts, Tile
from napari_cellprompt.core.zoo.load import load_model

PLANES = 1000


class Endless:
    """A stack of which every plane is drawn when it is read."""

    shape = (PLANES, 96, 96)
    dtype = np.dtype(np.uint8)

    def __getitem__(self, key):
        plane, rows, columns = key
        rng = np.random.default_rng(plane)
        image = rng.integers(0, 60, self.shape[1:], dtype=np.uint8)
        y, x = np.mgrid[:96, :96]
        place = 48 + 6 * np.sin(plane / 40)
        image[np.hypot(x - place, y - 48) < 12] += 150
        return image[rows, columns]


def resident() -> dict[int, int]:
    """Follow an object through the whole stack; bytes held after 100 planes and all.

    The cache is full before, as after work on another image: what grows is a leak.
    """
    segmenter = PlaneSegmenter(load_model("cellprompt-nano"), cache=FeatureCache(256 << 20))
    settings = PropagationSettings(
        stop_object_score=0.0,
        stop_area_ratio=0.0,
        stop_overlap=0.0,
        stop_contrast=0.0,
        stop_regrowth=0.0,
        stop_patience=PLANES,
    )
    stack = ImageStack(Endless(), image_id="endless")
    engine = StackPropagator(segmenter, stack, settings)
    tile = Tile(1.0, 0, 0, segmenter.model.image_size)
    before = ImageStack(Endless(), image_id="before")
    for plane in range(140):
        segmenter.model.features(before.plane(plane), tile)
    assert segmenter.model.cache.nbytes > 250 << 20
    y, x = np.mgrid[:96, :96]
    engine.prompt(1, 0, Prompts(mask=encode(np.hypot(x - 48, y - 48) < 12)))
    process = psutil.Process()
    held = {}
    for done, _ in enumerate(engine.propagate(), start=1):
        if done in (100, PLANES - 1):
            held[done] = process.memory_info().rss
    assert len(engine.planes(1)) == PLANES
    assert segmenter.model.cache.nbytes <= 256 << 20
    return held


@pytest.mark.slow
def test_memory_is_flat_over_a_thousand_planes() -> None:
    """After 1,000 planes at most a tenth more is held than after 100.

    In a process of its own: what other tests left behind would be counted too.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        held = pool.apply(resident)
    assert held[PLANES - 1] <= 1.1 * held[100], held
