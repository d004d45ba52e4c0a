"""A small network with random weights whose masks are neither empty nor full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo.load import LoadedModel
from napari_cellprompt.core.zoo.registry import DrawingSpec, get_spec
from napari_cellprompt.core.zoo.traits import DRAWN_PROMPTS, Traits

SIDE = 128


def random_model(drawing: DrawingSpec | None = None) -> LoadedModel:
    """A nano network for inputs of 128 x 128."""
    torch.manual_seed(0)
    spec = get_spec("cellprompt-nano")
    network = build_sam2(image_size=SIDE, **spec.network).eval()
    with torch.no_grad():
        for parameter in network.sam_mask_decoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    traits = Traits() if drawing is None else DRAWN_PROMPTS
    small = replace(spec, name="random", image_size=SIDE, drawing=drawing, traits=traits)
    return LoadedModel(network, small, Path("random.safetensors"))
