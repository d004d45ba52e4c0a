from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellprompt.core.types import CroppedMask


@pytest.fixture
def viewer():
    """A viewer without a window."""
    model = ViewerModel()
    yield model
    model.layers.clear()


@pytest.fixture
def make_mask():
    """Build a filled rectangle of a plane as a cropped mask."""

    def build(y0, y1, x0, x1, plane_shape=(20, 30)):
        data = np.ones((y1 - y0, x1 - x0), dtype=bool)
        return CroppedMask(data, (y0, x0), plane_shape)

    return build
