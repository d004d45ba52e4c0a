"""A segmenter without weights for the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.core.types import Candidate, CroppedMask, Prediction, Prompts, Tile
from napari_cellprompt.tasks.inputs import loading

if TYPE_CHECKING:
    from napari_cellprompt.core.images.planes import PlaneSource


class ThresholdSegmenter:
    """The bright region under the first point, or what is bright in the box."""

    def __init__(self) -> None:
        self.planes: list[PlaneSource] = []
        self.loaded: list[tuple[str, str]] = []

    def predict_many(
        self, plane: PlaneSource, prompts: Sequence[Prompts]
    ) -> list[Prediction]:
        self.planes.append(plane)
        grey = plane.read(0, plane.shape[0], 0, plane.shape[1])
        if grey.ndim == 3:
            grey = grey.max(axis=2)
        return [self._predict(grey, item) for item in prompts]

    def _predict(self, grey: np.ndarray, prompts: Prompts) -> Prediction:
        bright = grey > 127
        if prompts.mask is not None:
            mask = decode(prompts.mask)
        elif prompts.box is not None:
            x0, y0, x1, y1 = (round(value) for value in prompts.box)
            mask = np.zeros_like(bright)
            mask[y0:y1, x0:x1] = bright[y0:y1, x0:x1]
        else:
            regions, _ = ndimage.label(bright)
            column, row = (round(value) for value in prompts.points[0])
            mask = (regions == regions[row, column]) & bright
        # A box is surer than a click.
        logits = np.where(mask, 2 if prompts.box else 1, -1).astype(np.float32)
        cropped = CroppedMask(mask, (0, 0), grey.shape)
        tile = Tile(1.0, 0, 0, max(grey.shape))
        return Prediction((Candidate(cropped, logits, 0.9),), 1.0, tile, 0.0)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ThresholdSegmenter:
    segmenter = ThresholdSegmenter()

    def load(model: str, device: str) -> ThresholdSegmenter:
        segmenter.loaded.append((model, device))
        return segmenter

    monkeypatch.setattr(loading, "load_segmenter", load)
    return segmenter
