"""A model with memory that matters, and how the tests teach objects to it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch

from napari_cellprompt import SAM2DynamicInteractivePredictor

SIDE = 128
SHAPE = (SIDE, SIDE)


def make_present(model):
    """A copy with memory that matters and objects that are there."""
    model = replace(model, network=copy.deepcopy(model.network))
    torch.manual_seed(1)
    with torch.no_grad():
        model.network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(2.0)
        for name, parameter in model.network.named_parameters():
            if name.startswith("maskmem_tpos_enc") or name.startswith("no_"):
                parameter.normal_()
            elif name.startswith("memory_") and parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return model


def make(model, **options) -> SAM2DynamicInteractivePredictor:
    predictor = SAM2DynamicInteractivePredictor(**options)
    predictor.setup_model(model, verbose=False)
    return predictor


def picture(seed: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)


def square(x: int, y: int, side: int = 40) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def teach(predictor, seed, ids, **prompts):
    return predictor(picture(seed), obj_ids=ids, update_memory=True, **prompts)[0]
