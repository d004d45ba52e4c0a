"""What teaching by examples and recalling them have to do with the network.

SAM 2's memory, see Ravi et al. 2024, arXiv:2408.00714, without a video: every memory is
attended to as that of a prompted frame.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.sam.decoding import PromptBatch
from napari_cellprompt.core.inference.sam.tracking import (
    ObjectFrame,
    mask_frame,
    prompt_frame,
)
from napari_cellprompt.core.networks.sam.sam2 import (
    FrameMemory,
    HeadsOutput,
    ImageFeatures,
    ObjectPointer,
)
from napari_cellprompt.core.zoo.load import LoadedModel

from .config import is_whole
from .memory_bank import MemoryBank

__all__ = [
    "as_output",
    "checked_ids",
    "memories_of",
    "prompted_frames",
    "recall",
]


def checked_ids(
    obj_ids: Any, count: int, known: Collection[int], max_obj_num: int
) -> list[int]:
    """Ids for ``count`` prompted objects beside those that are known.

    Raises
    ------
    PromptError
        Where ids and prompts do not pair up, or there are too many ids.
    """
    if obj_ids is None:
        raise PromptError(
            "obj_ids must name each object that is prompted when update_memory is "
            "set: got none."
        )
    given = list(obj_ids) if isinstance(obj_ids, Iterable) else [obj_ids]
    for value in given:
        if not is_whole(value) or value < 1:
            raise PromptError(f"obj_ids must be positive whole numbers: got {value!r}.")
    ids = [int(value) for value in given]
    if len(ids) != count:
        raise PromptError(
            f"obj_ids must name each object that is prompted: got {len(ids)} ids for "
            f"{count} objects. Several points of one object have the shape (1, K, 2)."
        )
    if len(set(ids)) != len(ids):
        raise PromptError(f"obj_ids must differ from each other: got {ids}.")
    together = sorted({*ids, *known})
    if len(together) > max_obj_num:
        raise PromptError(
            f"max_obj_num is {max_obj_num}, but there would be {len(together)} "
            f"objects: {together}. Raise max_obj_num or remove an object."
        )
    return ids


def prompted_frames(
    model: LoadedModel, features: ImageFeatures, batch: PromptBatch, shape: tuple[int, int]
) -> list[ObjectFrame]:
    """What prompts say about objects on an image of a shape, not encoded yet.

    Raises
    ------
    PromptError
        Where masks that are taken as they are come with other prompts.
    """
    network, device = model.with_memory, model.device
    side = network.image_size
    logits = None
    if batch.masks is not None:
        logits = torch.from_numpy(batch.masks)[:, None].to(device)
    if logits is not None and logits.dtype == torch.bool:
        if batch.points.shape[1]:
            raise PromptError("Give points and bboxes, or masks, but not both.")
        soft = F.interpolate(
            logits.float(), size=(side, side), mode="bilinear", antialias=True
        )
        # a cell smaller than a pixel of the input stays: it is there
        peak = soft.amax(dim=(-2, -1), keepdim=True).clamp(max=0.5)
        kept = (soft >= peak) & (soft > 0)
        return mask_frame(network, features, kept.float())
    height, width = shape
    scaled = torch.from_numpy(batch.points)
    scaled = scaled / torch.tensor([width, height], dtype=torch.float32) * side
    return prompt_frame(
        network,
        network.without_memory(features),
        scaled.to(device),
        torch.from_numpy(batch.labels).to(device),
        logits,
        drawing=model.spec.drawing,
        multimask=False,
    )


def memories_of(
    model: LoadedModel, bank: MemoryBank, obj_ids: Sequence[int]
) -> list[FrameMemory]:
    """The memories of objects that have equally many, oldest first."""
    network, device = model.with_memory, model.device
    memories = []
    for row in zip(*(bank.of(obj_id) for obj_id in obj_ids), strict=True):
        stored = torch.stack([item.memory for item in row]).to(device, torch.float32)
        positions = network.memory_positions(stored)
        memories.append(FrameMemory(stored, positions, 0))
    return memories


def recall(
    model: LoadedModel,
    bank: MemoryBank,
    features: ImageFeatures,
    obj_ids: Sequence[int],
    *,
    use_pointers: bool,
) -> HeadsOutput:
    """Find known objects on an image; those with equally many memories are one batch.

    Returns
    -------
    HeadsOutput
        One row per object, in the order of ``obj_ids``.
    """
    network = model.with_memory
    groups: dict[int, list[int]] = {}
    for row, obj_id in enumerate(obj_ids):
        groups.setdefault(len(bank.of(obj_id)), []).append(row)
    start = network.attention_start(features)
    outputs = []
    for rows in groups.values():
        members = [obj_ids[row] for row in rows]
        conditioned = network.condition(
            features,
            memories_of(model, bank, members),
            _pointers_of(model, bank, members) if use_pointers else [],
            max_distance=1,
            count=len(members),
            start=start,
        )
        outputs.append(network.heads(conditioned, None, None, None, multimask=False))
    order = torch.tensor([row for rows in groups.values() for row in rows]).argsort()
    return _joined(outputs, order.to(features.embed.device))


def as_output(frames: Sequence[ObjectFrame], side: int) -> HeadsOutput:
    """Frames of objects as the heads return them, with masks of ``side`` pixels."""
    low_res = torch.stack([frame.low_res for frame in frames])
    device = low_res.device
    return HeadsOutput(
        low_res,
        F.interpolate(low_res, size=(side, side), mode="bilinear"),
        torch.tensor([[frame.iou] for frame in frames], device=device),
        torch.stack([frame.pointer for frame in frames]),
        torch.tensor([[frame.object_logit] for frame in frames], device=device),
    )


def _pointers_of(
    model: LoadedModel, bank: MemoryBank, obj_ids: Sequence[int]
) -> list[ObjectPointer]:
    rows = zip(*(bank.of(obj_id) for obj_id in obj_ids), strict=True)
    return [
        ObjectPointer(torch.stack([x.pointer for x in row]).to(model.device), 0)
        for row in rows
    ]


def _joined(outputs: Sequence[HeadsOutput], order: Tensor) -> HeadsOutput:
    names = ("low_res", "high_res", "iou", "pointer", "object_logits")
    return HeadsOutput(
        *(torch.cat([getattr(out, name) for out in outputs])[order] for name in names)
    )
