"""An object between known planes, with its outline pulled by the image.

Each filled plane goes as a mask prompt to the model. How far the answer counts is found out
where the object is known: there the mask of the other end of the gap is the prompt, and
only a model that brings it nearer to the outline that a person drew is listened to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy  # its parts load when they are used

from napari_cellprompt.core.masks.crop import cut_candidate, mask_iou, on_rectangle
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.types import CroppedMask, Prompts

from .between import neighbours

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.types import Candidate

    from .between import Between

__all__ = ["LookedAt"]

_PULL = 20.0
"""Weight of the image for each unit of IoU that looking adds where it is known ..."""
_STRONGEST = 3.0
"""... up to this; that of the filled mask is 1."""
_BAND = 0.4
"""Share of an object's radius over which its filled outline may be pulled."""
_LEAST = 0.3
"""IoU with the filled mask: an answer with less is another object."""
_OUTSIDE = -8.0
"""Logit where the model says nothing."""


class LookedAt:
    """One object, filled in and looked at, plane by plane.

    Parameters
    ----------
    filled
        The object.
    segmenter
        The model.
    stack
        The planes.
    """

    def __init__(self, filled: Between, segmenter: PlaneSegmenter, stack: Stack) -> None:
        self.filled = filled
        self._segmenter = segmenter
        self._stack = stack
        self._pull: tuple[tuple[int, int], float] | None = None

    @property
    def known(self) -> list[int]:
        """Planes on which it is known, in order."""
        return self.filled.known

    @property
    def missing(self) -> list[int]:
        """Planes between on which it is not, in order."""
        return self.filled.missing

    def at(self, plane: int, cancelled: Callable[[], bool] | None = None) -> CroppedMask:
        """The object on a plane from the first to the last that is known.

        The first plane of each gap takes two more looks, at both of its ends.

        Raises
        ------
        PromptError
            For a plane that does not lie between.
        concurrent.futures.CancelledError
            Where ``cancelled`` said so.
        """
        mask = self.filled.at(plane)
        if plane in self.filled.known or not mask.area:
            return mask
        pull = self._pull_at(plane, cancelled)
        if pull <= 0:
            return mask
        answer = self._ask(plane, mask, cancelled)
        if mask_iou(answer.mask, mask) < _LEAST:
            return mask
        return _pulled(mask, answer, pull)

    def _pull_at(self, plane: int, cancelled: Callable[[], bool] | None) -> float:
        """How far the model is listened to in the gap that holds a plane."""
        ends = neighbours(self.filled.known, plane)
        if self._pull is None or self._pull[0] != ends:
            gains = []
            for known, mask in self.filled.exchanged(plane):
                truth = self.filled.at(known)
                answer = self._ask(known, mask, cancelled).mask
                gains.append(mask_iou(answer, truth) - mask_iou(mask, truth))
            gain = float(np.mean(gains)) if gains else 0.0
            self._pull = (ends, min(_PULL * gain, _STRONGEST))
        return self._pull[1]

    def _ask(
        self, plane: int, mask: CroppedMask, cancelled: Callable[[], bool] | None
    ) -> Candidate:
        prompts = Prompts(mask=encode(mask.to_plane()))
        source = self._stack.plane(plane)
        return self._segmenter.predict(source, prompts, cancelled=cancelled).best


def _pulled(mask: CroppedMask, answer: Candidate, pull: float) -> CroppedMask:
    """Between the filled outline and the model's, both as soft steps."""
    one, other = mask.box, answer.mask.box
    if one is None or other is None:
        return mask
    around = one.union(other)
    inside = np.pad(on_rectangle(mask.data, mask.origin, around, False), 1)
    distance = scipy.ndimage.distance_transform_edt(inside)
    distance -= scipy.ndimage.distance_transform_edt(~inside)
    band = _BAND * np.sqrt(mask.area / np.pi) + 1
    logits = on_rectangle(answer.logits, answer.mask.origin, around, np.float32(_OUTSIDE))
    both = np.tanh(distance[1:-1, 1:-1] / band) + pull * np.tanh(logits / 2)
    cut = cut_candidate(
        both.astype(np.float32),
        answer.score,
        origin=(around.y0, around.x0),
        plane_shape=mask.plane_shape,
    )
    return cut.mask if cut.mask.area else mask
