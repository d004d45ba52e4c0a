"""Objects that are there already, of another program or by hand, drawn anew by a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.masks.crop import mask_iou
from napari_cellprompt.core.masks.labels import masks_of, resolve_overlaps
from napari_cellprompt.core.masks.rle import encode_part
from napari_cellprompt.core.types import Candidate, CroppedMask, Prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource

    from .segmenter import PlaneSegmenter

__all__ = ["RefinedPlane", "refine_plane"]

_TOGETHER = 16
"""Objects asked for in one step: so often clicks are let in between, and Stop is heard."""
_SAME = 0.25
"""An answer that shares less with what was given is of something else."""


@dataclass(frozen=True, slots=True, eq=False)
class RefinedPlane:
    """The objects of a plane, as far as they were gone through."""

    labels: NDArray[Any] | None
    """``(H, W)`` with the ids that were given; None before all were gone through."""
    done: int
    """Objects that were gone through."""
    total: int
    kept: tuple[int, ...]
    """Ids whose outline was left as it was, since the model found nothing there."""


def refine_plane(
    segmenter: PlaneSegmenter,
    plane: PlaneSource,
    labels: NDArray[Any],
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[RefinedPlane]:
    """Give each object of a plane to the model as a mask prompt.

    Where two answers overlap the higher logit wins. An object that the model does not
    find, or mistakes for another one, stays as it was.

    Parameters
    ----------
    segmenter
        The model.
    plane
        The image.
    labels
        ``(H, W)`` integers of the same rows and columns; never written to.
    cancelled
        Asked before each step.

    Yields
    ------
    RefinedPlane
        After a few objects each; the last one has all. Nothing for an empty plane.

    Raises
    ------
    concurrent.futures.CancelledError
        Where ``cancelled`` said so.
    """
    objects = dict(masks_of(labels))
    ids = list(objects)
    answers: list[Candidate] = []
    kept: list[int] = []
    for start in range(0, len(ids), _TOGETHER):
        stop_if(cancelled)
        part = ids[start : start + _TOGETHER]
        asked = [_prompts_of(objects[number]) for number in part]
        found = segmenter.predict_many(plane, asked, cancelled=cancelled)
        for number, prediction in zip(part, found, strict=True):
            best, given = prediction.best, objects[number]
            if mask_iou(given, best.mask) < _SAME:
                kept.append(number)
                best = _as_it_was(given)
            answers.append(best)
        stop = start + len(part)
        drawn = None
        if stop == len(ids):
            drawn = resolve_overlaps(answers, ids, labels.shape)
        yield RefinedPlane(drawn, stop, len(ids), tuple(kept))


def _prompts_of(mask: CroppedMask) -> Prompts:
    return Prompts(mask=encode_part(mask.data, mask.origin, mask.plane_shape))


def _as_it_was(mask: CroppedMask) -> Candidate:
    """Given pixels as an answer that every other one is surer of."""
    logits = np.where(mask.data, np.float32(1e-3), np.float32(-1))
    return Candidate(mask, logits, 0.0)
