"""Segments everything in an image from a grid of clicks.

The numerics are those of ``SamAutomaticMaskGenerator`` (Kirillov et al. 2023,
arXiv:2304.02643, appendix B) and of its SAM 2 twin: every crop of the image is encoded
once from the original pixels, a grid of clicks is decoded on it, and what comes out is
filtered by predicted IoU, stability, the crop's edge, and duplicates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_cellprompt.core.inference.out_of_memory import in_batches
from napari_cellprompt.core.masks.nms import ops
from napari_cellprompt.core.types import CroppedMask

from .decoding import PromptBatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "GridMask",
    "GridSettings",
    "MaskModel",
    "as_tensors",
    "crop_boxes",
    "generate",
    "stability",
]

_EDGE = 20.0
"""A box that comes this close (pixels) to the edge of its crop was cut by it."""

_UPSAMPLED_BYTES = 128 * 1024**2
"""Logits at image size that are held at once."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class GridSettings:
    """What :func:`generate` looks for; defaults as in the interface of the predictors."""

    crop_n_layers: int = 0
    """Layer n cuts the image into 4**n overlapping crops, in addition to the whole."""
    crop_overlap_ratio: float = 512 / 1500
    """Overlap of the crops of layer 1, as a share of the image's shorter side."""
    crop_downscale_factor: int = 1
    """Layer n has ``points_stride / crop_downscale_factor**n`` clicks per side."""
    point_grids: Sequence[NDArray[np.floating[Any]]] | None = None
    """Per layer ``(N, 2)`` x, y in 0..1 of the crop, in place of the regular grid."""
    points_stride: int = 32
    """Clicks per side of the whole image."""
    points_batch_size: int = 64
    """Clicks decoded together."""
    conf_thres: float = 0.88
    """Masks stay when their predicted IoU is above it."""
    stability_score_thresh: float = 0.95
    """Masks stay when their stability reaches it."""
    stability_score_offset: float = 0.95
    """How far the threshold moves up and down to find the stability."""
    crop_nms_thresh: float = 0.7
    """Overlap of boxes from different crops above which one is a duplicate."""
    nms_thresh: float = 0.7
    """The same within one crop."""

    def __post_init__(self) -> None:
        for name in ("conf_thres", "stability_score_thresh", "crop_nms_thresh"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must lie between 0 and 1: got {getattr(self, name)}."
                )
        if not 0 <= self.crop_overlap_ratio < 1:
            raise ValueError(
                "crop_overlap_ratio must be at least 0 and below 1: "
                f"got {self.crop_overlap_ratio}."
            )
        if self.crop_n_layers < 0:
            raise ValueError(
                f"crop_n_layers must not be negative: got {self.crop_n_layers}."
            )
        for name in ("points_stride", "points_batch_size", "crop_downscale_factor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}.")
        if self.stability_score_offset < 0:
            raise ValueError(
                "stability_score_offset must not be negative: "
                f"got {self.stability_score_offset}."
            )
        self.grids()

    def grids(self) -> list[NDArray[np.float64]]:
        """The clicks of each layer, ``(N, 2)`` x, y in 0..1 of a crop."""
        layers = self.crop_n_layers + 1
        if self.point_grids is None:
            sides = [
                int(self.points_stride / self.crop_downscale_factor**n)
                for n in range(layers)
            ]
            if sides[-1] < 1:
                raise ValueError(
                    f"points_stride {self.points_stride} leaves no click in layer "
                    f"{self.crop_n_layers} at crop_downscale_factor "
                    f"{self.crop_downscale_factor}."
                )
            return [_regular_grid(side) for side in sides]
        grids = [np.asarray(grid, dtype=np.float64) for grid in self.point_grids]
        if len(grids) < layers:
            raise ValueError(
                f"point_grids must hold one grid for each of the {layers} layers: "
                f"got {len(grids)}."
            )
        for grid in grids:
            if grid.ndim != 2 or grid.shape[1] != 2 or len(grid) == 0:
                raise ValueError(f"each of point_grids must be (N, 2): got {grid.shape}.")
            if grid.min() < 0 or grid.max() > 1:
                raise ValueError("point_grids must hold x, y between 0 and 1.")
        return grids[:layers]


