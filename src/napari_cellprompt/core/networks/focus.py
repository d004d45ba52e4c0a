"""The bundled crop-wise network: a U-Net on a square around one object.

Prompts are planes of the input. They enter beside the image by convolutions that start at
zero, as in RITM (Sofiiuk, Petrov, Konushin, "Reviving Iterative Training with Mask Guidance
for Interactive Segmentation", 2021), so that the pretrained encoder (`EfficientNetLite`)
sees at first what it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.trunks.efficientnet_lite import (
    STAGE_CHANNELS,
    EfficientNetLite,
)

__all__ = ["PROMPT_CHANNELS", "FocusNet", "FocusOutput"]

PROMPT_CHANNELS = (
    "positive",
    "negative",
    "box",
    "mask",
    "previous",
    "before_mask",
    "before_image",
    "before_nearness",
    "after_mask",
    "after_image",
    "after_nearness",
)
"""What the planes of the prompt input hold, in order; each 0 where there is nothing.

``positive`` and ``negative``: clicks and strokes. ``box``: the share of each pixel within
the box. ``mask``: a rough mask or the mask of the prompted plane. ``previous``: the
probability answered before. ``before_*`` and ``after_*``: mask and grey image (0 to 1) of a
known plane on either side, and one over its distance in planes, the same everywhere.
"""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_DENSE = 3


@dataclass(frozen=True, slots=True, eq=False)
class FocusOutput:
    """What the network answers for B crops of S x S pixels."""

    logits: Tensor
    """``(B, S, S)``; above 0 is the object."""
    iou: Tensor
    """``(B,)``, 0 to 1: the predicted IoU of the visible answer with the *whole* object,
    the part outside of the crop included."""
    presence: Tensor
    """``(B,)`` logits: whether what was prompted is there at all."""
    dense: Tensor | None
    """``(B, 3, S, S)`` logits of foreground, boundary, and the distance to the boundary
    relative to the largest in the object (after a sigmoid); None where not asked for."""


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.01),
        nn.ReLU(inplace=True),
    )


def _zero(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    """A convolution that adds nothing until it was trained."""
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.zeros_(convolution.weight)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution


class _Entry(nn.Module):
    """The way of the prompts into the encoder, at 1/2, 1/4 and 1/8."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.at_half = nn.Sequential(
            nn.Conv2d(inputs, width, 3, 2, 1), nn.ReLU(inplace=True)
        )
        self.at_quarter = nn.Sequential(
            nn.Conv2d(width, width, 3, 2, 1), nn.ReLU(inplace=True)
        )
        self.at_eighth = nn.Sequential(
            nn.Conv2d(width, width, 3, 2, 1), nn.ReLU(inplace=True)
        )
        self.to_half = _zero(width, 32, 3)
        self.to_quarter = _zero(width, STAGE_CHANNELS[1], 1)
        self.to_eighth = _zero(width, STAGE_CHANNELS[2], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is added to the encoder's features, from ``(B, C, S, S)``."""
        half = self.at_half(x)
        quarter = self.at_quarter(half)
        eighth = self.at_eighth(quarter)
        return self.to_half(half), self.to_quarter(quarter), self.to_eighth(eighth)


class _Scores(nn.Module):
    """Predicted IoU and presence from features pooled over the crop and over the answer."""

    def __init__(self, deep: int, fine: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * deep + 2 * fine + 5, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, 2),
        )

    def forward(self, deep: Tensor, fine: Tensor, logits: Tensor) -> Tensor:
        """Logits ``(B, 2)`` of IoU and presence.

        Parameters
        ----------
        deep
            ``(B, C, S/32, S/32)``.
        fine
            ``(B, D, S/4, S/4)``.
        logits
            ``(B, 1, S, S)``, the answer.
        """
        probability = torch.sigmoid(logits)
        small = F.adaptive_avg_pool2d(probability, (fine.shape[-2], fine.shape[-1]))
        weight = small / small.sum((2, 3), keepdim=True).clamp_min(1e-3)
        coarse = F.adaptive_avg_pool2d(small, (deep.shape[-2], deep.shape[-1]))
        coarse = coarse / coarse.sum((2, 3), keepdim=True).clamp_min(1e-4)
        rim = torch.cat(
            [
                probability[..., :2, :].flatten(1),
                probability[..., -2:, :].flatten(1),
                probability[..., :2].flatten(1),
                probability[..., -2:].flatten(1),
            ],
            1,
        )
        area = probability.mean((1, 2, 3))
        doubt = (probability * (1 - probability)).mean((1, 2, 3))
        shape = torch.stack(
            [
                rim.mean(1),
                area,
                area.clamp_min(1e-5).log() / 8,
                doubt / area.clamp_min(1e-3),
                probability.amax((1, 2, 3)),
            ],
            1,
        )
        pooled = [
            deep.mean((2, 3)),
            (deep * coarse).sum((2, 3)),
            fine.mean((2, 3)),
            (fine * weight).sum((2, 3)),
            shape,
        ]
        scores: Tensor = self.layers(torch.cat(pooled, 1))
        return scores


