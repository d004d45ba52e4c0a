"""Measures a network while it is being trained, at the scale of the pyramid of tiles.

Each object is predicted from one click (the maximum of its distance transform), from
its box, and from its mask as a neighbouring plane might show it, all on the tile that
suits its size. ``benchmarks/quality.py`` measures what
users get, the search for the right tile included.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from augment import to_network
from mask_prompts import disturbed
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.tiles import (
    choose_magnification,
    read_tile,
    tile_for_box,
)
from napari_cellprompt.core.inference.sam.decoding import mask_to_logits
from napari_cellprompt.core.inference.sam.drawing import draw_prompts
from napari_cellprompt.core.types import Tile
from napari_cellprompt.evaluation.prompts import ellipse_iou, innermost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from data import Plane
    from napari_cellprompt.core.networks.sam2 import SAM2, ImageFeatures

__all__ = ["Score", "evaluate", "pick_objects", "summarise"]


@dataclass(frozen=True, slots=True)
class Score:
    """IoU of one object from each kind of prompt."""

    modality: str
    click: float
    """Of the single mask."""
    click_three: float
    """Of the mask with the highest predicted IoU of three."""
    click_best: float
    """Of the best of the four masks, were it known which."""
    box: float
    """Of the single mask."""
    mask: float
    """Of the single mask, from the disturbed true mask."""
    copied: float
    """Of the disturbed true mask itself."""
    error: float
    """Predicted IoU from the click less the true one, without its sign."""
    ellipse: float


_VALUES = (
    "click",
    "click_three",
    "click_best",
    "box",
    "mask",
    "copied",
    "error",
    "ellipse",
)


def pick_objects(
    planes: Sequence[Plane], per_plane: int | None, seed: int = 0
) -> list[tuple[Plane, list[int]]]:
    """The objects to measure: all, or a fixed random choice of a few in each plane."""
    rng = np.random.default_rng(seed)
    picked = []
    for plane in planes:
        count = len(plane.ids)
        rows: Sequence[int] = range(count)
        if per_plane is not None and count > per_plane:
            rows = sorted(int(row) for row in rng.choice(count, per_plane, replace=False))
        picked.append((plane, list(rows)))
    return picked


@torch.no_grad()
def evaluate(
    network: SAM2,
    objects: Sequence[tuple[Plane, list[int]]],
    drawing: Mapping[str, float],
    *,
    size: int = 512,
) -> list[Score]:
    """Predict objects from one click, from their box and from a mask that is about right.

    Parameters
    ----------
    network
        With weights; it is left in eval mode, its image size as it was.
    objects
        Planes and the rows of their objects.
    drawing
        ``amplitude`` and ``sigma`` of the drawn prompts.
    size
        Side of the input in pixels.
    """
    network.eval()
    trained_size, network.image_size = network.image_size, size
    scores = []
    for plane, rows in objects:
        source = PlaneSource.from_image(plane.image)
        tiles: dict[Tile, list[int]] = defaultdict(list)
        for row in rows:
            x0, y0, x1, y1 = (float(value) for value in plane.boxes[row])
            level = choose_magnification(max(x1 - x0, y1 - y0), size)
            tiles[tile_for_box(source.shape, size, level, (x0, y0, x1, y1))].append(row)
        for tile, members in tiles.items():
            image = to_network(read_tile(source, tile, size).astype(np.float32) / 255)
            device = network.no_mem_embed.device
            features = network.image_features(torch.from_numpy(image)[None].to(device))
            scores += _tile_scores(network, features, plane, tile, members, drawing)
    network.image_size = trained_size
    return scores


def _tile_scores(
    network: SAM2,
    features: ImageFeatures,
    plane: Plane,
    tile: Tile,
    rows: Sequence[int],
    drawing: Mapping[str, float],
) -> list[Score]:
    size, device = network.image_size, network.no_mem_embed.device
    masks = [plane.labels == plane.ids[row] for row in rows]
    clicks = tile.to_tile(np.stack([innermost(mask) for mask in masks]))[:, None]
    # boxes name edges, half a pixel outside of the first and last centres
    corners = tile.to_tile(plane.boxes[list(rows)].reshape(-1, 2, 2) - 0.5)
    y0, y1, x0, x1 = tile.crop(plane.labels.shape)
    canvas = torch.zeros(len(rows), 1, tile.size, tile.size)
    canvas[:, 0, : y1 - y0, : x1 - x0] = torch.from_numpy(np.stack(masks))[:, y0:y1, x0:x1]
    cells = (mask_to_logits(canvas, size // 4) + 10) / 20
    rough = torch.stack(
        [
            torch.from_numpy(
                disturbed(cover.numpy(), np.random.default_rng(row), strength=0.6)
            )
            for row, cover in zip(rows, cells[:, 0], strict=True)
        ]
    )[:, None]
    nowhere = np.zeros((len(rows), 1, 2))
    found: dict[str, Tensor] = {"copied": _enlarged(rough - 0.5, tile)}
    for name, prompt, codes in (
        ("click", clicks, (1,)),
        ("box", corners, (2, 3)),
        ("mask", nowhere, (-1,)),
    ):
        points = torch.from_numpy(prompt).float().clamp(0, size - 1)
        labels = torch.tensor(codes, dtype=torch.int32).expand(len(rows), -1)
        drawn = draw_prompts(points, labels, size, **drawing)
        if name == "mask":
            drawn = drawn + rough.clamp(0, 1) * 20 - 10
        out = network.decode(
            features,
            None,
            points.to(device),
            labels.to(device),
            drawn.to(device),
            multimask=None,
        )
        found[name] = _enlarged(out.masks.cpu(), tile)
        if name == "click":
            believed = out.iou.cpu()
            chosen = believed[:, 1:].argmax(dim=1) + 1
    scores = []
    for position, (row, mask) in enumerate(zip(rows, masks, strict=True)):
        area, inside = int(mask.sum()), mask[y0:y1, x0:x1]
        offered = {
            name: [_iou(one, inside, area) for one in full[position].numpy()]
            for name, full in found.items()
        }
        left, top, right, bottom = plane.boxes[row]
        scores.append(
            Score(
                plane.modality,
                click=offered["click"][0],
                click_three=offered["click"][int(chosen[position])],
                click_best=max(offered["click"]),
                box=offered["box"][0],
                mask=offered["mask"][0],
                copied=offered["copied"][0],
                error=abs(float(believed[position, 0]) - offered["click"][0]),
                ellipse=ellipse_iou(mask[top:bottom, left:right]),
            )
        )
    return scores


def _enlarged(logits: Tensor, tile: Tile) -> Tensor:
    """Masks ``(N, M, tile.size, tile.size)`` of logits ``(N, M, S/4, S/4)``."""
    return F.interpolate(logits, size=(tile.size, tile.size), mode="bilinear") > 0


def _iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_], area: int) -> float:
    """IoU where ``area`` counts the object's pixels outside of the tile too."""
    predicted = predicted[: truth.shape[0], : truth.shape[1]]
    both = int((predicted & truth).sum())
    return both / max(int(predicted.sum()) + area - both, 1)


def summarise(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """Number of objects and mean of each value, per modality and of all."""
    groups: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        groups[score.modality].append(score)
        groups["all"].append(score)
    return {
        modality: {"objects": len(group)}
        | {
            name: round(float(np.mean([getattr(score, name) for score in group])), 4)
            for name in _VALUES
        }
        for modality, group in groups.items()
    }
