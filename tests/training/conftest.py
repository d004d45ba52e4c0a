from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

TRAINING = Path(__file__).parents[2] / "training"
sys.path.insert(0, str(TRAINING))


@pytest.fixture(scope="session")
def recipe() -> dict:
    """The committed recipe with one kind of image and small crops."""
    recipe = json.loads((TRAINING / "recipe.json").read_text())
    recipe["samples"] |= {"size": 64, "modalities": {"toy": 1.0}, "made_up": 0.0}
    recipe["network"] = {"decoder": [16, 16, 8, 8, 8], "entry": 8, "full": 8, "hidden": 8}
    recipe["training"] |= {"batch": 4, "warm_up_steps": 2}
    return recipe


@pytest.fixture(scope="session")
def stack():
    """Three bright discs that move through eight planes; the second ends early."""
    from napari_cellprompt.core.training.planes import make_plane, make_stack

    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :110]
    planes = []
    for position in range(8):
        labels = np.zeros((90, 110), np.uint16)
        for number, (cy, cx, radius) in enumerate(
            [(22, 25, 9), (50, 75, 13), (66, 22, 7)], 1
        ):
            if number != 2 or position < 5:
                labels[np.hypot(y - cy, x - cx - position) <= radius] = number
        image = (labels > 0) * 150 + rng.integers(0, 40, labels.shape)
        planes.append(make_plane("discs", "toy", image.astype(np.uint8), labels))
    return make_stack(planes)
