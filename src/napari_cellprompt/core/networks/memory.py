"""Memory attention and memory encoder of SAM 2 (arXiv:2408.00714, section D.1)."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import LayerNorm2d, sine_position_encoding

__all__ = ["MemoryAttention", "MemoryEncoder"]


@lru_cache(maxsize=16)
def _rotation_table(
    channels: int, side: int, theta: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines, ``(side * side, channels / 2)``, of axial rotary positions.

    The first half of the pairs turns with the column, the second with the row
    (RoPE-ViT, arXiv:2403.13298, section 3.2). Real numbers, since complex ones
    are missing on some devices.
    """
    frequencies = theta ** -(torch.arange(0, channels, 4, dtype=torch.float32) / channels)
    place = torch.arange(side * side, dtype=torch.float32)
    column = place % side
    row = torch.div(place, side, rounding_mode="floor")
    angles = torch.cat(
        (torch.outer(column, frequencies), torch.outer(row, frequencies)), dim=1
    )
    return angles.cos().to(device), angles.sin().to(device)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn channel pairs of ``(B, heads, L, C)``; L is a multiple of the grid."""
    repeats = x.shape[-2] // cosine.shape[0]
    if repeats > 1:
        cosine, sine = cosine.repeat(repeats, 1), sine.repeat(repeats, 1)
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(x.dtype)


class _RotaryAttention(nn.Module):
    """Single-head attention with rotary positions on a square grid."""

    def __init__(self, dim: int, key_dim: int, theta: float = 10000.0) -> None:
        super().__init__()
        self.dim = dim
        self.theta = theta
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(key_dim, dim)
        self.v_proj = nn.Linear(key_dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, unplaced: int = 0) -> Tensor:
        """Attend ``(B, L, D)`` to keys whose last ``unplaced`` tokens have no position."""
        q, k, v = (
            self.q_proj(q)[:, None],
            self.k_proj(k)[:, None],
            self.v_proj(v)[:, None],
        )
        side = math.isqrt(q.shape[-2])
        cosine, sine = _rotation_table(self.dim, side, self.theta, q.device)
        q = _rotate(q, cosine, sine)
        placed = k.shape[-2] - unplaced
        if placed:
            turned = _rotate(k[:, :, :placed], cosine, sine)
            k = torch.cat((turned, k[:, :, placed:]), dim=2) if unplaced else turned
        out = F.scaled_dot_product_attention(q, k, v)
        result: Tensor = self.out_proj(out[:, 0])
        return result


class _Layer(nn.Module):
    """Self-attention, attention to the memories, and a feed-forward part."""

    def __init__(self, dim: int, mem_dim: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = _RotaryAttention(dim, dim)
        self.cross_attn_image = _RotaryAttention(dim, mem_dim)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, keys: Tensor, memory: Tensor, unplaced: int) -> Tensor:
        normed = self.norm1(x)
        x = x + self.self_attn(normed, normed, normed)
        x = x + self.cross_attn_image(self.norm2(x), keys, memory, unplaced=unplaced)
        result: Tensor = x + self.linear2(F.relu(self.linear1(self.norm3(x))))
        return result


class MemoryAttention(nn.Module):
    """Conditions the features of a frame on memories of other frames.

    Parameters
    ----------
    dim, mem_dim
        Width of the image features and of the memories.
    layers, feedforward
        Number of layers and their hidden width.
    """

    def __init__(self, *, dim: int, mem_dim: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Layer(dim, mem_dim, feedforward) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self,
        features: Tensor,
        positions: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        *,
        pointer_tokens: int,
    ) -> Tensor:
        """Condition the features.

        Parameters
        ----------
        features, positions
            ``(B, L, D)`` and ``(B or 1, L, D)`` of the current frame, L a square.
        memory, memory_positions
            ``(B, M, mem_dim)``: whole grids of spatial memory, then pointer tokens.
        pointer_tokens
            How many tokens at the end of the memory are pointers; these get no
            rotary position.

        Returns
        -------
        Tensor
            ``(B, L, D)``.
        """
        x = features + 0.1 * positions
        keys = memory + memory_positions
        for layer in self.layers:
            x = layer(x, keys, memory, pointer_tokens)
        result: Tensor = self.norm(x)
        return result


class _MaskDownsampler(nn.Module):
    """Brings a mask ``(B, 1, S, S)`` to stride 16 and the width of the features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(4):
            layers += [
                nn.Conv2d(channels, channels * 4, kernel_size=3, stride=2, padding=1),
                LayerNorm2d(channels * 4),
                nn.GELU(),
            ]
            channels *= 4
        layers.append(nn.Conv2d(channels, dim, kernel_size=1))
        self.encoder = nn.Sequential(*layers)

    def forward(self, mask: Tensor) -> Tensor:
        result: Tensor = self.encoder(mask)
        return result


class _ConvNextBlock(nn.Module):
    """Depthwise 7 x 7 convolution and a pointwise MLP with a learnt residual scale."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, kernel_size=7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        result: Tensor = x + y.permute(0, 3, 1, 2)
        return result


class _Fuser(nn.Module):
    """Two ConvNeXt blocks."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_ConvNextBlock(dim) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Joins a frame's features and a mask into a memory.

    Parameters
    ----------
    dim, mem_dim
        Width of the image features and of the memory.
    """

    def __init__(self, *, dim: int, mem_dim: int) -> None:
        super().__init__()
        self.mem_dim = mem_dim
        self.mask_downsampler = _MaskDownsampler(dim)
        self.pix_feat_proj = nn.Conv2d(dim, dim, kernel_size=1)
        self.fuser = _Fuser(dim)
        self.out_proj = nn.Conv2d(dim, mem_dim, kernel_size=1)

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode features ``(B, D, h, w)`` and a mask ``(B, 1, 16 h, 16 w)``.

        Returns the memory ``(B, mem_dim, h, w)`` and its positions ``(1, mem_dim, h, w)``.
        """
        x = self.pix_feat_proj(features) + self.mask_downsampler(mask)
        memory = self.out_proj(self.fuser(x))
        positions = sine_position_encoding(
            memory.shape[2], memory.shape[3], self.mem_dim, memory.device
        )
        return memory, positions
