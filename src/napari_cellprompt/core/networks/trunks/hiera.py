"""Hiera, the image trunk of SAM 2 (Ryali et al. 2023, arXiv:2306.00989)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.layers import MLP

__all__ = ["Hiera"]


def _pool(x: Tensor) -> Tensor:
    """Halve ``(B, H, W, C)`` by 2 x 2 maxima; the result is contiguous.

    On Apple's GPUs the input is copied first: strided views were pooled wrongly by
    some releases of PyTorch. Elsewhere the copy, and a result that is not contiguous,
    would slow down the rest of the stage.
    """
    channels_first = x.permute(0, 3, 1, 2)
    if x.device.type == "mps":
        channels_first = channels_first.contiguous()
    pooled = F.max_pool2d(channels_first, kernel_size=2, stride=2)
    return pooled.permute(0, 2, 3, 1).contiguous()


def _to_windows(x: Tensor, size: int) -> tuple[Tensor, tuple[int, int]]:
    """Cut ``(B, H, W, C)`` into ``(B * windows, size, size, C)``, zero-padded."""
    batch, height, width, channels = x.shape
    pad_h, pad_w = -height % size, -width % size
    if pad_h or pad_w:
        x = F.pad(x, (0, 0, 0, pad_w, 0, pad_h))
    padded = height + pad_h, width + pad_w
    x = x.view(batch, padded[0] // size, size, padded[1] // size, size, channels)
    return x.transpose(2, 3).reshape(-1, size, size, channels), padded


def _from_windows(
    windows: Tensor, size: int, padded: tuple[int, int], shape: tuple[int, int]
) -> Tensor:
    """Undo ``_to_windows``: ``(B, H, W, C)`` with the padding cut away."""
    height, width = padded
    x = windows.reshape(-1, height // size, width // size, size, size, windows.shape[-1])
    x = x.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])
    return x[:, : shape[0], : shape[1]]


class _Attention(nn.Module):
    """Self-attention over ``(B, H, W, C)`` whose queries may be pooled by two."""

    def __init__(self, dim: int, dim_out: int, heads: int, *, pool: bool) -> None:
        super().__init__()
        self.heads = heads
        self.pool = pool
        self.qkv = nn.Linear(dim, dim_out * 3)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.heads, -1)
        q, k, v = qkv.unbind(2)
        if self.pool:
            q = _pool(q.reshape(batch, height, width, -1))
            height, width = q.shape[1:3]
            q = q.reshape(batch, height * width, self.heads, -1)
        x = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        )
        result: Tensor = self.proj(x.transpose(1, 2).reshape(batch, height, width, -1))
        return result


class _Block(nn.Module):
    """One transformer block; pools and widens where a stage begins."""

    def __init__(
        self, dim: int, dim_out: int, heads: int, *, pool: bool, window: int
    ) -> None:
        super().__init__()
        self.window = window
        self.pool = pool
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, dim_out, heads, pool=pool)
        self.norm2 = nn.LayerNorm(dim_out, eps=1e-6)
        self.mlp = MLP(dim_out, dim_out * 4, dim_out, activation=F.gelu)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.norm1(x)
        if self.proj is not None:
            shortcut = self.proj(x)
            if self.pool:
                shortcut = _pool(shortcut)
        if not self.window:
            x = self.attn(x)
        else:
            windows, padded = _to_windows(x, self.window)
            windows = self.attn(windows)
            size = self.window
            if self.pool:
                size, padded = size // 2, (padded[0] // 2, padded[1] // 2)
            x = _from_windows(windows, size, padded, (shortcut.shape[1], shortcut.shape[2]))
        x = shortcut + x
        result: Tensor = x + self.mlp(self.norm2(x))
        return result


class _PatchEmbed(nn.Module):
    """Overlapping 7 x 7 patches at stride 4, ``(B, 3, S, S)`` to ``(B, S/4, S/4, C)``."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=7, stride=4, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.proj(x)
        return patches.permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """Hierarchical vision transformer with windowed attention.

    Parameters
    ----------
    embed_dim, num_heads
        Width and heads of the first stage; both double from stage to stage.
    stages
        Blocks per stage.
    global_att_blocks
        Indices of the blocks that attend to the whole image.
    window_pos_embed_bkg_spatial_size
        Size of the coarse part of the position embedding.
    window_spec
        Window size per stage; the first block of a stage still uses the one of
        the stage before.
    """

    def __init__(
        self,
        *,
        embed_dim: int,
        num_heads: int,
        stages: Sequence[int],
        global_att_blocks: Sequence[int],
        window_pos_embed_bkg_spatial_size: Sequence[int],
        window_spec: Sequence[int],
    ) -> None:
        super().__init__()
        ends = [sum(stages[: i + 1]) - 1 for i in range(len(stages))]
        self._stage_ends = frozenset(ends)
        starts = {end + 1 for end in ends[:-1]}
        self.patch_embed = _PatchEmbed(embed_dim)
        self.pos_embed = nn.Parameter(
            torch.zeros(1, embed_dim, *window_pos_embed_bkg_spatial_size)
        )
        self.pos_embed_window = nn.Parameter(
            torch.zeros(1, embed_dim, window_spec[0], window_spec[0])
        )
        blocks = []
        dim, heads, stage = embed_dim, num_heads, 0
        for index in range(sum(stages)):
            window = 0 if index in global_att_blocks else window_spec[stage]
            dim_out = dim
            if index in starts:
                dim_out, heads, stage = dim * 2, heads * 2, stage + 1
            blocks.append(_Block(dim, dim_out, heads, pool=index in starts, window=window))
            dim = dim_out
        self.blocks = nn.ModuleList(blocks)
        self._position_cache: tuple[tuple[object, ...], Tensor] | None = None

    def _positions(self, height: int, width: int) -> Tensor:
        """Position embedding ``(1, height, width, C)``: coarse part + tiled window part."""
        key = (
            height,
            width,
            self.pos_embed.device,
            self.pos_embed.dtype,
            self.pos_embed.data_ptr(),
            self.pos_embed._version,
            self.pos_embed_window._version,
        )
        # kept between calls: bicubic resizing is slow on CPUs, and absent on some GPUs
        reusable = not torch.is_grad_enabled()
        if reusable and self._position_cache is not None and self._position_cache[0] == key:
            return self._position_cache[1]
        coarse = F.interpolate(self.pos_embed, size=(height, width), mode="bicubic")
        size = self.pos_embed_window.shape[-1]
        fine = self.pos_embed_window.tile(1, 1, -(-height // size), -(-width // size))
        positions = (coarse + fine[:, :, :height, :width]).permute(0, 2, 3, 1)
        if reusable:
            self._position_cache = key, positions
        return positions

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of ``(B, 3, S, S)`` at strides 4, 8, 16, 32, each ``(B, C, h, w)``."""
        x = self.patch_embed(x)
        x = x + self._positions(x.shape[1], x.shape[2])
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._stage_ends:
                outputs.append(x.permute(0, 3, 1, 2))
        return outputs
