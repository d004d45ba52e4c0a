"""The image encoder of SAM 2: a trunk and a feature pyramid (arXiv:2408.00714, sec. D)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.trunks.hiera import Hiera
from napari_cellprompt.core.networks.trunks.repvit import RepViT

__all__ = ["FpnNeck", "ImageEncoder"]


class _Lateral(nn.Module):
    """A 1 x 1 convolution under the name that checkpoints give it."""

    def __init__(self, channels: int, d_model: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, d_model, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.conv(x)
        return result


class FpnNeck(nn.Module):
    """Brings the trunk's stages to one width; stride 32 flows into stride 16.

    ``convs[0]`` belongs to the last (coarsest) stage, as in the checkpoints.
    """

    def __init__(self, *, channels: Sequence[int], d_model: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_Lateral(count, d_model) for count in channels)

    def forward(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """Four maps ``(B, d_model, h, w)`` at strides 4, 8 and 16."""
        stride4, stride8, stride16, stride32 = stages
        coarse = self.convs[0](stride32)
        # summed in float32, whatever precision the encoder runs in, as in the original
        coarse_up = F.interpolate(
            coarse.to(torch.float32), scale_factor=2.0, mode="nearest"
        )
        top = self.convs[1](stride16)
        return [
            self.convs[3](stride4),
            self.convs[2](stride8),
            top + coarse_up.to(top.dtype),
        ]


class ImageEncoder(nn.Module):
    """Trunk and neck."""

    def __init__(self, *, trunk: Hiera | RepViT, neck: FpnNeck) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck

    def forward(self, x: Tensor) -> list[Tensor]:
        """Maps of ``(B, 3, S, S)`` at strides 4, 8, 16, each ``(B, d_model, h, w)``."""
        maps: list[Tensor] = self.neck(self.trunk(x))
        return maps
