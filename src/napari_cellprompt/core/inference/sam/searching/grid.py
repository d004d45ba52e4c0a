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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.out_of_memory import in_batches
from napari_cellprompt.core.inference.sam.decoding import PromptBatch
from napari_cellprompt.core.inference.searching import GridSettings
from napari_cellprompt.core.masks.found import FoundObject
from napari_cellprompt.core.masks.nms import nms
from napari_cellprompt.core.types import Box, Candidate, CroppedMask, Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource

__all__ = [
    "GridMask",
    "MaskModel",
    "as_tensors",
    "crop_boxes",
    "find_by_grid",
    "generate",
    "stability",
]

_EDGE = 20.0
"""A box that comes this close (pixels) to the edge of its crop was cut by it."""

_UPSAMPLED_BYTES = 128 * 1024**2
"""Logits at image size that are held at once."""


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
        areas = [m.crop.width * m.crop.height for m in found]
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
    boxes, layers = [Box(0, 0, width, height)], [0]
    for layer in range(1, settings.crop_n_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_overlap_ratio * min(shape) * (2 / count))
        crop_width = math.ceil((overlap * (count - 1) + width) / count)
        crop_height = math.ceil((overlap * (count - 1) + height) / count)
        columns = [(crop_width - overlap) * i for i in range(count)]
        rows = [(crop_height - overlap) * i for i in range(count)]
        for x0, y0 in itertools.product(columns, rows):
            boxes.append(
                Box(x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height))
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
    boxes = np.array([_inclusive(m.mask.box or Box(0, 0, 1, 1)) for m in masks])
    kept = nms(boxes.astype(np.float32), np.array(priority, np.float32), thresh)
    return [masks[row] for row in kept.tolist()]


def _inclusive(box: Box) -> Box:
    """A box whose last row and column are inside, as the reference compares them."""
    return box._replace(x1=box.x1 - 1, y1=box.y1 - 1)


def find_by_grid(
    model: MaskModel,
    plane: PlaneSource,
    settings: GridSettings,
    region: tuple[int, int, int, int] | None,
    cancelled: Callable[[], bool] | None,
) -> list[FoundObject]:
    """What :func:`generate` finds on a plane, or on ``x0, y0, x1, y1`` of it."""
    x0, y0, x1, y1 = (0, 0, plane.shape[1], plane.shape[0]) if region is None else region
    pixels = plane.read(y0, y1, x0, x1)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    masks = generate(model, pixels, settings, cancelled=lambda: stop_if(cancelled))
    return [_as_found(item, (x0, y0), plane.shape) for item in masks]


def _as_found(
    item: GridMask, origin: tuple[int, int], shape: tuple[int, int]
) -> FoundObject:
    """A mask of the grid, moved to where its region lies in the plane."""
    left, top = origin
    y0, x0 = item.mask.origin
    mask = replace(item.mask, origin=(y0 + top, x0 + left), plane_shape=shape)
    box = mask.box or (0, 0, 0, 0)
    side = item.crop.side
    # the grid keeps no logits: where masks overlap, the surer one wins
    logits = np.where(mask.data, item.score, -item.score).astype(np.float32)
    return FoundObject(
        Candidate(mask, logits, item.score),
        object_score=1.0,
        stability=item.stability,
        votes=1,
        consensus=1.0,
        agreement=1.0,
        touches_border=box[0] == 0
        or box[1] == 0
        or box[2] == shape[1]
        or box[3] == shape[0],
        point=(item.point[0] + left, item.point[1] + top),
        tile=Tile(1.0, item.crop[1] + top, item.crop[0] + left, side),
    )
