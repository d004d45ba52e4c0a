"""What the network is trained to minimise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor

    from napari_cellprompt.core.networks.focus import FocusOutput

__all__ = ["loss_of", "mask_loss", "whole_iou"]


def mask_loss(logits: Tensor, cover: Tensor) -> tuple[Tensor, Tensor]:
    """Entropy and dice loss of each mask.

    The entropy is weighted by how wrong a pixel is and divided by the sum of the weights,
    as RITM does: outlines count, however small the object.

    Parameters
    ----------
    logits, cover
        ``(B, S, S)``; the share of each pixel that the object covers.

    Returns
    -------
    entropy, dice : Tensor
        ``(B,)`` each.
    """
    probability = torch.sigmoid(logits)
    raw = F.binary_cross_entropy_with_logits(logits, cover, reduction="none")
    with torch.no_grad():
        weight = (probability - cover).abs().pow(1.5) + 0.01
    entropy = (weight * raw).sum((1, 2)) / weight.sum((1, 2))
    overlap = (probability * cover).sum((1, 2))
    total = (probability.square() + cover.square()).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return entropy, dice


@torch.no_grad()
def whole_iou(logits: Tensor, cover: Tensor, whole: Tensor) -> Tensor:
    """IoU of what is answered with the whole object, of which a part may be out of sight.

    Parameters
    ----------
    logits, cover
        ``(B, S, S)``.
    whole
        ``(B,)`` area of the object in pixels of the crop; 0 where it is absent.

    Returns
    -------
    Tensor
        ``(B,)``; 0 for absent objects.
    """
    answer, truth = logits > 0, cover > 0.5
    both = (answer & truth).sum((1, 2)).float()
    seen = truth.sum((1, 2)).float()
    # what is out of sight; a few pixels of rounding are not
    hidden = (whole - seen).clamp_min(0)
    hidden = torch.where(hidden < 0.08 * whole + 2, torch.zeros_like(hidden), hidden)
    either = (answer | truth).sum((1, 2)).float() + hidden
    return torch.where(whole > 0, both / either.clamp_min(1), torch.zeros_like(both))


def loss_of(
    output: FocusOutput, batch: dict[str, Any], weights: dict[str, float]
) -> tuple[Tensor, dict[str, float]]:
    """The loss of a batch, and its parts for the log."""
    cover, whole = batch["cover"], batch["whole"]
    entropy, dice = mask_loss(output.logits, cover)
    # dice says nothing about an object that is not there or hardly visible
    seen = (cover.sum((1, 2)) > 8).float()
    per_mask = weights["entropy"] * entropy + weights["dice"] * dice * seen
    mask = (per_mask * batch["weight"]).sum() / batch["weight"].sum().clamp_min(1)
    asked = torch.tensor([kind != "dense" for kind in batch["kind"]])
    iou = whole_iou(output.logits, cover, whole)
    guess = output.iou.clamp(1e-4, 1 - 1e-4)
    score = F.binary_cross_entropy(guess[asked], iou[asked])
    present = (whole > 0).float()
    presence = F.binary_cross_entropy_with_logits(output.presence[asked], present[asked])
    loss = mask + weights["iou"] * score + weights["presence"] * presence
    log = {
        "mask": float(mask.detach()),
        "score": float((guess[asked] - iou[asked]).abs().mean().detach()),
        "presence": float(presence.detach()),
    }
    if output.dense is not None and "dense" in batch:
        dense = F.binary_cross_entropy_with_logits(
            output.dense[batch["dense_rows"]], batch["dense"]
        )
        loss = loss + weights["dense"] * dense
        log["dense"] = float(dense.detach())
    for kind in set(batch["kind"]) - {"dense", "nothing"}:
        rows = [i for i, k in enumerate(batch["kind"]) if k == kind and float(whole[i]) > 0]
        if rows:
            log[f"iou {kind}"] = float(iou[rows].mean())
    return loss, log
