"""Everything on images whose dense map is low: all objects are clicked, at their size."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt import everything
from napari_cellprompt.core.inference.crop.looking import Seen
from napari_cellprompt.core.inference.crop.search import _Peak, _place
from napari_cellprompt.core.inference.crops import Crop

CENTRES = ((30, 30), (90, 36), (40, 92), (98, 98))


def discs(radius: float) -> np.ndarray:
    """Four smooth bright discs on noise, which look like nothing the map was trained on."""
    rows, columns = np.mgrid[:128, :128]
    away = [np.hypot(columns - x, rows - y) - radius for x, y in CENTRES]
    clean = 200 + 1800 / (1 + np.exp(np.min(away, axis=0) / 0.8))
    noise = np.random.default_rng(0).normal(0, 36, clean.shape)
    return (clean + noise).clip(0).astype(np.uint16)


@pytest.mark.parametrize(("radius", "least"), [(9, 3), (12, 4)])
def test_objects_are_found_where_the_map_is_low(radius: float, least: int) -> None:
    image = discs(radius)
    labels = everything(image)
    found = {int(labels[y, x]) for x, y in CENTRES} - {0}
    assert len(found) == labels.max() >= least
    areas = np.bincount(labels.ravel())[1:]
    assert areas == pytest.approx(np.full(len(found), np.pi * radius**2), rel=0.2)
    # colours that are grey are the same picture
    coloured = everything(np.stack([image] * 3, axis=-1))
    np.testing.assert_array_equal(coloured, labels)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        pytest.param(np.s_[40:60, 40:64], (40, 40, 64, 60), id="a whole one"),
        pytest.param(np.s_[48:52, 49:51], (35, 35, 65, 65), id="a part of one"),
        pytest.param(np.s_[0:0, 0:0], (35, 35, 65, 65), id="none"),
    ],
)
def test_a_broken_region_gives_way_to_the_usual_size(
    region: tuple[slice, slice], expected: tuple[int, ...]
) -> None:
    logits = np.full((100, 100), -4, np.float32)
    logits[region] = 4
    rough = Seen(Crop(0.0, 0.0, 100.0, 100), logits, 0.3, 0.3)
    assert _place(_Peak((50.0, 50.0), 0.3, rough), 30.0, 0.5) == expected
