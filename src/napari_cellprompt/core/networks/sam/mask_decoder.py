"""The mask decoder of SAM (arXiv:2304.02643) and SAM 2 (arXiv:2408.00714, section D.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_cellprompt.core.networks.layers import MLP, LayerNorm2d

from .two_way import TwoWayTransformer

__all__ = ["DecoderOutput", "MaskDecoder", "single_is_stable", "stable_single"]

# a single mask whose area changes by more than 2 % when the threshold moves by
# +-0.05 is replaced by the best of the three (values of the reference build)
_STABILITY_DELTA = 0.05
_STABILITY_THRESHOLD = 0.98
# SAM 1 knows no absent objects
_CERTAIN = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class DecoderOutput:
    """What the decoder says about N objects, M masks each."""

    masks: Tensor
    """``(N, M, S/4, S/4)`` logits."""
    iou: Tensor
    """``(N, M)`` predicted IoU, 0 to 1."""
    tokens: Tensor
    """``(N, M, D)`` mask tokens, from which object pointers are made."""
    object_logits: Tensor
    """``(N, 1)``; above 0 the object is on this image."""


class MaskDecoder(nn.Module):
    """Predicts masks, their quality and the object's presence.

    Parameters
    ----------
    dim
        Width of image and prompt embeddings.
    mlp_dim
        Hidden width in the transformer.
    sam1
        Leave out what SAM 2 added: high-resolution features, the object score, and the
        choice of another mask where the single one is unstable.
    """

    _MASKS = 4

    def __init__(self, *, dim: int, mlp_dim: int, sam1: bool = False) -> None:
        super().__init__()
        self.sam1 = sam1
        self.transformer = TwoWayTransformer(dim=dim, heads=8, mlp_dim=mlp_dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self._MASKS, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim, dim // 8) for _ in range(self._MASKS)
        )
        self.iou_prediction_head = MLP(dim, 256, 256, self._MASKS, sigmoid_output=not sam1)
        if not sam1:
            self.obj_score_token = nn.Embedding(1, dim)
            self.conv_s0 = nn.Conv2d(dim, dim // 8, kernel_size=1)
            self.conv_s1 = nn.Conv2d(dim, dim // 4, kernel_size=1)
            self.pred_obj_score_head = MLP(dim, dim, dim, 1)

    def forward(
        self,
        image: Tensor,
        image_pe: Tensor,
        sparse: Tensor,
        dense: Tensor,
        high_res: tuple[Tensor, ...],
        *,
        multimask: bool | None,
    ) -> DecoderOutput:
        """Decode N objects.

        Parameters
        ----------
        image
            ``(N, D, h, w)``, or ``(1, D, h, w)`` when all objects share one image.
        image_pe
            ``(1, D, h, w)``.
        sparse, dense
            ``(N, K, D)`` and ``(N, D, h, w)`` from the prompt encoder.
        high_res
            Features at strides 4 and 8 of the input, ``(N or 1, D/8, 4h, 4w)`` and
            ``(N or 1, D/4, 2h, 2w)``; none in SAM 1.
        multimask
            True: the three masks of an ambiguous prompt. False: one mask, taken
            from the three where the single one is unstable (SAM 2). None: all four as
            they come (for training).
        """
        count = sparse.shape[0]
        own = [self.iou_token.weight, self.mask_tokens.weight]
        if not self.sam1:
            own.insert(0, self.obj_score_token.weight)
        first = torch.cat(own)
        tokens = torch.cat((first[None].expand(count, -1, -1), sparse), dim=1)
        queries, keys = self.transformer(image + dense, image_pe, tokens)
        iou_at = 0 if self.sam1 else 1
        mask_tokens = queries[:, iou_at + 1 : iou_at + 1 + self._MASKS]

        height, width = image.shape[-2:]
        features = keys.transpose(1, 2).reshape(count, -1, height, width)
        if self.sam1:
            features = self.output_upscaling(features)
        else:
            up1, norm, activation, up2, _ = self.output_upscaling
            features = activation(norm(up1(features) + high_res[1]))
            features = F.gelu(up2(features) + high_res[0])
        weights = torch.stack(
            [
                mlp(mask_tokens[:, i])
                for i, mlp in enumerate(self.output_hypernetworks_mlps)
            ],
            dim=1,
        )
        masks = (weights @ features.flatten(2)).unflatten(-1, (4 * height, 4 * width))
        iou = self.iou_prediction_head(queries[:, iou_at])
        if self.sam1:
            object_logits = iou.new_full((count, 1), _CERTAIN)
        else:
            object_logits = self.pred_obj_score_head(queries[:, 0])

        if multimask is None:
            return DecoderOutput(masks, iou, mask_tokens, object_logits)
        if multimask:
            return DecoderOutput(
                masks[:, 1:], iou[:, 1:], mask_tokens[:, 1:], object_logits
            )
        if self.sam1:
            masks, iou = masks[:, :1], iou[:, :1]
        else:
            masks, iou = stable_single(masks, iou)
        return DecoderOutput(masks, iou, mask_tokens[:, :1], object_logits)


def single_is_stable(masks: Tensor) -> Tensor:
    """Whether the first of the masks ``(N, 4, h, w)`` hardly depends on its threshold.

    Returns ``(N,)`` bool; an empty mask is stable.
    """
    single = masks[:, 0].flatten(1)
    inner = (single > _STABILITY_DELTA).sum(1).float()
    outer = (single > -_STABILITY_DELTA).sum(1).float()
    return torch.where(outer > 0, inner / outer, 1.0) >= _STABILITY_THRESHOLD


def stable_single(masks: Tensor, iou: Tensor) -> tuple[Tensor, Tensor]:
    """The single mask where it is stable, else the best of the other three."""
    chosen = torch.where(single_is_stable(masks), 0, iou[:, 1:].argmax(dim=1) + 1)[:, None]
    rows = torch.arange(len(masks), device=masks.device)[:, None]
    return masks[rows, chosen], iou[rows, chosen]
