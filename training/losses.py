"""What the image part of the network is trained to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["decoder_loss", "mask_loss"]

FOCAL_WEIGHT = 20.0
OTHER_TOKENS = 0.1
"""Weight of the masks that were not the best of three, so that none goes to waste."""


def mask_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Focal and dice loss of each mask.

    Parameters
    ----------
    logits
        ``(N, M, h, w)``.
    targets
        ``(N, h, w)``, the share of each cell that is covered, 0 to 1.

    Returns
    -------
    Tensor
        ``(N, M)``.
    """
    goal = targets[:, None].expand_as(logits)
    probability = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    focal = ((probability - goal).square() * entropy).mean(dim=(2, 3))
    overlap = (probability * goal).sum(dim=(2, 3))
    total = (probability.square() + goal.square()).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return FOCAL_WEIGHT * focal + dice


@torch.no_grad()
def true_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU of the binarised masks, ``(N, M)``."""
    predicted = logits > 0
    truth = targets[:, None] > 0.5
    both = (predicted & truth).sum(dim=(2, 3)).float()
    either = (predicted | truth).sum(dim=(2, 3)).float()
    return both / either.clamp(min=1)


def decoder_loss(
    masks: Tensor, iou: Tensor, object_logits: Tensor, targets: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one decoding of N objects, of which some are not there.

    Parameters
    ----------
    masks, iou
        ``(N, 4, h, w)`` logits and ``(N, 4)``: the single mask, then the three.
    object_logits
        ``(N, 1)``.
    targets
        ``(N, h, w)``; all zero where nothing is.

    Returns
    -------
    loss : Tensor
    parts : dict
        Values for the log.
    """
    present = targets.flatten(1).amax(dim=1) > 0.05
    presence = F.binary_cross_entropy_with_logits(object_logits[:, 0], present.float())
    masks, iou, targets = masks[present].float(), iou[present].float(), targets[present]
    if len(masks) == 0:
        return presence, {}
    each = mask_loss(masks, targets)
    three = each[:, 1:]
    shape = each[:, 0] + three.amin(dim=1) + OTHER_TOKENS * three.mean(dim=1)
    truth = true_iou(masks, targets)
    quality = (iou - truth).abs().mean()
    loss = shape.mean() + quality + presence
    parts = {
        "mask": float(each[:, 0].detach().mean()),
        "iou": float(truth[:, 0].mean()),
        "iou_error": float(quality.detach()),
        "presence": float(presence.detach()),
    }
    return loss, parts
