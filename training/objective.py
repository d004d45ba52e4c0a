"""The loss of one batch of images: prompts of every kind, and corrections of some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from auxiliary import DenseHead, dense_loss
from losses import decoder_loss
from napari_cellprompt.core.inference.sam.drawing import draw_prompts
from prompts import Batch, corrective_clicks

if TYPE_CHECKING:
    from torch import Tensor

    from napari_cellprompt.core.networks.mask_decoder import DecoderOutput
    from napari_cellprompt.core.networks.sam2 import SAM2, ImageFeatures

__all__ = ["LOGIT_LIMIT", "batch_loss", "draw"]

LOGIT_LIMIT = 32.0
"""Logits of an earlier prediction go into the mask prompt at most so large."""


def draw(points: Tensor, labels: Tensor, network: SAM2, config: dict[str, Any]) -> Tensor:
    """Clicks and boxes in input pixels as a mask prompt, as the package draws them."""
    drawing = config["drawing"]
    return draw_prompts(
        points,
        labels,
        network.image_size,
        amplitude=drawing["amplitude"],
        sigma=drawing["sigma"],
    )


def batch_loss(
    network: SAM2,
    head: DenseHead | None,
    batch: Batch,
    config: dict[str, Any],
    *,
    correct: str | None,
    rounds: int = 1,
    teach: bool = True,
) -> tuple[Tensor, dict[str, float]]:
    """Loss of one batch: all clicks, boxes and masks, and perhaps some corrections.

    The kinds are decoded apart, so that each sees as many padding points as in use.
    ``correct`` is ``"click"``, ``"box"`` or ``"mask"``: which of them get corrective
    clicks in so many rounds, with the previous mask or without; None for none. Without
    ``head`` only the answers to prompts count; without ``teach`` it learns, but the
    encoder does not learn from it.
    """
    features = network.image_features(batch.images)
    total = batch.images.new_zeros(())
    log: dict[str, float] = {}
    if head is not None:
        dense = dense_loss(head(features if teach else _cut_off(features)), batch.maps)
        total = config["dense_weight"] * dense
        log["dense"] = float(dense.detach())
    nowhere = batch.clicks.new_zeros(*batch.masks.shape[:2], 1, 2)
    for kind, prompt, codes, logits, targets in (
        ("click", batch.clicks, (1,), None, batch.clicked),
        ("box", batch.boxes, (2, 3), None, batch.boxed),
        ("mask", nowhere, (-1,), batch.masks, batch.masked),
    ):
        images, count = prompt.shape[:2]
        index = torch.arange(images, device=prompt.device).repeat_interleave(count)
        points, truth = prompt.flatten(0, 1), targets.flatten(0, 1)
        labels = torch.tensor(codes, dtype=torch.int32, device=points.device)
        labels = labels.expand(len(points), -1)
        drawn = draw(points, labels, network, config)
        if logits is not None:
            drawn = drawn + logits.flatten(0, 1)
        out = network.decode(features, index, points, labels, drawn, multimask=None)
        loss, parts = decoder_loss(out.masks, out.iou, out.object_logits, truth)
        total = total + (config["click_weight"] if kind == "click" else 1.0) * loss
        log |= {f"{kind}_{name}": value for name, value in parts.items()}
        if correct == kind:
            loss, parts = _corrected(
                network, features, index, points, labels, truth, out, config, rounds
            )
            total = total + loss
            log |= {f"corrected_{name}": value for name, value in parts.items()}
    return total, log


def _cut_off(features: ImageFeatures) -> ImageFeatures:
    high_res = tuple(level.detach() for level in features.high_res)
    return replace(features, embed=features.embed.detach(), high_res=high_res)


def _corrected(
    network: SAM2,
    features: ImageFeatures,
    index: Tensor,
    points: Tensor,
    labels: Tensor,
    truth: Tensor,
    out: DecoderOutput,
    config: dict[str, Any],
    rounds: int,
) -> tuple[Tensor, dict[str, float]]:
    """Loss after more clicks; most of the time the previous mask is given too."""
    present = truth.flatten(1).amax(dim=1) > 0.05
    index, points, labels = index[present], points[present], labels[present]
    masks, iou, truth = out.masks[present], out.iou[present], truth[present]
    total, parts = truth.new_zeros(()), {}
    if len(truth) == 0:
        return total, {}
    for _ in range(rounds):
        rows = torch.arange(len(masks), device=masks.device)
        # what the user sees and corrects: mostly the single mask, else one of the three
        shown = 0 if np.random.random() < 0.6 else iou[:, 1:].argmax(dim=1) + 1
        previous = masks[rows, shown].detach().float()
        added, codes = corrective_clicks(previous, truth)
        points = torch.cat((points, added), dim=1)
        labels = torch.cat((labels, codes), dim=1)
        mask_input = draw(points, labels, network, config)
        if np.random.random() < 0.65:
            mask_input = mask_input + previous[:, None].clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        again = network.decode(features, index, points, labels, mask_input, multimask=None)
        loss, parts = decoder_loss(again.masks, again.iou, again.object_logits, truth)
        total = total + loss
        masks, iou = again.masks, again.iou
    return total, parts
