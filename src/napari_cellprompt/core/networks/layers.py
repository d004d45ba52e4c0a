"""Small building blocks that the SAM networks share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MLP", "LayerNorm2d", "sine_position_encoding"]


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Parameters
    ----------
    sizes
        Feature counts, the input's first.
    activation
        Applied after every layer but the last.
    sigmoid_output
        Whether the result goes through a sigmoid.
    """

    def __init__(
        self,
        *sizes: int,
        activation: Callable[[Tensor], Tensor] = F.relu,
        sigmoid_output: bool = False,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.activation = activation
        self.sigmoid_output = sigmoid_output

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., sizes[0])`` to ``(..., sizes[-1])``."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        x = last(x)
        return x.sigmoid() if self.sigmoid_output else x


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of ``(B, C, H, W)``."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each pixel over its channels."""
        mean = x.mean(1, keepdim=True)
        centred = x - mean
        variance = centred.pow(2).mean(1, keepdim=True)
        x = centred / torch.sqrt(variance + self.eps)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # training uses the same encodings
def sine_position_encoding(
    height: int, width: int, channels: int, device: torch.device
) -> Tensor:
    """Fixed 2D sine encoding, ``(1, channels, height, width)`` float32.

    Half of the channels encode the row, half the column, each position scaled
    to 0..2 pi and read at ``channels / 4`` wavelengths up to 10000 (DETR,
    arXiv:2005.12872, appendix A.4).
    """
    half = channels // 2
    step = torch.arange(half, dtype=torch.float32)
    wavelength = 10000 ** (2 * torch.div(step, 2, rounding_mode="floor") / half)

    def encode(length: int) -> Tensor:
        position = torch.arange(1, length + 1, dtype=torch.float32)
        position = position / (position[-1] + 1e-6) * (2 * math.pi)
        phase = position[:, None] / wavelength
        pairs = torch.stack((phase[:, 0::2].sin(), phase[:, 1::2].cos()), dim=2)
        return pairs.flatten(1)

    rows = encode(height)[:, None, :].expand(height, width, half)
    columns = encode(width)[None, :, :].expand(height, width, half)
    grid = torch.cat((rows, columns), dim=2).permute(2, 0, 1)
    return grid[None].contiguous().to(device)
