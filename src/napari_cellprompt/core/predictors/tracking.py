"""What a network does with memories: prompts, masks, memories and tracking of objects.

Knows no images, files or ids. Everything is per object; objects whose memories have the
same layout run as one batch. Which memories an object attends to follows Meta's video
predictor (``sam2`` 1.1.0) unless :class:`TrackSettings` say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.networks.layers import sine_position_encoding
from napari_cellprompt.core.networks.sam2 import (
    FrameMemory,
    HeadsOutput,
    ImageFeatures,
    ObjectPointer,
)

from .drawing import draw_prompts
from .prompting import LOGIT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_cellprompt.core.networks.sam2 import SAM2
    from napari_cellprompt.core.zoo.registry import DrawingSpec

__all__ = [
    "MAX_POINTERS",
    "ObjectFrame",
    "ObjectMemory",
    "TrackSettings",
    "condition_objects",
    "encode_frames",
    "mask_frame",
    "prompt_frame",
    "select_prompted",
    "track_frame",
]

MAX_POINTERS = 16
"""Object pointers reach back to fewer frames than this."""


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """Which memories tracking uses; the defaults are Meta's."""

    max_memories: int = 7
    """Prompted frames and the nearest frames before this one: 1 is the prompted ones
    alone, the network's ``num_maskmem`` is all. Fewer are faster."""
    max_prompted: int | None = None
    """Prompted frames attended to, at least 2; None: all of them."""
    stride: int = 1
    """Frames between the memories that are further back than the nearest one."""
    pool_older: bool = False
    """Halve the grid of all memories but those of the nearest and of prompted frames."""
    carry: bool = False
    """Give the nearest frame's logits as mask prompt, for models trained so."""
    multimask: bool = True
    """While tracking, take the best of three masks; models that were trained with drawn
    prompts want False."""

    def __post_init__(self) -> None:
        if self.max_memories < 1 or self.stride < 1:
            raise ValueError(
                "max_memories and stride must be at least 1: "
                f"got {self.max_memories} and {self.stride}."
            )
        if self.max_prompted is not None and self.max_prompted < 2:
            raise ValueError(
                f"max_prompted must be None or at least 2: got {self.max_prompted}."
            )

    @property
    def reach(self) -> int:
        """The largest distance in frames at which a tracked frame's memory is used."""
        return (self.max_memories - 1) * self.stride + 1


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFrame:
    """One object on one frame."""

    low_res: Tensor
    """``(1, S/4, S/4)`` float32 logits."""
    memory: Tensor | None
    """``(mem_dim, h, w)`` bfloat16; None where it is not encoded yet or was pruned."""
    pointer: Tensor
    """``(D,)``."""
    object_logit: float
    """Above 0 the object is on this frame."""
    iou: float
    """Predicted IoU of the mask, 0 to 1."""
    prompted: bool
    """Whether a user said what the object is here."""

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        parts = [self.low_res, self.pointer, self.memory]
        return sum(x.numel() * x.element_size() for x in parts if x is not None)


