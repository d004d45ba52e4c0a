"""The plain vision transformer of SAM (arXiv:2304.02643, appendix A; ViTDet windows)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.layers import MLP, LayerNorm2d

__all__ = ["ViT", "make_neck"]


def make_neck(channels: int, dim: int) -> nn.Sequential:
    """Two convolutions that bring trunk features to the width of the embeddings."""
    return nn.Sequential(
        nn.Conv2d(channels, dim, kernel_size=1, bias=False),
        LayerNorm2d(dim),
        nn.Conv2d(dim, dim, kernel_size=3, padding=1, bias=False),
        LayerNorm2d(dim),
    )


def _relative(table: Tensor, size: int) -> Tensor:
    """Relative position embeddings ``(size, size, C)`` of queries and keys in a row.

    ``table`` is ``(2 * native - 1, C)``; another length is interpolated.
    """
    if table.shape[0] != 2 * size - 1:
        rows = table.T[None].float()
        table = F.interpolate(rows, size=2 * size - 1, mode="linear")[0].T.to(table.dtype)
    place = torch.arange(size, device=table.device)
    return table[place[:, None] - place[None, :] + size - 1]


class _Attention(nn.Module):
    """Self-attention over a grid with decomposed relative positions.

    Parameters
    ----------
    dim, heads
        Width and number of heads.
    side
        Side of the grid for which the position tables are made.
    """

    def __init__(self, dim: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, dim // heads))

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each grid of ``(B, H, W, dim)``."""
        batch, height, width, dim = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        grid = q.unflatten(2, (height, width))
        rows = torch.einsum("bnhwc,hkc->bnhwk", grid, _relative(self.rel_pos_h, height))
        columns = torch.einsum("bnhwc,wkc->bnhwk", grid, _relative(self.rel_pos_w, width))
        bias = (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out = out.transpose(1, 2).reshape(batch, height, width, dim)
        result: Tensor = self.proj(out)
        return result


class _Block(nn.Module):
    """Attention, in windows or over the whole grid, and an MLP."""

    def __init__(
        self, dim: int, heads: int, mlp_ratio: float, window: int, native: int
    ) -> None:
        super().__init__()
        self.window = window
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, heads, window or native)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, int(dim * mlp_ratio), dim, activation=F.gelu)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + (self._in_windows(normed) if self.window else self.attn(normed))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result

    def _in_windows(self, x: Tensor) -> Tensor:
        """Attend in windows; the grid is padded with zeros to hold whole ones."""
        batch, height, width, dim = x.shape
        side = self.window
        x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.reshape(batch, rows, side, columns, side, dim).transpose(2, 3)
        x = self.attn(x.reshape(-1, side, side, dim))
        x = x.reshape(batch, rows, columns, side, side, dim).transpose(2, 3)
        return x.reshape(batch, rows * side, columns * side, dim)[:, :height, :width]


class _PatchEmbed(nn.Module):
    """Pixels of each patch as one vector."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.proj(x)
        return result.permute(0, 2, 3, 1)


class ViT(nn.Module):
    """Image encoder of SAM ViT-B, L and H.

    Parameters
    ----------
    embed_dim, depth, heads
        Width, number of blocks and attention heads.
    global_blocks
        Blocks that attend to the whole image; the others look at windows.
    window
        Side of the windows in patches.
    mlp_ratio
        Hidden width of the MLPs relative to ``embed_dim``.
    dim
        Width of the result.
    native_size
        Side in pixels of the inputs for which positions are stored; at other sizes
        they are interpolated.
    """

    patch = 16

    def __init__(
        self,
        *,
        embed_dim: int,
        depth: int,
        heads: int,
        global_blocks: Sequence[int],
        window: int = 14,
        mlp_ratio: float = 4.0,
        dim: int = 256,
        native_size: int = 1024,
    ) -> None:
        super().__init__()
        side = native_size // self.patch
        self.patch_embed = _PatchEmbed(self.patch, embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, embed_dim))
        self.blocks = nn.ModuleList(
            _Block(embed_dim, heads, mlp_ratio, 0 if i in global_blocks else window, side)
            for i in range(depth)
        )
        self.neck = make_neck(embed_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(B, 3, S, S)`` as ``(B, dim, S/16, S/16)``."""
        x = self.patch_embed(x)
        x = x + self._positions(x.shape[1], x.shape[2])
        for block in self.blocks:
            x = block(x)
        result: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return result

    def _positions(self, height: int, width: int) -> Tensor:
        stored: Tensor = self.pos_embed
        if stored.shape[1:3] == (height, width):
            return stored
        channels_first = stored.permute(0, 3, 1, 2)
        resized = F.interpolate(
            channels_first, size=(height, width), mode="bicubic", antialias=True
        )
        return resized.permute(0, 2, 3, 1)
