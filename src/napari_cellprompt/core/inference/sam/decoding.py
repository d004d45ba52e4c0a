"""Brings prompts into the shapes that the networks take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.networks.sam.mask_decoder import DecoderOutput
from napari_cellprompt.core.networks.sam.sam1 import SAM1
from napari_cellprompt.core.networks.sam.sam2 import SAM2, ImageFeatures
from napari_cellprompt.core.types import box_outside, points_outside

from .drawing import draw_prompts

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PromptBatch", "decode_prompts", "gather_prompts", "mask_to_logits"]

LOGIT_LIMIT = 32.0
"""Logits of an earlier prediction are clamped to this before they go in again."""


@dataclass(frozen=True, slots=True, eq=False)
class PromptBatch:
    """The prompts of N objects, in pixels of the source image."""

    points: NDArray[np.float32]
    """``(N, K, 2)`` x, y; box corners first where there are boxes; K may be 0."""
    labels: NDArray[np.int32]
    """``(N, K)``: 1, 0, 2 and 3 (box corners), -1 (padding)."""
    masks: NDArray[np.bool_] | NDArray[np.float32] | None
    """``(N, H, W)`` bool at source size or ``(N, S/4, S/4)`` float32 logits."""

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.points)


def gather_prompts(
    *,
    bboxes: Any = None,
    points: Any = None,
    labels: Any = None,
    masks: Any = None,
    shape: tuple[int, int],
    low_res: int,
) -> PromptBatch:
    """Check prompts and pair them up object by object.

    Parameters
    ----------
    bboxes
        ``(4,)`` or ``(N, 4)`` x0, y0, x1, y1.
    points
        ``(2,)``, ``(N, 2)`` (N objects of one point), ``(N, K, 2)``, or a list of
        N lists of different length.
    labels
        To match ``points``; default all 1.
    masks
        ``(N, H, W)`` bool or integer at source size, or ``(N, low_res, low_res)``
        float logits of an earlier prediction; the first axis may be left out.
    shape
        ``(H, W)`` of the source image.
    low_res
        Side of the model's low-resolution logits.

    Raises
    ------
    PromptError
        Where nothing was given, or what was given does not pair up or lies
        outside the image.
    """
    boxes = None if bboxes is None else _boxes(bboxes, shape)
    clicks = None if points is None else _points(points, labels, shape)
    if points is None and labels is not None:
        raise PromptError("labels were given without points.")
    drawn = None if masks is None else _masks(masks, shape, low_res)
    counts = {
        name: len(value)
        for name, value in (
            ("bboxes", boxes),
            ("points", None if clicks is None else clicks[0]),
            ("masks", drawn),
        )
        if value is not None
    }
    if not counts:
        raise PromptError("give at least one of points, bboxes and masks.")
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise PromptError(
            f"prompts must pair up object by object: got {found}. "
            "Several points of one object have the shape (1, K, 2)."
        )
    count = next(iter(counts.values()))
    if count == 0:
        raise PromptError("the prompts are empty: there is no object to segment.")
    xy = np.zeros((count, 0, 2), np.float32) if clicks is None else clicks[0]
    kinds = np.zeros((count, 0), np.int32) if clicks is None else clicks[1]
    if boxes is not None:
        corners = np.tile(np.array([2, 3], np.int32), (count, 1))
        xy = np.concatenate((boxes.reshape(count, 2, 2), xy), axis=1)
        kinds = np.concatenate((corners, kinds), axis=1)
    return PromptBatch(xy, kinds, drawn)


def _numbers(value: Any, name: str) -> NDArray[np.float32]:
    """An array of finite numbers."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} must be numbers in equal rows: {error}.") from error
    if not np.isfinite(array).all():
        raise PromptError(f"{name} must be finite: got NaN or infinity.")
    return array


def _boxes(value: Any, shape: tuple[int, int]) -> NDArray[np.float32]:
    boxes = _numbers(value, "bboxes")
    if boxes.shape == (4,):
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise PromptError(f"bboxes must have the shape (4,) or (N, 4): got {boxes.shape}.")
    height, width = shape
    for x0, y0, x1, y1 in boxes:
        if x1 <= x0 or y1 <= y0:
            raise PromptError(
                f"a box must have x0 < x1 and y0 < y1: got {[x0, y0, x1, y1]}."
            )
        if box_outside((x0, y0, x1, y1), shape):
            raise PromptError(
                f"box {[x0, y0, x1, y1]} lies outside the image of "
                f"{width} x {height} pixels."
            )
    limits = np.array([width, height, width, height], np.float32)
    clipped: NDArray[np.float32] = np.clip(boxes, 0, limits)
    return clipped


