"""How well a model with memory recognises candidates from the examples.

Every example becomes a memory as that of a prompted frame. A candidate is clicked on
features conditioned on these memories; the object logit that comes back is higher where
the decoder recognises what it was shown. See Ravi et al. 2024, arXiv:2408.00714.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from napari_cellprompt.core.networks.sam.sam2 import SAM2, FrameMemory

from .decoding import decode_prompts
from .tracking import encode_frames, mask_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.sam.encoding.encoder import PlaneEncoder
    from napari_cellprompt.core.types import CroppedMask, Tile

__all__ = ["coverage", "describe", "object_logits", "remember"]

_BATCH = 16
_MOST = 6
"""Memories that are attended to, the latest ones; SAM 2 is trained with so many."""


def coverage(masks: Sequence[CroppedMask], tile: Tile) -> Tensor:
    """Masks ``(N, 1, tile.size, tile.size)`` of 0 and 1 as the tile shows them."""
    full = torch.zeros(len(masks), 1, tile.size, tile.size)
    for row, mask in enumerate(masks):
        ys, xs = mask.indices()
        ys, xs = ys - tile.y0, xs - tile.x0
        inside = (ys >= 0) & (xs >= 0) & (ys < tile.size) & (xs < tile.size)
        full[row, 0, ys[inside], xs[inside]] = 1.0
    return full


@torch.inference_mode()
def remember(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    objects: Sequence[tuple[CroppedMask, Tile]],
) -> list[NDArray[np.float16] | None]:
    """The memory ``(mem_dim, h, w)`` of each object; None for models without memory."""
    network = encoder.loaded.sam
    if not isinstance(network, SAM2):
        return [None] * len(objects)
    memories: list[NDArray[np.float16] | None] = []
    side = network.image_size
    for mask, tile in objects:
        features = encoder.features(plane, tile)
        shown = F.interpolate(
            coverage([mask], tile), size=(side, side), mode="bilinear", antialias=True
        )
        # a cell smaller than a pixel of the input stays: it is there
        shown = (shown >= shown.amax().clamp(max=0.5)).float() * (shown > 0)
        frames = mask_frame(network, features, shown.to(features.embed.device))
        memory = encode_frames(network, features, frames, binarize=True)[0].memory
        if memory is None:
            raise RuntimeError("an encoded frame has no memory")
        memories.append(memory.float().cpu().numpy().astype(np.float16))
    return memories


@torch.inference_mode()
def object_logits(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    objects: Sequence[tuple[CroppedMask, Tile]],
    memories: Sequence[NDArray[np.float16]],
) -> NDArray[np.float64]:
    """How well objects of a plane are recognised from memories of one kind.

    Parameters
    ----------
    encoder
        The model that made the memories.
    plane
        Where the objects are.
    objects
        Their masks, none empty, and the tile on which the model looks at each.
    memories
        As :func:`remember` made them, at least one; the latest few are used.

    Returns
    -------
    ndarray
        ``(N,)`` object logits.
    """
    network = encoder.loaded.with_memory
    by_tile: dict[Tile, list[int]] = defaultdict(list)
    for row, (_, tile) in enumerate(objects):
        by_tile[tile].append(row)
    logits = np.zeros(len(objects))
    for tile, rows in by_tile.items():
        features = encoder.features(plane, tile)
        conditioned = network.condition(
            features,
            [_frame_memory(network, memory) for memory in memories[-_MOST:]],
            [],
            max_distance=1,
            count=1,
            start=network.attention_start(features),
        )
        device = conditioned.embed.device
        for at in range(0, len(rows), _BATCH):
            part = rows[at : at + _BATCH]
            clicks = [_click(objects[row][0], tile, network.image_size) for row in part]
            out = decode_prompts(
                network,
                conditioned,
                torch.tensor(clicks, dtype=torch.float32, device=device)[:, None],
                torch.ones(len(part), 1, dtype=torch.int32, device=device),
                None,
                drawing=encoder.loaded.spec.drawing,
                multimask=False,
            )
            logits[part] = out.object_logits[:, 0].double().cpu().numpy()
    return logits


@torch.inference_mode()
def describe(
    encoder: PlaneEncoder, plane: PlaneSource, objects: Sequence[tuple[CroppedMask, Tile]]
) -> NDArray[np.float32]:
    """Mean features inside the mask of each object, ``(N, D)``.

    Parameters
    ----------
    encoder
        The model, with its cache of features.
    plane
        Where the objects are.
    objects
        Their masks, none empty, and the tile on which the model looks at each.
    """
    by_tile: dict[Tile, list[int]] = defaultdict(list)
    for row, (_, tile) in enumerate(objects):
        by_tile[tile].append(row)
    found: dict[int, NDArray[np.float32]] = {}
    for tile, rows in by_tile.items():
        features = encoder.features(plane, tile)
        levels = (*features.high_res, features.embed)
        for start in range(0, len(rows), _BATCH):
            part = rows[start : start + _BATCH]
            cover = coverage([objects[row][0] for row in part], tile)
            pooled = torch.cat([_pooled(level, cover) for level in levels], dim=1)
            for row, values in zip(part, pooled.float().cpu().numpy(), strict=True):
                found[row] = values
    if not objects:
        return np.zeros((0, 0), np.float32)
    return np.stack([found[row] for row in range(len(objects))])


def _pooled(level: Tensor, cover: Tensor) -> Tensor:
    """Mean features ``(N, C)`` of a map ``(1, C, h, w)`` inside masks."""
    weights = F.interpolate(cover, size=level.shape[-2:], mode="area")[:, 0]
    weights = weights.to(level.device).flatten(1)
    total = weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return (weights / total) @ level[0].float().flatten(1).T


def _frame_memory(network: SAM2, memory: NDArray[np.float16]) -> FrameMemory:
    device: Any = next(network.parameters()).device
    stored = torch.from_numpy(memory.astype(np.float32)).to(device)[None]
    positions = network.memory_positions(stored)
    return FrameMemory(stored, positions, 0)


def _click(mask: CroppedMask, tile: Tile, side: int) -> tuple[float, float]:
    """The pixel of an object nearest to its centroid, in the model's input."""
    ys, xs = mask.indices()
    nearest = int(((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2).argmin())
    scale = side / tile.size
    return (xs[nearest] - tile.x0 + 0.5) * scale, (ys[nearest] - tile.y0 + 0.5) * scale
