"""Pixels as the SAM 2 image encoder takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["normalise", "resize_bicubic", "resize_square"]

# mean and spread of ImageNet's red, green and blue, on a scale of 0 to 1
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def resize_square(image: NDArray[np.uint8], size: int) -> Tensor:
    """Bring ``(H, W, 3)`` uint8 to ``(3, size, size)`` float32 in 0..1.

    The aspect is not kept: this is how SAM 2's image predictor was trained to see
    (bilinear with antialiasing, after the division by 255).
    """
    x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)[0]


def resize_bicubic(image: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Bring ``(H, W, 3)`` uint8 to ``(size, size, 3)`` float32 in 0..1.

    As SAM 2's video predictor reads its frames: bicubic on 8 bits.
    """
    from PIL import Image

    square = np.asarray(
        Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
    )
    return (square / 255.0).astype(np.float32)


def normalise(x: Tensor) -> Tensor:
    """Shift and scale ``(B, 3, H, W)`` in 0..1 to the statistics of the training images."""
    mean = torch.tensor(_MEAN, device=x.device)[:, None, None]
    std = torch.tensor(_STD, device=x.device)[:, None, None]
    return (x - mean) / std
