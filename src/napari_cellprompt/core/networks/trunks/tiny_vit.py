"""TinyViT-5M, the image encoder of MobileSAM (arXiv:2207.10666, arXiv:2306.14289)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vit import make_neck

__all__ = ["TinyViT"]


class _ConvNorm(nn.Module):
    """A convolution without bias and its batch normalisation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn(self.c(x))
        return result


class _PatchEmbed(nn.Module):
    """Two strided convolutions: stride 4."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            _ConvNorm(3, dim // 2, 3, 2), nn.GELU(), _ConvNorm(dim // 2, dim, 3, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.seq(x)
        return result


class _InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow, and add what came in."""

    def __init__(self, dim: int, expand: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(dim, dim * expand)
        self.conv2 = _ConvNorm(dim * expand, dim * expand, 3, groups=dim * expand)
        self.conv3 = _ConvNorm(dim * expand, dim)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(self.conv3(inner) + x)


class _PatchMerging(nn.Module):
    """Change the width between stages, and halve the grid where ``stride`` is 2."""

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(dim, out_dim)
        self.conv2 = _ConvNorm(out_dim, out_dim, 3, stride, groups=out_dim)
        self.conv3 = _ConvNorm(out_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return result


class _MLP(nn.Module):
    """Normalised two-layer perceptron."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return result


class _WindowAttention(nn.Module):
    """Self-attention in a window with a learnt bias for each absolute offset."""

    offsets: Tensor

    def __init__(self, dim: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        place = torch.arange(window)
        away = (place[:, None] - place[None, :]).abs()
        # offset (dy, dx) has the number dy * window + dx
        numbers = away[:, None, :, None] * window + away[None, :, None, :]
        offsets = numbers.reshape(window * window, window * window)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within ``(B, window * window, dim)``."""
        batch, count, dim = x.shape
        # the three parts of one head lie next to each other
        qkv = self.qkv(self.norm(x)).reshape(batch, count, self.heads, -1)
        q, k, v = qkv.transpose(1, 2).chunk(3, dim=-1)
        bias = self.attention_biases[:, self.offsets]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        result: Tensor = self.proj(out.transpose(1, 2).reshape(batch, count, dim))
        return result


class _Block(nn.Module):
    """Window attention, a convolution of each channel, and an MLP."""

    def __init__(self, dim: int, heads: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        self.window = window
        self.attn = _WindowAttention(dim, heads, window)
        self.local_conv = _ConvNorm(dim, dim, 3, groups=dim)
        self.mlp = _MLP(dim, int(dim * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``(B, dim, H, W)``."""
        x = x + self._in_windows(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.local_conv(x).permute(0, 2, 3, 1)
        result: Tensor = x + self.mlp(x)
        return result.permute(0, 3, 1, 2)

    def _in_windows(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        side = self.window
        if height != side or width != side:
            x = F.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, columns = x.shape[1] // side, x.shape[2] // side
        x = x.reshape(batch, rows, side, columns, side, dim).transpose(2, 3)
        x = self.attn(x.reshape(-1, side * side, dim))
        x = x.reshape(batch, rows, columns, side, side, dim).transpose(2, 3)
        return x.reshape(batch, rows * side, columns * side, dim)[:, :height, :width]


class _Stage(nn.Module):
    """Blocks of one width, and what leads to the next."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class TinyViT(nn.Module):
    """Image encoder of MobileSAM; the defaults are its sizes.

    Parameters
    ----------
    embed_dims, depths, heads, windows
        Width, blocks, attention heads and side of the windows of each stage. The first
        stage has convolutions in place of attention.
    mlp_ratio, conv_expand
        Hidden widths relative to the width.
    dim
        Width of the result.
    """

    def __init__(
        self,
        *,
        embed_dims: Sequence[int] = (64, 128, 160, 320),
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (2, 4, 5, 10),
        windows: Sequence[int] = (7, 7, 14, 7),
        mlp_ratio: float = 4.0,
        conv_expand: int = 4,
        dim: int = 256,
    ) -> None:
        super().__init__()
        self.patch_embed = _PatchEmbed(embed_dims[0])
        stages = []
        for index, width in enumerate(embed_dims):
            blocks: list[nn.Module] = [
                _Block(width, heads[index], windows[index], mlp_ratio)
                if index
                else _InvertedBottleneck(width, conv_expand)
                for _ in range(depths[index])
            ]
            following = embed_dims[index + 1] if index + 1 < len(embed_dims) else None
            # the last two stages work on one grid, a sixteenth of the image
            stride = 2 if index + 2 < len(embed_dims) else 1
            merge = None if following is None else _PatchMerging(width, following, stride)
            stages.append(_Stage(blocks, merge))
        self.layers = nn.ModuleList(stages)
        self.neck = make_neck(embed_dims[-1], dim)

    def forward(self, x: Tensor) -> Tensor:
        """Encode ``(B, 3, S, S)`` as ``(B, dim, S/16, S/16)``."""
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        result: Tensor = self.neck(x)
        return result
