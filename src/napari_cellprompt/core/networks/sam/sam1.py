"""SAM and MobileSAM: image encoder, prompt encoder and mask decoder in one network.

After Kirillov et al. 2023, arXiv:2304.02643, and Zhang et al. 2023, arXiv:2306.14289.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .mask_decoder import DecoderOutput, MaskDecoder
from .prompt_encoder import PromptEncoder
from .sam2 import ImageFeatures

__all__ = ["SAM1"]


class SAM1(nn.Module):
    """The whole network; build it with :func:`build.build_sam1`.

    It offers what :class:`~.sam2.SAM2` does for single images, so that predictors take
    either.

    Parameters
    ----------
    image_encoder
        Maps ``(B, 3, S, S)`` to ``(B, D, S/16, S/16)``.
    prompt_encoder, mask_decoder
        The other parts.
    image_size
        Side of the square input in pixels, a multiple of 32; may be changed later.
    """

    def __init__(
        self,
        *,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        image_size: int,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder

    def frame_features(self, x: Tensor) -> ImageFeatures:
        """Encode ``(B, 3, S, S)`` normalised images."""
        return ImageFeatures(self.image_encoder(x), ())

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        """The features as they are: this network has no memory."""
        return features

    def image_features(self, x: Tensor) -> ImageFeatures:
        """Encode ``(B, 3, S, S)`` normalised images."""
        return self.frame_features(x)

    def decode(
        self,
        features: ImageFeatures,
        image_index: Tensor | None,
        points: Tensor | None,
        labels: Tensor | None,
        mask_input: Tensor | None,
        *,
        multimask: bool | None,
    ) -> DecoderOutput:
        """Predict the masks of N objects from their prompts, as :meth:`SAM2.decode`."""
        embed = features.embed
        if image_index is not None and embed.shape[0] > 1:
            embed = embed[image_index]
        height, width = embed.shape[-2:]
        if points is not None and labels is not None:
            points, labels = _clicks_before_boxes(points, labels)
        sparse, dense = self.prompt_encoder(
            points,
            labels,
            mask_input,
            image_size=self.image_size,
            grid_size=(height, width),
            pad=False,
        )
        output: DecoderOutput = self.mask_decoder(
            embed,
            self.prompt_encoder.dense_positions(height, width),
            sparse,
            dense,
            (),
            multimask=multimask,
        )
        return output


def _clicks_before_boxes(points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Bring prompts into SAM's order: clicks, then either box corners or padding."""
    boxed = bool((labels == 2).any())
    if boxed:
        return torch.roll(points, -2, dims=1), torch.roll(labels, -2, dims=1)
    padding = points.new_zeros(len(points), 1, 2)
    unused = labels.new_full((len(labels), 1), -1)
    return torch.cat((points, padding), dim=1), torch.cat((labels, unused), dim=1)
