"""A segmenter without weights: flood fill around a click, threshold inside a box."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_cellprompt.core.images.tiles import read_tile
from napari_cellprompt.core.inference.model import Shown
from napari_cellprompt.core.inference.opening import open_model
from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.core.types import Candidate, CroppedMask, Prediction, Prompts, Tile
from napari_cellprompt.session.segment import LoadedSegmenter

if TYPE_CHECKING:
    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.zoo.load import LoadedModel

SIDE = 64


class FakeSegmenter:
    """Deterministic stand-in for ``PlaneSegmenter`` that counts what is asked of it.

    The whole object is the connected region brighter than the middle of the plane's
    range that holds the first positive click (a disk of radius 3 where there is none);
    part and subpart are erosions of it. Negative clicks cut a disk of radius 3.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.predicted: list[Prompts] = []
        self.batches: list[int] = []
        self.prepared: list[tuple[float, float]] = []
        self.hints: list[float | None] = []
        self.threads: set[int] = set()
        self.gate: threading.Event | None = None
        self.error: Exception | None = None

    def predict(
        self,
        plane: PlaneSource,
        prompts: Prompts,
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Prediction:
        self.predicted.append(prompts)
        self.hints.append(size_hint)
        self.threads.add(threading.get_ident())
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        time.sleep(self.seconds)
        whole = _object(_grey(plane), prompts)
        masks = [whole, *(ndimage.binary_erosion(whole, iterations=n) for n in (1, 2))]
        scores = (0.9, 0.7, 0.5)
        return Prediction(
            tuple(
                _candidate(mask, score) for mask, score in zip(masks, scores, strict=False)
            ),
            object_score=1.0,
            tile=Tile(1.0, 0, 0, SIDE),
            seconds=self.seconds,
        )

    def predict_many(
        self, plane: PlaneSource, prompts: Sequence[Prompts], **options: Any
    ) -> list[Prediction]:
        self.batches.append(len(prompts))
        return [self.predict(plane, item, **options) for item in prompts]

    def prepare(
        self,
        plane: PlaneSource,
        xy: tuple[float, float],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.prepared.append(xy)

    @property
    def model(self) -> Any:
        """What shows the pixels that a network would get."""
        return self

    def show(self, plane: PlaneSource, seen: Tile | Prompts, **_: Any) -> Shown:
        tile = Tile(1.0, 0, 0, SIDE) if isinstance(seen, Prompts) else seen
        return Shown(read_tile(plane, tile, SIDE), tile)

    def load(self, name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        """Loader for ``SegmentSession``."""
        return LoadedSegmenter(self, name, "cpu")


def _grey(plane: PlaneSource) -> np.ndarray:
    pixels = plane.read(0, plane.shape[0], 0, plane.shape[1])
    return pixels if pixels.ndim == 2 else pixels.max(axis=2)


def _disk(shape: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def _object(grey: np.ndarray, prompts: Prompts) -> np.ndarray:
    bright = grey > (float(grey.min()) + float(grey.max())) / 2
    mask = np.zeros(grey.shape, dtype=bool)
    if prompts.box is not None:
        x0, y0, x1, y1 = (max(round(value), 0) for value in prompts.box)
        inside = np.zeros_like(mask)
        inside[y0:y1, x0:x1] = True
        mask |= inside & (bright if (bright & inside).any() else True)
    if prompts.mask is not None:
        inside = decode(prompts.mask)
        mask |= inside & (bright if (bright & inside).any() else True)
    regions, _ = ndimage.label(bright)
    for path, label in prompts.strokes:
        for x, y in path:
            row, column = round(y), round(x)
            if label == 0:
                mask &= ~_disk(grey.shape, x, y, 3)
            elif regions[row, column]:
                mask |= regions == regions[row, column]
    for (x, y), label in zip(prompts.points, prompts.labels, strict=True):
        row = min(max(round(y), 0), grey.shape[0] - 1)
        column = min(max(round(x), 0), grey.shape[1] - 1)
        if label == 0:
            mask &= ~_disk(grey.shape, x, y, 3)
        elif regions[row, column]:
            mask |= regions == regions[row, column]
        else:
            mask |= _disk(grey.shape, x, y, 3)
    return mask


def _candidate(mask: np.ndarray, score: float) -> Candidate:
    logits = np.where(mask, 8.0, -8.0).astype(np.float32)
    return Candidate(CroppedMask(mask, (0, 0), mask.shape), logits, score)


class FollowingSegmenter(FakeSegmenter):
    """A ``FakeSegmenter`` that propagation can use, together with ``follow_bright``.

    A small network with random weights is there for what is remembered and measured;
    no mask comes from it.
    """

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self._real = open_model(model)
        self.corrected: list[Prompts] = []

    @property
    def model(self) -> Any:
        return self._real

    def predict_many(
        self,
        plane: PlaneSource,
        prompts: Sequence[Prompts],
        *,
        size_hint: float | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Prediction]:
        """Clicks add to the mask that came along, or cut from it."""
        self.corrected += prompts
        return [self._one(plane, item) for item in prompts]

    def _one(self, plane: PlaneSource, prompts: Prompts) -> Prediction:
        mask = np.zeros(plane.shape, dtype=bool)
        if prompts.mask is not None:
            mask |= decode(prompts.mask)
        positive = [label == 1 for label in prompts.labels]
        if any(positive) or prompts.box is not None:
            mask |= _object(_grey(plane), prompts)
        for (x, y), label in zip(prompts.points, prompts.labels, strict=True):
            if label == 0:
                mask &= ~_disk(mask.shape, x, y, 3)
        return Prediction(
            (_candidate(mask, 0.8),),
            object_score=1.0,
            tile=Tile(1.0, 0, 0, SIDE),
            seconds=0.0,
        )