class FocusNet(nn.Module):
    """Mask, scores and a dense map from a crop with its prompts drawn in.

    Fully convolutional: any size that is a multiple of 32 works; 128 was trained.

    Parameters
    ----------
    decoder : sequence of five ints
        Channels of the decoder at 1/16, 1/8, 1/4, 1/2 and 1 of the input.
    entry : int
        Channels of the way of the prompts into the encoder.
    full : int
        Channels of image and prompts at full resolution, beside the last decoder level.
    hidden : int
        Width of the layers that predict the scores.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        decoder: Sequence[int] = (128, 96, 64, 32, 24),
        entry: int = 32,
        full: int = 16,
        hidden: int = 96,
    ) -> None:
        super().__init__()
        inputs = 3 + len(PROMPT_CHANNELS)
        self.encoder = EfficientNetLite()
        self.entry = _Entry(inputs, entry)
        widths = [STAGE_CHANNELS[-1], *decoder]
        skips = (*STAGE_CHANNELS[-2::-1], full)
        self.levels = nn.ModuleList(
            _convolution(widths[i] + skips[i], widths[i + 1]) for i in range(len(decoder))
        )
        self.full = nn.Sequential(
            nn.Conv2d(inputs, full, 3, padding=1), nn.ReLU(inplace=True)
        )
        self.mask_head = nn.Conv2d(decoder[-1], 1, 3, padding=1)
        self.dense_head = nn.Conv2d(decoder[-1], _DENSE, 1)
        self.scores = _Scores(STAGE_CHANNELS[-1], decoder[2], hidden)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def forward(
        self, image: Tensor, prompts: Tensor, *, dense: bool = False
    ) -> FocusOutput:
        """Answer the prompts.

        Parameters
        ----------
        image : Tensor
            ``(B, 3, S, S)``, 0 to 1 (a little beyond where contrast was robust), grey
            repeated; 0 outside of the plane.
        prompts : Tensor
            ``(B, 11, S, S)``, planes as in `PROMPT_CHANNELS`.
        dense : bool
            Whether the dense map is wanted; it is meant for crops without a prompt.
        """
        both, features = self._encoded(image, prompts)
        with torch.autocast(
            both.device.type, torch.bfloat16, enabled=self.half_decoder and both.is_cpu
        ):
            x = features[-1]
            skips = [*features[-2::-1], self.full(both)]
            decoded = []
            for level, skip in zip(self.levels, skips, strict=True):
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
                x = level(torch.cat([x, skip.to(x.dtype)], 1))
                decoded.append(x)
            logits = self.mask_head(x).float()
            dense_map = self.dense_head(x).float() if dense else None
        scores = self.scores(features[-1], decoded[2].float(), logits.detach())
        return FocusOutput(
            logits[:, 0], torch.sigmoid(scores[:, 0]), scores[:, 1], dense_map
        )

    def features(self, image: Tensor, prompts: Tensor) -> Sequence[Tensor]:
        """The encoder's maps ``(B, C, S/n, S/n)`` at 1/2 to 1/32 of the input."""
        return self._encoded(image, prompts)[1]

    def _encoded(self, image: Tensor, prompts: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        normal = (image - self.mean) / self.std
        both = torch.cat([normal, prompts], 1)
        return both, self.encoder(normal, self.entry(both))

    half_decoder = False
    """Whether the decoder computes in bfloat16 on a CPU."""
