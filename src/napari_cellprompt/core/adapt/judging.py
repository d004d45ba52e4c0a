"""How well a model does on objects that it has not learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.masks.simulated import correction, innermost, iou
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.load import LoadedModel

    from .lessons import Case
    from .settings import AdaptSettings

__all__ = ["Judgement", "is_better", "judge"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Means over objects."""

    click: float
    """IoU from one click."""
    box: float
    """IoU from the true box."""
    corrections: float
    """Clicks after the first until the wanted IoU is reached."""
    objects: int

    @property
    def iou(self) -> float:
        """Mean of click and box."""
        return (self.click + self.box) / 2


def judge(
    loaded: LoadedModel,
    cases: Sequence[Case],
    settings: AdaptSettings,
    cancelled: Callable[[], bool] | None = None,
) -> Judgement:
    """Click, correct and box every object as a user would.

    Parameters
    ----------
    loaded
        The model.
    cases
        At least one object.
    settings
        What corrections are to reach, and how many are made.
    cancelled
        Asked before each object.
    """
    segmenter = PlaneSegmenter(loaded)
    sources: dict[int, PlaneSource] = {}
    clicks, boxes, needed = [], [], []
    for row, case in enumerate(cases):
        stop_if(cancelled)
        source = sources.get(id(case.image))
        if source is None:
            source = PlaneSource.from_image(case.image, "auto", image_id=f"case {row}")
            sources[id(case.image)] = source
        truth = case.labels == case.number
        rows, columns = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
        y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        x, y = innermost(truth[y0:y1, x0:x1])
        prompts = Prompts(points=((float(x0 + x), float(y0 + y)),), labels=(1,))
        first, corrections = _corrected(segmenter, source, truth, prompts, settings)
        clicks.append(first)
        needed.append(corrections)
        box = Prompts(box=(float(x0), float(y0), float(x1), float(y1)))
        [prediction] = segmenter.predict_many(source, [box])
        boxes.append(iou(prediction.best.mask, truth))
    return Judgement(
        float(np.mean(clicks)), float(np.mean(boxes)), float(np.mean(needed)), len(cases)
    )


def _corrected(
    segmenter: PlaneSegmenter,
    source: PlaneSource,
    truth: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    prompts: Prompts,
    settings: AdaptSettings,
) -> tuple[float, int]:
    """IoU of the first click, and how many more the wanted IoU takes."""
    first = 0.0
    for count in range(settings.most_clicks):
        [prediction] = segmenter.predict_many(source, [prompts])
        mask = prediction.best.mask
        reached = iou(mask, truth)
        if count == 0:
            first = reached
        if reached >= settings.needed_iou:
            return first, count
        fix = correction(mask, truth)
        if fix is None:
            return first, count
        prompts = Prompts(
            points=(*prompts.points, fix[0]), labels=(*prompts.labels, fix[1])
        )
    return first, settings.most_clicks


def is_better(before: Judgement, after: Judgement, settings: AdaptSettings) -> bool:
    """Whether an adapted model is worth offering."""
    if after.corrections < before.corrections:
        return after.iou >= before.iou - settings.tolerance
    risen = after.iou >= before.iou + settings.margin
    return risen and after.corrections <= before.corrections
