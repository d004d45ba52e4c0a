"""Small holes and islands of masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .labels import masks_to_boxes
from .nms import nms

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["clean_small_regions", "fill_and_drop"]

_EIGHT = np.ones((3, 3), dtype=bool)


def fill_and_drop(
    mask: NDArray[np.bool_], min_area: float
) -> tuple[NDArray[np.bool_], bool]:
    """Fill holes and drop islands of less than ``min_area`` pixels.

    Regions are connected over edges and corners. Where every island is small the
    largest one stays.

    Returns
    -------
    tuple
        The mask ``(H, W)`` and whether it was changed.
    """
    from scipy.ndimage import label

    changed = False
    for value in (False, True):
        regions, count = label(mask == value, structure=_EIGHT)
        if count == 0:
            continue
        areas = np.bincount(regions.ravel())
        small = areas < min_area
        small[0] = False
        if value and small[1:].all():
            small[1 + int(areas[1:].argmax())] = False
        if small.any():
            mask = np.where(small[regions], not value, mask)
            changed = True
    return mask, changed


def clean_small_regions(
    masks: Any, min_area: float = 0, nms_thresh: float = 0.7
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Clean masks and drop those that became duplicates, preferring untouched ones.

    Parameters
    ----------
    masks
        ``(N, H, W)`` bool, tensor or array.
    min_area
        In pixels; 0 changes no mask.
    nms_thresh
        Overlap of boxes above which one of two masks is dropped.

    Returns
    -------
    tuple
        The masks that stay, and their indices among those given.
    """
    array = np.asarray(
        masks.cpu() if isinstance(masks, torch.Tensor) else masks, dtype=bool
    )
    if len(array) == 0:
        return array, np.zeros(0, np.int64)
    cleaned, scores = [], []
    for mask in array:
        result, changed = fill_and_drop(mask, min_area)
        cleaned.append(result)
        scores.append(0.0 if changed else 1.0)
    stacked = np.stack(cleaned)
    boxes = masks_to_boxes(stacked).astype(np.float32)
    order = np.sort(nms(boxes, np.array(scores, np.float32), nms_thresh))
    return stacked[order], order
