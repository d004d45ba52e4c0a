"""What a network does with memories: prompts, masks, memories and tracking of objects.

Knows no images, files or ids. Everything is per object; objects whose memories have the
same layout run as one batch; :mod:`.object_memory` chooses what is attended to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.networks.sam.sam2 import (
    FrameMemory,
    HeadsOutput,
    ImageFeatures,
    ObjectPointer,
)

from .decoding import LOGIT_LIMIT
from .drawing import draw_prompts
from .object_memory import (
    MAX_POINTERS,
    Layout,
    ObjectFrame,
    ObjectMemory,
    TrackSettings,
    by_layout,
)

if TYPE_CHECKING:
    from napari_cellprompt.core.networks.sam.sam2 import SAM2
    from napari_cellprompt.core.zoo.registry import DrawingSpec

__all__ = [
    "ObjectFrame",
    "ObjectMemory",
    "TrackSettings",
    "condition_objects",
    "encode_frames",
    "mask_frame",
    "prompt_frame",
    "track_frame",
]


# -- prompts -------------------------------------------------------------------
@torch.inference_mode()
def prompt_frame(
    network: SAM2,
    features: ImageFeatures,
    points: Tensor,
    labels: Tensor,
    logits: Tensor | None,
    *,
    drawing: DrawingSpec | None,
    multimask: bool = True,
) -> list[ObjectFrame]:
    """Predict N objects on one frame from prompts; their memory is not encoded yet.

    Parameters
    ----------
    network
        In evaluation mode.
    features
        As the decoder takes them: of :meth:`SAM2.without_memory` on a frame that nothing
        is remembered for, of :func:`condition_objects` for a correction. One frame, or
        one row for each object.
    points, labels
        ``(N, K, 2)`` pixels of the model's input and ``(N, K)``, box corners first; K
        may be 0 where ``logits`` are given.
    logits
        ``(N, 1, S/4, S/4)``: an earlier prediction on this frame, or a rough mask.
    drawing
        Set for models that expect prompts drawn into the mask prompt.
    multimask
        Take the best of three masks where there is a single point (Meta's rule);
        models that expect drawn prompts always give one.
    """
    mask_input = None if logits is None else logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    if drawing is not None:
        drawn = draw_prompts(
            points,
            labels,
            network.image_size,
            amplitude=drawing.amplitude,
            sigma=drawing.sigma,
        )
        mask_input = drawn if mask_input is None else drawn + mask_input
    ambiguous = (labels >= 0).sum(dim=1) <= 1
    three = ambiguous & multimask & (drawing is None)
    count = len(points)
    found: list[ObjectFrame | None] = [None] * count
    for best_of_three in (True, False):
        rows = torch.nonzero(three == best_of_three)[:, 0]
        if not len(rows):
            continue
        out = network.heads(
            features if len(rows) == count else _rows(features, rows),
            points[rows] if points.shape[1] else None,
            labels[rows] if points.shape[1] else None,
            None if mask_input is None else mask_input[rows],
            multimask=best_of_three,
        )
        for row, frame in zip(rows.tolist(), _frames(out, prompted=True), strict=True):
            found[row] = frame
    return [frame for frame in found if frame is not None]


@torch.inference_mode()
def mask_frame(network: SAM2, features: ImageFeatures, masks: Tensor) -> list[ObjectFrame]:
    """Take the masks of N objects on one frame as they are; memory is not encoded yet.

    Parameters
    ----------
    network
        In evaluation mode.
    features
        Of :meth:`SAM2.frame_features`, one frame.
    masks
        ``(N, 1, S, S)`` of 0 and 1; an empty one says that the object is not there.
    """
    return _frames(network.heads_from_mask(features, masks), prompted=True)


@torch.inference_mode()
def encode_frames(
    network: SAM2,
    features: ImageFeatures,
    frames: Sequence[ObjectFrame],
    *,
    binarize: bool,
) -> list[ObjectFrame]:
    """Add memories to objects of one frame.

    Parameters
    ----------
    network
        In evaluation mode.
    features
        Of :meth:`SAM2.frame_features`, the frame that the objects are on.
    frames
        The objects.
    binarize
        True for what a user has prompted, False for what was tracked.
    """
    if not frames:
        return []
    side = network.image_size
    low_res = torch.stack([frame.low_res for frame in frames])
    full = F.interpolate(low_res, size=(side, side), mode="bilinear")
    scores = torch.tensor([[frame.object_logit] for frame in frames], device=full.device)
    return _with_memory(network, features, frames, full, scores, binarize=binarize)


# -- tracking ------------------------------------------------------------------
@torch.inference_mode()
def track_frame(
    network: SAM2,
    features: ImageFeatures,
    objects: Sequence[ObjectMemory],
    frame: int,
    *,
    reverse: bool,
    num_frames: int,
    settings: TrackSettings,
) -> list[ObjectFrame]:
    """Predict N objects on a frame from what is remembered of them, memory included.

    Parameters
    ----------
    network
        In evaluation mode.
    features
        Of :meth:`SAM2.frame_features`, this frame.
    objects
        Each with a prompted frame whose memory is encoded; they are not changed.
    frame
        Index of this frame.
    reverse
        Whether tracking goes backwards.
    num_frames
        Of the whole stack; fewer than 16 shorten the reach of object pointers.
    settings
        Which memories are used.

    Raises
    ------
    ValueError
        Where an object has no prompted frame with a memory.
    """
    found: list[ObjectFrame | None] = [None] * len(objects)
    start = None
    for layout, rows in by_layout(network, objects, frame, reverse, num_frames, settings):
        start = network.attention_start(features) if start is None else start
        members = [objects[row] for row in rows]
        conditioned = _condition(network, features, members, layout, num_frames, start)
        mask_input = _carried(members, layout.carried)
        out = network.heads(conditioned, None, None, mask_input, multimask=layout.multimask)
        frames = _with_memory(
            network,
            features,
            _frames(out, prompted=False),
            out.high_res,
            out.object_logits,
            binarize=False,
        )
        for row, item in zip(rows, frames, strict=True):
            found[row] = item
    return [item for item in found if item is not None]


@torch.inference_mode()
def condition_objects(
    network: SAM2,
    features: ImageFeatures,
    objects: Sequence[ObjectMemory],
    frame: int,
    *,
    reverse: bool,
    num_frames: int,
    settings: TrackSettings,
) -> ImageFeatures:
    """Features of a frame for the correction of N objects, ``embed`` ``(N, D, h, w)``.

    Parameters and errors are those of :func:`track_frame`.
    """
    embeds: list[Tensor | None] = [None] * len(objects)
    start = network.attention_start(features)
    for layout, rows in by_layout(network, objects, frame, reverse, num_frames, settings):
        members = [objects[row] for row in rows]
        part = _condition(network, features, members, layout, num_frames, start)
        for row, embed in zip(rows, part.embed, strict=True):
            embeds[row] = embed
    return ImageFeatures(
        torch.stack([embed for embed in embeds if embed is not None]), features.high_res
    )


def _condition(
    network: SAM2,
    features: ImageFeatures,
    members: Sequence[ObjectMemory],
    layout: Layout,
    num_frames: int,
    start: Tensor,
) -> ImageFeatures:
    memories = []
    for index, distance, halved in layout.memories:
        kept = [frame.memory for frame in _frames_at(members, index)]
        stored = torch.stack([memory for memory in kept if memory is not None])
        stored = stored.to(features.embed.device, features.embed.dtype)
        positions = network.memory_positions(stored)
        # EdgeTAM's memories are small as they are, and not all of them is a grid
        if halved and network.spatial_perceiver is None:
            stored, positions = F.avg_pool2d(stored, 2), F.avg_pool2d(positions, 2)
        memories.append(FrameMemory(stored, positions, distance))
    pointers = [
        ObjectPointer(torch.stack([f.pointer for f in _frames_at(members, t)]), distance)
        for t, distance in layout.pointers
    ]
    return network.condition(
        features,
        memories,
        pointers,
        max_distance=max(1, min(num_frames, MAX_POINTERS) - 1),
        count=len(members),
        start=start,
    )


def _frames_at(members: Sequence[ObjectMemory], index: int) -> list[ObjectFrame]:
    return [frame for item in members if (frame := item.at(index)) is not None]


def _carried(members: Sequence[ObjectMemory], index: int | None) -> Tensor | None:
    """Logits of the neighbouring frame as a mask prompt."""
    if index is None:
        return None
    logits = torch.stack([frame.low_res for frame in _frames_at(members, index)])
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


# -- results of the network ----------------------------------------------------
def _frames(out: HeadsOutput, *, prompted: bool) -> list[ObjectFrame]:
    ious = out.iou.float().amax(dim=1).tolist()
    scores = out.object_logits[:, 0].float().tolist()
    return [
        ObjectFrame(mask.clone(), None, pointer.clone(), score, iou, prompted)
        for mask, pointer, score, iou in zip(
            out.low_res, out.pointer, scores, ious, strict=True
        )
    ]


def _with_memory(
    network: SAM2,
    features: ImageFeatures,
    frames: Sequence[ObjectFrame],
    full: Tensor,
    scores: Tensor,
    *,
    binarize: bool,
) -> list[ObjectFrame]:
    memory, _ = network.encode_memory(features.embed, full, scores, binarize=binarize)
    # as the reference keeps it, so that what is attended to is the same
    stored = memory.to(torch.bfloat16)
    return [
        replace(frame, memory=row.clone())
        for frame, row in zip(frames, stored, strict=True)
    ]


def _rows(features: ImageFeatures, rows: Tensor) -> ImageFeatures:
    """Some of the objects; features of one frame serve them all."""
    if len(features.embed) == 1:
        return features
    low, high = features.high_res
    if len(low) > 1:
        low, high = low[rows], high[rows]
    return ImageFeatures(features.embed[rows], (low, high))
