"""Memory attention and memory encoder of SAM 2 (arXiv:2408.00714, section D.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.layers import LayerNorm2d, sine_position_encoding

__all__ = ["Grid", "MemoryAttention", "MemoryEncoder"]


Grid = tuple[int, int]
"""Side of a square of tokens, and their distance in cells of the features' grid."""

_SCORE_BYTES = 64 * 1024**2
"""Attention scores that are held at once on the CPU."""


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # training uses the same tables
def _rotation_table(
    channels: int, grid: Grid, theta: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of axial rotary positions, ``(side², channels / 2)``.

    The first half of the pairs turns with the column, the second with the row
    (RoPE-ViT, arXiv:2403.13298, section 3.2). Real numbers, since complex ones
    are missing on some devices. Tokens of a pooled grid stand at the centres of their
    blocks.
    """
    side, step = grid
    frequencies = theta ** -(torch.arange(0, channels, 4, dtype=torch.float32) / channels)
    along = torch.arange(side, dtype=torch.float32) * step + (step - 1) / 2
    row, column = torch.meshgrid(along, along, indexing="ij")
    angles = torch.cat(
        [torch.outer(place.flatten(), frequencies) for place in (column, row)], dim=1
    )
    return angles.cos().to(device), angles.sin().to(device)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn channel pairs of ``(B, L, D)`` by ``(L, D / 2)`` angles.

    The first of each pair stand in the first half of the channels, the second in the
    second half.
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat(
        (first * cosine - second * sine, first * sine + second * cosine), dim=-1
    )


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one head, ``(B or 1, L, D)`` to ``(B, M, D)`` and ``(B, M, V)``.

    As matrix products of a bounded number of queries: on the CPU that is faster than
    the fused kernel, which takes values as wide as the keys only.
    """
    count, keys = k.shape[:2]
    queries = q.shape[1]
    # rows of scores that begin at whole cache lines: a third less time than without
    wide = keys + -keys % 16
    v = F.pad(v, (0, 0, 0, wide - keys))
    out = v.new_empty(count, queries, v.shape[2])
    step = min(queries, max(1, _SCORE_BYTES // (wide * k.element_size())))
    scores = k.new_empty(step, wide)
    for row in range(count):
        query = q[row % len(q)] * (1 / math.sqrt(q.shape[2]))
        key = k[row].t()
        for start in range(0, queries, step):
            part = query[start : start + step]
            weights = scores[: len(part)]
            torch.mm(part, key, out=weights[:, :keys])
            weights[:, keys:] = -math.inf
            torch.softmax(weights, dim=-1, out=weights)
            torch.mm(weights, v[row], out=out[row, start : start + step])
    return out


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

    def _project(self, x: Tensor, layer: nn.Linear) -> Tensor:
        """Project with the channels of the rotary pairs in two halves.

        Queries and keys are permuted alike, which leaves their products as they are
        and makes the rotation cheap.
        """
        weight = layer.weight.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1)
        bias = layer.bias.unflatten(0, (-1, 2)).t().flatten()
        return F.linear(x, weight, bias)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, *, grids: Sequence[Grid]) -> Tensor:
        """Attend from one grid to tokens of several.

        Parameters
        ----------
        q
            ``(B or 1, L, D)``, L a square.
        k, v
            ``(B, M, key_dim)``: the tokens of each of ``grids``, then tokens without
            position.
        grids
            Side of each, and the distance of its tokens in cells of the queries' grid.

        Returns
        -------
        Tensor
            ``(B, L, D)``.
        """
        side = math.isqrt(q.shape[1])

        def table(grid: Grid) -> tuple[Tensor, Tensor]:
            return _rotation_table(self.dim, grid, self.theta, q.device)

        q = _rotate(self._project(q, self.q_proj), *table((side, 1)))
        k = self._project(k, self.k_proj)
        lengths = [length**2 for length, _ in grids]
        *parts, rest = k.split([*lengths, k.shape[1] - sum(lengths)], dim=1)
        turned = [
            _rotate(part, *table(grid)) for part, grid in zip(parts, grids, strict=True)
        ]
        k = torch.cat((*turned, rest), dim=1)
        narrow = v.shape[2] < self.dim
        if narrow and q.device.type == "cpu" and not torch.is_grad_enabled():
            # the weights of a query sum to one: values may be projected after the sum,
            # when they are fewer, and until then memories are narrow
            out = self.v_proj(_attend(q, k, v))
        else:
            q = q.expand(len(k), -1, -1)
            out = F.scaled_dot_product_attention(
                q[:, None], k[:, None], self.v_proj(v)[:, None]
            )[:, 0]
        result: Tensor = self.out_proj(out)
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

    def look(self, x: Tensor) -> Tensor:
        """The part that no memory enters."""
        normed = self.norm1(x)
        own = (math.isqrt(x.shape[1]), 1)
        result: Tensor = x + self.self_attn(normed, normed, normed, grids=[own])
        return result

    def recall(
        self, x: Tensor, keys: Tensor, memory: Tensor, grids: Sequence[Grid]
    ) -> Tensor:
        """The part in which memories enter."""
        x = x + self.cross_attn_image(self.norm2(x), keys, memory, grids=grids)
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

    def start(self, features: Tensor, positions: Tensor) -> Tensor:
        """What is the same for all objects of a frame: the first self-attention.

        Takes ``(B or 1, L, D)`` features and positions, L a square; what it returns, of
        the same shape, goes into :meth:`finish`.
        """
        first, *_ = cast("list[_Layer]", list(self.layers))
        return first.look(features + 0.1 * positions)

    def finish(
        self,
        x: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        *,
        grids: Sequence[Grid],
    ) -> Tensor:
        """Everything after :meth:`start`.

        Parameters
        ----------
        x
            ``(B or 1, L, D)``.
        memory, memory_positions
            ``(B, M, mem_dim)`` and ``(B or 1, M, mem_dim)``: grids of spatial memory,
            then tokens without position.
        grids
            Side of each grid, and the distance of its tokens in cells of the features'.

        Returns
        -------
        Tensor
            ``(B, L, D)``.
        """
        alone = memory.device.type == "cpu" and not torch.is_grad_enabled()
        if alone and len(memory) > 1:
            # one object at a time: what is computed in between stays small
            return torch.cat(
                [
                    self.finish(
                        x[row % len(x)][None],
                        memory[row][None],
                        memory_positions[row % len(memory_positions)][None],
                        grids=grids,
                    )
                    for row in range(len(memory))
                ]
            )
        keys = memory + memory_positions
        for index, layer in enumerate(cast("list[_Layer]", list(self.layers))):
            if index:
                x = layer.look(x)
            x = layer.recall(x, keys, memory, grids)
        result: Tensor = self.norm(x)
        return result

    def forward(
        self,
        features: Tensor,
        positions: Tensor,
        memory: Tensor,
        memory_positions: Tensor,
        *,
        grids: Sequence[Grid],
    ) -> Tensor:
        """:meth:`start` and :meth:`finish`."""
        start = self.start(features, positions)
        return self.finish(start, memory, memory_positions, grids=grids)


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