def _points(
    value: Any, labels: Any, shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    groups = _ragged(value)
    if groups is None:
        xy = _numbers(value, "points")
        xy = xy[None, None] if xy.ndim == 1 else xy[:, None] if xy.ndim == 2 else xy
        if xy.ndim != 3 or xy.shape[2] != 2:
            raise PromptError(
                "points must have the shape (2,), (N, 2) or (N, K, 2): "
                f"got {np.shape(value)}."
            )
        if labels is None:
            kinds = np.ones(xy.shape[:2], np.int32)
        else:
            given = _numbers(labels, "labels")
            if given.size != xy.shape[0] * xy.shape[1]:
                raise PromptError(
                    f"labels must match points: got {given.shape} for {np.shape(value)}."
                )
            kinds = given.reshape(xy.shape[:2]).astype(np.int32)
    else:
        xy, kinds = _pad(groups, labels)
    if not np.isin(kinds, (-1, 0, 1)).all():
        raise PromptError(
            f"labels must be 1 (object) or 0 (background): got {np.unique(kinds).tolist()}."
        )
    height, width = shape
    outside = points_outside(xy, shape) & (kinds >= 0)
    if outside.any():
        x, y = xy[outside][0]
        raise PromptError(
            f"point ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels."
        )
    return xy, kinds


def _ragged(value: Any) -> list[Any] | None:
    """The groups of a list of point lists whose lengths differ; None for anything else."""
    if isinstance(value, np.ndarray | Tensor) or not isinstance(value, Sequence):
        return None
    if len(value) == 0 or np.ndim(value[0]) != 2:
        return None
    lengths = {len(group) for group in value}
    return list(value) if len(lengths) > 1 else None


def _pad(groups: list[Any], labels: Any) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Groups of unequal length as one array, padded with points of label -1."""
    if labels is not None and [len(row) for row in labels] != [len(row) for row in groups]:
        raise PromptError("labels must hold one value per point of each object.")
    longest = max(len(group) for group in groups)
    xy = np.zeros((len(groups), longest, 2), np.float32)
    kinds = np.full((len(groups), longest), -1, np.int32)
    for row, group in enumerate(groups):
        points = _numbers(group, "points")
        if points.ndim != 2 or points.shape[1] != 2:
            raise PromptError(f"points of one object must be (K, 2): got {points.shape}.")
        xy[row, : len(points)] = points
        kinds[row, : len(points)] = 1 if labels is None else labels[row]
    return xy, kinds


def _masks(
    value: Any, shape: tuple[int, int], low_res: int
) -> NDArray[np.bool_] | NDArray[np.float32]:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    masks = np.asarray(value)
    if masks.ndim == 2:
        masks = masks[None]
    if masks.dtype.kind == "f":
        if masks.shape[1:] != (low_res, low_res):
            raise PromptError(
                f"float masks are logits of the shape (N, {low_res}, {low_res}): got "
                f"{masks.shape}. Give masks at image size as bool or integer."
            )
        return masks.astype(np.float32)
    if masks.dtype.kind not in "biu" or masks.shape[1:] != tuple(shape):
        raise PromptError(
            f"masks must be bool or integer of the shape (N, {shape[0]}, {shape[1]}): "
            f"got {masks.dtype} {masks.shape}."
        )
    return masks.astype(bool)


def mask_to_logits(masks: Tensor, low_res: int) -> Tensor:
    """Logits ``(N, 1, low_res, low_res)``, -10 to 10, of masks ``(N, 1, H, W)`` in 0..1."""
    size = (low_res, low_res)
    small = F.interpolate(masks.float(), size=size, mode="bilinear", antialias=True)
    return small * 20 - 10


def decode_prompts(
    network: SAM1 | SAM2,
    features: ImageFeatures,
    points: Tensor,
    labels: Tensor,
    logits: Tensor | None,
    *,
    drawing: Any,
    multimask: bool | None,
) -> DecoderOutput:
    """Decode N objects on one image.

    Parameters
    ----------
    network, features
        The model and what it knows of the image.
    points, labels
        ``(N, K, 2)`` pixels of the model's input and ``(N, K)``, box corners first.
    logits
        ``(N, 1, S/4, S/4)`` of an earlier prediction.
    drawing
        Amplitude and sigma of the drawing where the model takes one, else None.
    multimask
        As in :meth:`MaskDecoder.forward`.
    """
    if drawing is not None:
        drawn = draw_prompts(
            points,
            labels,
            network.image_size,
            amplitude=drawing.amplitude,
            sigma=drawing.sigma,
        )
        if logits is not None:
            drawn = drawn + logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        logits = drawn
    some = points.shape[1] > 0
    return network.decode(
        features,
        None,
        points if some else None,
        labels if some else None,
        logits,
        multimask=multimask,
    )
