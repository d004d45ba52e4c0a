"""The spatial perceiver of EdgeTAM: a memory of few tokens (arXiv:2501.07256, sec. 3.2).

A memory of 64 x 64 tokens becomes 256 latents that look at all of it and 16 x 16 that
look each at its own window. Attention to memories then costs an eighth.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.layers import sine_position_encoding

__all__ = ["SpatialPerceiver"]


class _Attention(nn.Module):
    """Single-head attention of normed latents to normed tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm_latents = nn.LayerNorm(dim)
        self.norm_x = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, latents: Tensor, x: Tensor, positions: Tensor | None) -> Tensor:
        q = self.to_q(self.norm_latents(latents))
        k, v = self.to_kv(self.norm_x(x)).chunk(2, dim=-1)
        if positions is not None:
            # to the values too: latents have no place of their own
            k, v = k + positions, v + positions
        result: Tensor = self.to_out(F.scaled_dot_product_attention(q, k, v))
        return result


class _SelfAttention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.norm(latents)
        k, v = self.to_kv(x).chunk(2, dim=-1)
        result: Tensor = self.to_out(F.scaled_dot_product_attention(self.to_q(x), k, v))
        return result


def _feed_forward(dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, 4 * dim, bias=False),
        nn.GELU(),
        nn.Linear(4 * dim, dim, bias=False),
    )


class _Layer(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attn = _Attention(dim)
        self.ff = _feed_forward(dim)
        self.self_attn = _SelfAttention(dim)
        self.self_ff = _feed_forward(dim)

    def forward(
        self, latents: Tensor, x: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        latents = latents + self.attn(latents, x, positions)
        latents = latents + self.ff(latents)
        latents = latents + self.self_attn(latents)
        result: Tensor = latents + self.self_ff(latents)
        return result


class SpatialPerceiver(nn.Module):
    """Makes a memory smaller.

    Parameters
    ----------
    dim
        Width of the memory.
    layers
        How often the latents look.
    side
        The square of it is the number of latents of each of the two kinds.
    """

    def __init__(self, *, dim: int, layers: int, side: int = 16) -> None:
        super().__init__()
        self.side = side
        self.latents = nn.Parameter(torch.zeros(side * side, dim))
        self.latents_2d = nn.Parameter(torch.zeros(side * side, dim))
        self.layers = nn.ModuleList(_Layer(dim) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, memory: Tensor) -> Tensor:
        """Compress ``(N, C, h, w)``, h and w the same multiple of ``side``.

        Returns
        -------
        Tensor
            ``(N, C, 2 * side, side)``: in the upper half latents without place, in
            order; in the lower the grid of windows.
        """
        count, channels, height, width = memory.shape
        if height != width or height % self.side:
            raise ValueError(
                f"The memory must be a square of a multiple of {self.side} tokens: got "
                f"{height} x {width}."
            )
        tokens = memory.flatten(2).transpose(1, 2)
        place = sine_position_encoding(height, width, channels, memory.device)
        everywhere = self.latents[None].expand(count, -1, -1)
        windows = memory.reshape(
            count, channels, self.side, height // self.side, self.side, width // self.side
        )
        windows = windows.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)
        local = self.latents_2d.repeat(count, 1)[:, None]
        for layer in cast("list[_Layer]", list(self.layers)):
            everywhere = layer(everywhere, tokens, place.flatten(2).transpose(1, 2))
            local = layer(local, windows)
        both = torch.cat((everywhere, local.reshape(count, -1, channels)), dim=1)
        shaped = self.norm(both).transpose(1, 2)
        result: Tensor = shaped.reshape(count, channels, 2 * self.side, self.side)
        return result

    def positions(self, channels: int, device: torch.device) -> Tensor:
        """Positions ``(1, C, 2 * side, side)`` of what :meth:`forward` returns."""
        grid = sine_position_encoding(self.side, self.side, channels, device)
        return torch.cat((torch.zeros_like(grid), grid), dim=2)