@dataclass(frozen=True, slots=True)
class MaskModel:
    """The three things that a predictor does, as :func:`generate` needs them."""

    encode: Callable[[NDArray[np.uint8]], Any]
    """Features of ``(h, w, 3)`` uint8."""
    decode: Callable[[Any, PromptBatch, tuple[int, int]], tuple[Tensor, Tensor]]
    """Logits ``(N, 3, s, s)`` and predicted IoU ``(N, 3)`` for clicks on an image of
    this size."""
    upsample: Callable[[Tensor, tuple[int, int]], Tensor]
    """Logits ``(C, s, s)`` at the size of an image."""
    threshold: float = 0.0
    """Logits above it belong to the object."""


@dataclass(frozen=True, slots=True, eq=False)
class GridMask:
    """One mask that :func:`generate` found."""

    mask: CroppedMask
    score: float
    """Predicted IoU, 0 to 1."""
    stability: float
    """See :func:`stability`."""
    point: tuple[float, float]
    """The click that gave it, x, y in pixels of the image."""
    crop: Box
    """The part of the image that the model saw: x0, y0, x1, y1, the last two exclusive."""


@torch.inference_mode()
def generate(
    model: MaskModel,
    pixels: NDArray[np.uint8],
    settings: GridSettings,
    *,
    features: Any = None,
    cancelled: Callable[[], None] | None = None,
) -> list[GridMask]:
    """Find the masks of everything in an image.

    Parameters
    ----------
    model
        How to encode and to decode.
    pixels
        ``(H, W, 3)`` uint8.
    settings
        Grid and filters.
    features
        Those of the whole image, where they are known already.
    cancelled
        Called before each slow step; may raise to stop.

    Returns
    -------
    list of GridMask
        Without empty masks; those of smaller crops first, then the best first.
    """
    height, width = pixels.shape[:2]
    boxes, layers = crop_boxes((height, width), settings)
    grids = settings.grids()
    found: list[GridMask] = []
    for box, layer in zip(boxes, layers, strict=True):
        if cancelled is not None:
            cancelled()
        whole = layer == 0
        x0, y0, x1, y1 = box
        seen = features if whole else None
        if seen is None:
            seen = model.encode(np.ascontiguousarray(pixels[y0:y1, x0:x1]))
        clicks = grids[layer] * (x1 - x0, y1 - y0)

        def decode(
            start: int,
            stop: int,
            seen: Any = seen,
            clicks: NDArray[np.float64] = clicks,
            box: Box = box,
        ) -> list[GridMask]:
            if cancelled is not None:
                cancelled()
            part = clicks[start:stop]
            return _decode_batch(model, seen, part, box, (height, width), settings)

        parts = in_batches(len(clicks), settings.points_batch_size, decode)
        in_crop = list(itertools.chain.from_iterable(parts))
        found += _distinct(in_crop, [m.score for m in in_crop], settings.nms_thresh)
    if len(boxes) > 1:
        areas = [(m.crop[2] - m.crop[0]) * (m.crop[3] - m.crop[1]) for m in found]
        found = _distinct(found, [1 / area for area in areas], settings.crop_nms_thresh)
    return found


