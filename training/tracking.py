"""Follows the objects of a clip as the package does, with gradients and a loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from losses import decoder_loss
from napari_cellprompt.core.inference.sam.decoding import mask_to_logits
from napari_cellprompt.core.networks.sam2 import FrameMemory, ImageFeatures, ObjectPointer
from objective import LOGIT_LIMIT, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from clips import Clip
    from napari_cellprompt.core.networks.mask_decoder import DecoderOutput
    from napari_cellprompt.core.networks.sam2 import SAM2

__all__ = ["Tracked", "clip_loss", "follow", "prepare_memory"]

POINTER_DISTANCE = 15
"""What the temporal code of object pointers calls 1, as for clips of 16 frames or more."""


@dataclass(slots=True, eq=False)
class Tracked:
    """What is remembered of N objects on one frame."""

    memory: Tensor
    positions: Tensor
    pointer: Tensor


@torch.no_grad()
def prepare_memory(network: SAM2, images: Tensor) -> None:
    """Let memory attention begin near the features that the decoder knows.

    Its residual branches start at zero; the affine part of its last norm is fitted, so
    that an image passes through nearly as ``without_memory`` would give it.
    """
    attention = network.memory_attention
    for layer in attention.layers:
        for part in (
            layer.self_attn.out_proj,
            layer.cross_attn_image.out_proj,
            layer.linear2,
        ):
            torch.nn.init.zeros_(part.weight)
            torch.nn.init.zeros_(part.bias)
    features = network.frame_features(images)
    wanted = network.without_memory(features).embed.flatten(2).transpose(1, 2)
    seen = features.embed.flatten(2).transpose(1, 2)
    normed = F.layer_norm(seen, seen.shape[-1:])
    x, y = normed.flatten(0, 1), wanted.flatten(0, 1)
    centre_x, centre_y = x.mean(0), y.mean(0)
    slope = ((x - centre_x) * (y - centre_y)).mean(0) / x.var(0, unbiased=False)
    attention.norm.weight.copy_(slope)
    attention.norm.bias.copy_(centre_y - slope * centre_x)
    for block in network.memory_encoder.fuser.layers:
        block.gamma.fill_(0.1)
    network.maskmem_tpos_enc.normal_(std=0.02)
    network.no_obj_embed_spatial.normal_(std=0.02)
    network.no_obj_ptr.normal_(std=0.02)


def _boxes(masks: Tensor) -> Tensor:
    """Corners ``(N, 2, 2)`` of masks ``(N, S, S)``, edges half a pixel off the centres."""
    corners = torch.zeros(len(masks), 2, 2)
    for row, mask in enumerate(masks):
        ys, xs = torch.where(mask)
        corners[row, 0] = torch.tensor((xs.min(), ys.min())) - 0.5
        corners[row, 1] = torch.tensor((xs.max(), ys.max())) + 0.5
    return corners.to(masks.device)


def _clicks(masks: Tensor, rng: np.random.Generator) -> Tensor:
    """A pixel ``(N, 1, 2)`` of each mask ``(N, S, S)``, rather inside than at the rim."""
    inner = F.avg_pool2d(masks[:, None].float(), 17, 1, 8)[:, 0] * masks
    points = torch.zeros(len(masks), 1, 2)
    for row, depth in enumerate(inner):
        places = torch.nonzero(depth >= 0.7 * depth.max())
        y, x = places[int(rng.integers(len(places)))]
        points[row, 0] = torch.tensor((float(x), float(y)))
    return points.to(masks.device)


def _frame(features: ImageFeatures, index: int) -> ImageFeatures:
    low, high = features.high_res
    part = slice(index, index + 1)
    return ImageFeatures(features.embed[part], (low[part], high[part]))


def remember(
    network: SAM2,
    features: ImageFeatures,
    logits: Tensor,
    out: DecoderOutput,
    *,
    binarize: bool,
) -> Tracked:
    """Memory and pointer of one frame from its low-resolution logits ``(N, 1, s, s)``."""
    full = F.interpolate(logits, size=(network.image_size,) * 2, mode="bilinear")
    seen = (out.object_logits > 0).float()
    projected = network.obj_ptr_proj(out.tokens[:, 0])
    pointer = seen * projected + (1 - seen) * network.no_obj_ptr
    memory, positions = network.encode_memory(
        features.embed, full, out.object_logits, binarize=binarize
    )
    return Tracked(memory, positions, pointer)


def clip_loss(
    network: SAM2, clip: Clip, config: dict[str, Any], rng: np.random.Generator
) -> tuple[Tensor, dict[str, float]]:
    """Prompt the objects of a clip on its first frame and follow them.

    Besides the loss of tracking there is that of the prompts themselves, so that the
    decoder does not forget them. Of objects that are not there the score must say so.
    """
    settings = config["memory"]
    with torch.no_grad():
        features = network.frame_features(clip.images)
    side = network.image_size // 4
    targets = F.interpolate(
        clip.masks.float(), size=(side, side), mode="bilinear", antialias=True
    )
    first, total = _start(
        network, _frame(features, 0), clip.masks[0], targets[0], config, rng
    )
    logits = mask_to_logits(clip.masks[0][:, None].float(), side)
    recent: list[tuple[int, Tracked]] = []
    keep = int(rng.integers(0, network.num_maskmem))
    carry = rng.random() < settings["carry_share"]
    scores, presence = [], []
    for index in range(1, len(clip.images)):
        current = _frame(features, index)
        out = track(
            network,
            current,
            index,
            first,
            recent[-keep:] if keep else [],
            logits if carry else None,
        )
        loss, parts = decoder_loss(out.masks, out.iou, out.object_logits, targets[index])
        total = total + loss
        scores.append(parts.get("iou", math.nan))
        there = targets[index].flatten(1).amax(dim=1) > 0.05
        presence.append(((out.object_logits[:, 0] > 0) == there).float().mean())
        present = out.object_logits[..., None, None] > 0
        low = torch.where(present, out.masks[:, :1], -LOGIT_LIMIT)
        logits = low.detach()
        recent.append((index, remember(network, current, low, out, binarize=False)))
        if rng.random() < settings["correct_share"] and there.all():
            # the user corrects this frame: what is remembered is the truth
            logits = mask_to_logits(clip.masks[index][:, None].float(), side)
            recent[-1] = (index, remember(network, current, logits, out, binarize=True))
    name = "carried" if carry else "tracked"
    return total / len(clip.images), {
        name: float(np.nanmean(scores)) if not np.isnan(scores).all() else math.nan,
        "presence": float(np.mean(presence)),
    }


def _start(
    network: SAM2,
    features: ImageFeatures,
    masks: Tensor,
    targets: Tensor,
    config: dict[str, Any],
    rng: np.random.Generator,
) -> tuple[Tracked, Tensor]:
    """Memory of the first frame, and the loss of prompts on it."""
    without = network.without_memory(features)
    count, side = len(masks), network.image_size // 4
    device = masks.device
    slip = torch.from_numpy(rng.normal(0, 1.5, (count, 2, 2))).float().to(device)
    kinds = {
        "box": (_boxes(masks) + slip, (2, 3)),
        "click": (_clicks(masks, rng), (1,)),
    }
    name = "box" if rng.random() < 0.7 else "click"
    points, codes = kinds[name]
    points = points.clamp(0, network.image_size - 1)
    labels = torch.tensor(codes, dtype=torch.int32, device=device).expand(count, -1)
    drawn = draw(points, labels, network, config)
    out = network.decode(without, None, points, labels, drawn, multimask=None)
    total, _ = decoder_loss(out.masks, out.iou, out.object_logits, targets)
    if rng.random() < config["memory"]["mask_share"]:
        logits = mask_to_logits(masks[:, None].float(), side)
        found = network.heads_from_mask(without, masks[:, None].float())
        memory, positions = network.encode_memory(
            features.embed, found.high_res, found.object_logits, binarize=True
        )
        first = Tracked(memory, positions, found.pointer)
        if rng.random() < 0.5:
            # a disturbed mask as the prompt, as that of a neighbouring plane would be
            shift = rng.normal(0, 2.0, 2).round().astype(int)
            moved = torch.roll(logits, tuple(int(v) for v in shift), (2, 3))
            out = network.decode(
                without, None, *_nothing(count, masks.device), moved, multimask=None
            )
            loss, _ = decoder_loss(out.masks, out.iou, out.object_logits, targets)
            total = total + loss
    else:
        first = remember(network, features, out.masks[:, :1], out, binarize=True)
    return first, total


def _nothing(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The padding point that stands for no prompt at all."""
    labels = torch.full((count, 1), -1, dtype=torch.int32, device=device)
    return torch.zeros(count, 1, 2, device=device), labels


