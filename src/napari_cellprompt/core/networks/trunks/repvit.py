"""RepViT-M1, the convolutional trunk of EdgeTAM (arXiv:2307.09283, section 4).

Parameter names are those of the published EdgeTAM checkpoint, which are timm's.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

__all__ = ["REPVIT_CHANNELS", "RepViT"]

REPVIT_CHANNELS = (48, 96, 192, 384)
"""Width of each stage, finest first."""
_DEPTHS = (2, 2, 14, 2)


class _ConvNorm(nn.Module):
    """A convolution without bias and its batch norm."""

    def __init__(
        self, inner: int, outer: int, size: int = 1, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.c = nn.Conv2d(
            inner, outer, size, stride, padding=size // 2, groups=groups, bias=False
        )
        self.bn = nn.BatchNorm2d(outer)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.bn(self.c(x))
        return result


class _TokenMixer(nn.Module):
    """Depthwise 3 x 3 and 1 x 1 branches beside the input itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(dim, dim, 3, groups=dim)
        self.conv1 = _ConvNorm(dim, dim, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x) + self.conv1(x) + x
        return result


class _ChannelMixer(nn.Module):
    """Pointwise expansion by two and back."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(dim, 2 * dim)
        self.act = nn.GELU()
        self.conv2 = _ConvNorm(2 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv2(self.act(self.conv1(x)))
        return result


class _SqueezeExcite(nn.Module):
    """Weighs channels by what the whole image holds of them (arXiv:1709.01507)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # a quarter, rounded to a multiple of 8, by not more than a tenth downwards
        hidden = max(8, (dim // 4 + 4) // 8 * 8)
        hidden += 8 if hidden < 0.9 * dim / 4 else 0
        self.fc1 = nn.Conv2d(dim, hidden, kernel_size=1)
        self.act = nn.ReLU()
        self.fc2 = nn.Conv2d(hidden, dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True))))
        result: Tensor = x * weight.sigmoid()
        return result


class _Block(nn.Module):
    def __init__(self, dim: int, *, excite: bool) -> None:
        super().__init__()
        self.token_mixer = _TokenMixer(dim)
        self.se = _SqueezeExcite(dim) if excite else nn.Identity()
        self.channel_mixer = _ChannelMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.se(self.token_mixer(x))
        result: Tensor = x + self.channel_mixer(x)
        return result


class _Downsample(nn.Module):
    """Halves the grid and widens the channels."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.pre_block = _Block(inner, excite=False)
        self.spatial_downsample = _ConvNorm(inner, inner, 3, stride=2, groups=inner)
        self.channel_downsample = _ConvNorm(inner, outer)
        self.ffn = _ChannelMixer(outer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        result: Tensor = x + self.ffn(x)
        return result


class _Stage(nn.Module):
    def __init__(self, inner: int, outer: int, depth: int) -> None:
        super().__init__()
        self.downsample = nn.Identity() if inner == outer else _Downsample(inner, outer)
        # every second block weighs its channels, beginning with the first
        self.blocks = nn.Sequential(
            *(_Block(outer, excite=index % 2 == 0) for index in range(depth))
        )

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.blocks(self.downsample(x))
        return result


class _Stem(nn.Module):
    """Two convolutions to a quarter of the resolution."""

    def __init__(self, outer: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(3, outer // 2, 3, stride=2)
        self.act1 = nn.GELU()
        self.conv2 = _ConvNorm(outer // 2, outer, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv2(self.act1(self.conv1(x)))
        return result


class RepViT(nn.Module):
    """The trunk; its sizes are fixed, its batch norms want evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        parts: dict[str, nn.Module] = {"stem": _Stem(REPVIT_CHANNELS[0])}
        inner = REPVIT_CHANNELS[0]
        for stage, (outer, depth) in enumerate(zip(REPVIT_CHANNELS, _DEPTHS, strict=True)):
            parts[f"stages_{stage}"] = _Stage(inner, outer, depth)
            inner = outer
        self.body = nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of ``(B, 3, S, S)`` at strides 4, 8, 16, 32, each ``(B, C, h, w)``."""
        stem, *stages = cast("list[nn.Module]", list(self.body.values()))
        x = stem(x)
        outputs = []
        for stage in stages:
            x = stage(x)
            outputs.append(x)
        return outputs