def as_tensors(
    found: Sequence[GridMask], shape: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Masks ``(N, H, W)`` bool, scores ``(N,)`` and boxes ``(N, 4)`` of what was found.

    Boxes are x0, y0, x1, y1 in int64, the last two exclusive.
    """
    masks = torch.zeros((len(found), *shape), dtype=torch.bool)
    for row, item in zip(masks, found, strict=True):
        row.copy_(torch.from_numpy(item.mask.to_plane()))
    boxes = [item.mask.box or (0, 0, 0, 0) for item in found]
    return (
        masks,
        torch.tensor([item.score for item in found], dtype=torch.float32),
        torch.tensor(boxes, dtype=torch.int64).reshape(-1, 4),
    )


def crop_boxes(
    shape: tuple[int, int], settings: GridSettings
) -> tuple[list[Box], list[int]]:
    """The crops of an image of ``(H, W)``, and the layer of each; the whole comes first."""
    height, width = shape
    boxes, layers = [(0, 0, width, height)], [0]
    for layer in range(1, settings.crop_n_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_overlap_ratio * min(shape) * (2 / count))
        crop_width = math.ceil((overlap * (count - 1) + width) / count)
        crop_height = math.ceil((overlap * (count - 1) + height) / count)
        columns = [(crop_width - overlap) * i for i in range(count)]
        rows = [(crop_height - overlap) * i for i in range(count)]
        for x0, y0 in itertools.product(columns, rows):
            boxes.append(
                (x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height))
            )
            layers.append(layer)
    return boxes, layers


def stability(logits: Tensor, threshold: float, offset: float) -> Tensor:
    """How little masks change with their threshold, ``(C,)``; NaN where there is nothing.

    The IoU of what is above ``threshold + offset`` with what is above
    ``threshold - offset``, for logits ``(C, H, W)``.
    """
    inner = (logits > threshold + offset).flatten(1).sum(1)
    outer = (logits > threshold - offset).flatten(1).sum(1)
    return inner / outer


def _decode_batch(
    model: MaskModel,
    features: Any,
    clicks: NDArray[np.float64],
    crop: Box,
    image_shape: tuple[int, int],
    settings: GridSettings,
) -> list[GridMask]:
    """The masks of some clicks ``(N, 2)``, in pixels of the crop, that pass the filters."""
    x0, y0, x1, y1 = crop
    shape = (y1 - y0, x1 - x0)
    points = clicks.astype(np.float32)[:, None]
    labels = np.ones(points.shape[:2], np.int32)
    logits, scores = model.decode(features, PromptBatch(points, labels, None), shape)
    several = logits.shape[1]
    logits, scores = logits.flatten(0, 1), scores.flatten()
    # the score needs no pixels: only masks that pass it are brought to image size
    rows = (scores > settings.conf_thres).nonzero()[:, 0]
    chunk = max(1, _UPSAMPLED_BYTES // (4 * shape[0] * shape[1]))
    found = []
    # the split of nothing is one empty part
    for part in rows.split(chunk) if len(rows) else ():
        full = model.upsample(logits[part], shape)
        steady = stability(full, model.threshold, settings.stability_score_offset)
        # NaN, the stability of nothing at all, never passes
        for number in (steady >= settings.stability_score_thresh).nonzero()[:, 0].tolist():
            row = int(part[number])
            data = (full[number] > model.threshold).cpu().numpy()
            box = CroppedMask(data, (y0, x0), image_shape).box
            if box is None or _cut_by_crop(box, crop, image_shape):
                continue
            cut = data[box[1] - y0 : box[3] - y0, box[0] - x0 : box[2] - x0].copy()
            x, y = clicks[row // several]
            found.append(
                GridMask(
                    CroppedMask(cut, (box[1], box[0]), image_shape),
                    float(scores[row]),
                    float(steady[number]),
                    (float(x) + x0, float(y) + y0),
                    crop,
                )
            )
    return found


def _cut_by_crop(box: Box, crop: Box, image_shape: tuple[int, int]) -> bool:
    """Whether a mask comes close to an edge of its crop that is no edge of the image."""
    image = (0, 0, image_shape[1], image_shape[0])
    return any(
        abs(edge - of_crop) <= _EDGE and abs(edge - of_image) > _EDGE
        for edge, of_crop, of_image in zip(_inclusive(box), crop, image, strict=True)
    )


def _distinct(
    masks: list[GridMask], priority: list[float], thresh: float
) -> list[GridMask]:
    """Drop masks whose box overlaps that of one with a higher priority."""
    if not masks:
        return []
    boxes = torch.tensor([_inclusive(m.mask.box or (0, 0, 1, 1)) for m in masks])
    kept = ops.nms(boxes.float(), torch.tensor(priority), thresh)
    return [masks[row] for row in kept.tolist()]


def _inclusive(box: Box) -> Box:
    """A box whose last row and column are inside, as the reference compares them."""
    return box[0], box[1], box[2] - 1, box[3] - 1


def _regular_grid(side: int) -> NDArray[np.float64]:
    """Centres of ``side`` x ``side`` equal cells, row by row, ``(side**2, 2)``."""
    ticks = np.linspace(1 / (2 * side), 1 - 1 / (2 * side), side)
    x, y = np.meshgrid(ticks, ticks)
    return np.stack((x, y), axis=-1).reshape(-1, 2)