def track(
    network: SAM2,
    features: ImageFeatures,
    index: int,
    first: Tracked,
    recent: Sequence[tuple[int, Tracked]],
    logits: Tensor | None,
) -> DecoderOutput:
    """Predict N objects on one frame from their memories.

    ``logits``: those of the frame before, for models to which they are given.
    """
    memories = [FrameMemory(first.memory, first.positions, 0)]
    pointers = [ObjectPointer(first.pointer, index)]
    for place, item in recent:
        if index - place < network.num_maskmem:
            memories.append(FrameMemory(item.memory, item.positions, index - place))
        pointers.append(ObjectPointer(item.pointer, index - place))
    count = len(first.pointer)
    conditioned = network.condition(
        features, memories, pointers, max_distance=POINTER_DISTANCE, count=count
    )
    if logits is not None:
        logits = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
    return network.decode(
        conditioned, None, *_nothing(count, first.pointer.device), logits, multimask=None
    )


@torch.no_grad()
def follow(
    network: SAM2, clip: Clip, *, carry: bool, keep: int
) -> tuple[list[float], list[float]]:
    """IoU of each object on each later frame where it is: tracked, and copied.

    Objects start from their true masks; an empty mask where something is counts 0.
    """
    side = network.image_size // 4
    features = network.frame_features(clip.images)
    start = _frame(features, 0)
    masks = clip.masks[0][:, None].float()
    found = network.heads_from_mask(network.without_memory(start), masks)
    memory, positions = network.encode_memory(
        start.embed, found.high_res, found.object_logits, binarize=True
    )
    first = Tracked(memory, positions, found.pointer)
    logits = mask_to_logits(masks, side)
    recent: list[tuple[int, Tracked]] = []
    tracked, copied = [], []
    for index in range(1, len(clip.images)):
        current = _frame(features, index)
        out = track(
            network,
            current,
            index,
            first,
            recent[-keep:] if keep else [],
            logits if carry else None,
        )
        logits = torch.where(
            out.object_logits[..., None, None] > 0, out.masks[:, :1], -32.0
        )
        recent.append((index, remember(network, current, logits, out, binarize=False)))
        full = F.interpolate(logits, size=(network.image_size,) * 2, mode="bilinear")[:, 0]
        for row, truth in enumerate(clip.masks[index]):
            for values, mask in ((tracked, full[row] > 0), (copied, clip.masks[0, row])):
                either = int((mask | truth).sum())
                if either:
                    values.append(int((mask & truth).sum()) / either)
    return tracked, copied
