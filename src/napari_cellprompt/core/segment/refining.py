"""Objects that are there already, of another program or by hand, drawn anew by a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts load when they are used

from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.masks.labels import resolve_overlaps
from napari_cellprompt.core.masks.rle import encode_part
from napari_cellprompt.core.types import Box, Candidate, CroppedMask, Prediction, Prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource

    from .segmenter import PlaneSegmenter

__all__ = ["RefinedPlane", "objects_of", "refine_plane"]

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


def objects_of(labels: NDArray[Any]) -> dict[int, CroppedMask]:
    """The mask of each id of a plane ``(H, W)``; 0 and what is below are background."""
    ids, dense = np.unique(labels, return_inverse=True)
    numbers = dense.reshape(labels.shape) + 1
    found = {}
    for row, where in enumerate(scipy.ndimage.find_objects(numbers)):
        if where is None or ids[row] <= 0:
            continue
        rows, columns = where
        mask = numbers[where] == row + 1
        found[int(ids[row])] = CroppedMask(mask, (rows.start, columns.start), labels.shape)
    return found


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
    objects = objects_of(labels)
    ids = list(objects)
    answers: list[Candidate] = []
    kept: list[int] = []
    for start in range(0, len(ids), _TOGETHER):
        stop_if(cancelled)
        part = ids[start : start + _TOGETHER]
        asked = [_prompts_of(objects[number]) for number in part]
        found = segmenter.predict_many(plane, asked, cancelled=cancelled)
        for number, prediction in zip(part, found, strict=True):
            best = _same(objects[number], prediction)
            if best is None:
                kept.append(number)
            answers.append(best or _as_it_was(objects[number]))
        stop = start + len(part)
        drawn = None
        if stop == len(ids):
            drawn = resolve_overlaps(answers, ids, labels.shape)
        yield RefinedPlane(drawn, stop, len(ids), tuple(kept))


def _prompts_of(mask: CroppedMask) -> Prompts:
    return Prompts(mask=encode_part(mask.data, mask.origin, mask.plane_shape))


def _same(mask: CroppedMask, prediction: Prediction) -> Candidate | None:
    """The answer, where it is of the same object."""
    best = prediction.best
    given, found = mask.box, best.mask.box
    if given is None or found is None or not given.meets(found):
        return None
    box = given.union(found)
    first, second = (_in(item, box) for item in (mask, best.mask))
    shared = np.count_nonzero(first & second) / np.count_nonzero(first | second)
    return best if shared >= _SAME else None


def _in(mask: CroppedMask, box: Box) -> NDArray[np.bool_]:
    """The part of a mask in a box that holds it."""
    part = np.zeros((box.height, box.width), dtype=bool)
    rows, columns = mask.indices()
    part[rows - box.y0, columns - box.x0] = True
    return part


def _as_it_was(mask: CroppedMask) -> Candidate:
    """Given pixels as an answer that every other one is surer of."""
    logits = np.where(mask.data, np.float32(1e-3), np.float32(-1))
    return Candidate(mask, logits, 0.0)
