"""A throw-away head that teaches the image encoder about every pixel.

Few prompts per image tell the encoder little; where all objects are outlined it can also
be asked, at every pixel, for foreground, outline, and the object's centre and size. The
head is not part of the exported network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.networks.sam2 import ImageFeatures

__all__ = ["DenseHead", "dense_loss", "dense_targets"]

CHANNELS = 5
"""Foreground, outline, offset to the centre in x and y, size."""
OFFSET_UNIT = 8.0
"""Cells of S/4 in one unit of offset."""


def dense_targets(labels: NDArray[np.uint16], size: int) -> NDArray[np.float32]:
    """What the head should answer for one crop.

    Parameters
    ----------
    labels
        ``(h, w)`` ids over the crop.
    size
        Side of the network's input in pixels.

    Returns
    -------
    ndarray
        ``(5, S/4, S/4)`` float32: foreground and outline as 0 or 1, the offset from here
        to the object's centre, and the logarithm of its diameter.
    """
    side = size // 4
    places = (np.arange(side) + 0.5) / side
    rows = (places * labels.shape[0]).astype(np.intp)
    columns = (places * labels.shape[1]).astype(np.intp)
    small = labels[rows][:, columns]
    flat = small.ravel()
    count = np.maximum(np.bincount(flat), 1)
    y, x = np.divmod(np.arange(flat.size), side)
    centre_x = np.bincount(flat, x) / count
    centre_y = np.bincount(flat, y) / count
    inside = small > 0
    outline = np.zeros_like(inside)
    below, right = small[1:] != small[:-1], small[:, 1:] != small[:, :-1]
    outline[1:] |= below
    outline[:-1] |= below
    outline[:, 1:] |= right
    outline[:, :-1] |= right
    maps = np.stack(
        (
            inside,
            outline & inside,
            ((centre_x[flat] - x) / OFFSET_UNIT).reshape(small.shape) * inside,
            ((centre_y[flat] - y) / OFFSET_UNIT).reshape(small.shape) * inside,
            0.5 * np.log(count[flat]).reshape(small.shape) * inside,
        )
    )
    return maps.astype(np.float32)


class DenseHead(nn.Module):
    """Answers from the features at each stride alone.

    Parameters
    ----------
    dim
        Width of the image features.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(dim, CHANNELS * 16, kernel_size=1)
        self.middle = nn.Conv2d(dim // 4, CHANNELS * 4, kernel_size=1)
        self.fine = nn.Conv2d(dim // 8, CHANNELS, kernel_size=1)

    def forward(self, features: ImageFeatures) -> tuple[Tensor, Tensor]:
        """Maps ``(B, 5, S/4, S/4)`` from stride 16 alone, and from all strides."""
        fine, middle = features.high_res
        coarse = F.pixel_shuffle(self.coarse(features.embed), 4)
        summed = coarse + F.pixel_shuffle(self.middle(middle), 2) + self.fine(fine)
        return coarse, summed


def dense_loss(answers: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    """Cross-entropy of foreground and outline, distance of centre and size.

    ``targets`` is ``(B, 5, S/4, S/4)`` from :func:`dense_targets`.
    """
    inside = targets[:, :1]
    area = inside.sum().clamp(min=1)
    total = targets.new_zeros(())
    for maps in answers:
        classes = F.binary_cross_entropy_with_logits(maps[:, :2], targets[:, :2])
        distance = F.smooth_l1_loss(maps[:, 2:], targets[:, 2:], reduction="none", beta=0.1)
        total = total + 4 * classes + (distance * inside).sum() / area
    return total
