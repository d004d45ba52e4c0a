"""Makes anchors of what a user says: from points and boxes, or from a painted mask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.packed import PackedMask
from napari_cellprompt.core.masks.rle import decode as decode_rle
from napari_cellprompt.core.masks.rle import encode as encode_rle
from napari_cellprompt.core.types import CroppedMask, Prompts

from .objects import StoredPlane
from .rules import main_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter


__all__ = ["predict_anchors"]


def predict_anchors(
    segmenter: PlaneSegmenter,
    source: PlaneSource,
    prompts: Mapping[int, Prompts],
    priors: Mapping[int, PackedMask | None],
    cancelled: Callable[[], bool] | None,
) -> dict[int, StoredPlane]:
    """What the prompts of several objects mean on a plane; masks may be empty.

    Parameters
    ----------
    segmenter, source
        The model, and the plane.
    prompts
        By object. A mask alone is taken as it is, unless it is a sketch.
    priors
        By object: the mask that points correct; None where there is none.
    cancelled
        Asked before each slow step.

    Raises
    ------
    PromptError
        Where prompts are empty or do not fit the plane.
    concurrent.futures.CancelledError
        Where ``cancelled`` said so.
    """
    found: dict[int, StoredPlane] = {}
    asked: dict[int, Prompts] = {}
    for object_id, item in prompts.items():
        if _is_final(item):
            found[object_id] = _given(item, source.shape)
        else:
            asked[object_id] = _with_prior(item, priors.get(object_id))
    if not asked:
        return found
    predictions = segmenter.predict_many(source, list(asked.values()), cancelled=cancelled)
    for object_id, prediction in zip(asked, predictions, strict=True):
        best = prediction.best
        found[object_id] = StoredPlane(
            PackedMask.pack(best.mask, best.logits, rank=1),
            best.score,
            prediction.object_score,
            "prompted",
            len(main_parts(best.mask)),
            prompts=prompts[object_id],
            prior=priors.get(object_id),
        )
    return found


def _is_final(prompts: Prompts) -> bool:
    """Whether there is nothing to ask the model."""
    if prompts.mask is None or prompts.sketch:
        return False
    return not prompts.points and not prompts.strokes and prompts.box is None


def _given(prompts: Prompts, shape: tuple[int, int]) -> StoredPlane:
    """A plane whose mask was painted."""
    if prompts.mask is None or tuple(prompts.mask.size) != tuple(shape):
        size = None if prompts.mask is None else prompts.mask.size
        raise PromptError(f"The mask prompt has {size} pixels, the plane has {shape}.")
    mask = CroppedMask(decode_rle(prompts.mask), (0, 0), shape)
    if mask.box is None:
        raise PromptError("The mask prompt is empty.")
    packed = PackedMask.pack(mask, rank=1)
    return StoredPlane(packed, 1.0, 1.0, "prompted", len(main_parts(mask)), prompts=prompts)


def _with_prior(prompts: Prompts, prior: PackedMask | None) -> Prompts:
    if prior is None or prior.area == 0:
        return prompts
    return replace(prompts, mask=encode_rle(prior.mask().to_plane()))