@dataclass(slots=True, eq=False)
class ObjectMemory:
    """One object over frames of one geometry."""

    prompted: dict[int, ObjectFrame] = field(default_factory=dict)
    """By frame; every later and earlier frame may attend to these."""
    tracked: dict[int, ObjectFrame] = field(default_factory=dict)
    """By frame; a frame is in one of the two at most."""

    def at(self, frame: int) -> ObjectFrame | None:
        """What is remembered of a frame."""
        found = self.prompted.get(frame)
        return self.tracked.get(frame) if found is None else found

    def prune(self, frame: int, *, settings: TrackSettings) -> None:
        """Forget what no frame next to ``frame`` or to a prompted one can attend to.

        Tracking, which has come to ``frame``, goes on as if nothing was forgotten, and
        so it does from any prompted frame in either direction. What stays does not grow
        with the number of frames tracked.
        """
        centres = (frame, *self.prompted)
        for index in list(self.tracked):
            distance = min(abs(index - centre) for centre in centres)
            if distance > max(settings.reach, MAX_POINTERS):
                del self.tracked[index]
            elif distance > settings.reach:
                self.tracked[index] = replace(self.tracked[index], memory=None)

    @property
    def nbytes(self) -> int:
        """Memory that all frames take, in bytes."""
        frames = (*self.prompted.values(), *self.tracked.values())
        return sum(item.nbytes for item in frames)


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
    for layout, rows in _by_layout(network, objects, frame, reverse, num_frames, settings):
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
    for layout, rows in _by_layout(network, objects, frame, reverse, num_frames, settings):
        members = [objects[row] for row in rows]
        part = _condition(network, features, members, layout, num_frames, start)
        for row, embed in zip(rows, part.embed, strict=True):
            embeds[row] = embed
    return ImageFeatures(
        torch.stack([embed for embed in embeds if embed is not None]), features.high_res
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which frames of an object are attended to; objects of one layout make a batch."""

    memories: tuple[tuple[int, int, bool], ...]
    """Frame, distance (0: prompted) and whether the grid is halved."""
    pointers: tuple[tuple[int, int], ...]
    """Frame and distance."""
    carried: int | None
    """The frame whose logits are given as mask prompt."""
    multimask: bool


def _by_layout(
    network: SAM2,
    objects: Sequence[ObjectMemory],
    frame: int,
    reverse: bool,
    num_frames: int,
    settings: TrackSettings,
) -> list[tuple[_Layout, list[int]]]:
    groups: dict[_Layout, list[int]] = {}
    for row, item in enumerate(objects):
        layout = _layout(network, item, frame, reverse, num_frames, settings)
        groups.setdefault(layout, []).append(row)
    return list(groups.items())


def _layout(
    network: SAM2,
    item: ObjectMemory,
    frame: int,
    reverse: bool,
    num_frames: int,
    settings: TrackSettings,
) -> _Layout:
    """Meta's choice of memories and pointers, shortened where the settings say so."""
    if not any(out.memory is not None for out in item.prompted.values()):
        raise ValueError(
            "An object can only be tracked from a prompted frame whose memory is encoded: "
            f"frame {frame} has none to attend to."
        )
    onward = -1 if reverse else 1
    selected = select_prompted(frame, item.prompted, settings.max_prompted)
    memories = [(t, 0, False) for t in selected if item.prompted[t].memory is not None]
    for distance in range(min(settings.max_memories, network.num_maskmem) - 1, 0, -1):
        index = _frame_before(frame, distance, settings.stride, reverse)
        found = item.tracked.get(index)
        if found is None and index not in selected:
            # a prompted frame that was left out stands in as if it had been tracked
            found = item.prompted.get(index)
        if found is not None and found.memory is not None:
            memories.append((index, distance, settings.pool_older and distance > 1))
    pointers = [(t, (frame - t) * onward) for t in selected if (frame - t) * onward >= 0]
    for distance in range(1, min(num_frames, MAX_POINTERS)):
        index = frame - onward * distance
        if index in item.tracked or (index in item.prompted and index not in selected):
            pointers.append((index, distance))
    nearest = frame - onward
    return _Layout(
        tuple(memories),
        tuple(pointers),
        nearest if settings.carry and item.at(nearest) is not None else None,
        settings.multimask,
    )


def select_prompted(
    frame: int, prompted: Mapping[int, ObjectFrame], limit: int | None
) -> list[int]:
    """The prompted frames that ``frame`` attends to, by Meta's rule.

    All of them, or of a limited number the nearest before, the nearest at or after, and
    then those nearest in time.
    """
    if limit is None or len(prompted) <= limit:
        return list(prompted)
    before = [max((t for t in prompted if t < frame), default=None)]
    after = [min((t for t in prompted if t >= frame), default=None)]
    chosen = [t for t in (*before, *after) if t is not None]
    others = sorted((t for t in prompted if t not in chosen), key=lambda t: abs(t - frame))
    return chosen + others[: limit - len(chosen)]


def _frame_before(frame: int, distance: int, stride: int, reverse: bool) -> int:
    """The frame that the memory of a given distance is taken from.

    The nearest one is the neighbour; those further back lie on multiples of the stride.
    """
    if distance == 1:
        return frame + 1 if reverse else frame - 1
    if reverse:
        return -(-(frame + 2) // stride) * stride + (distance - 2) * stride
    return (frame - 2) // stride * stride - (distance - 2) * stride


def _condition(
    network: SAM2,
    features: ImageFeatures,
    members: Sequence[ObjectMemory],
    layout: _Layout,
    num_frames: int,
    start: Tensor,
) -> ImageFeatures:
    memories = []
    for index, distance, halved in layout.memories:
        kept = [frame.memory for frame in _frames_at(members, index)]
        stored = torch.stack([memory for memory in kept if memory is not None])
        stored = stored.to(features.embed.device, features.embed.dtype)
        positions = sine_position_encoding(
            stored.shape[2], stored.shape[3], network.mem_dim, stored.device
        )
        if halved:
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
