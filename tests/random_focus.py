"""A crop-wise network without training whose answers are those of a threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from napari_cellprompt.core.networks.focus import PROMPT_CHANNELS, FocusNet, FocusOutput
from napari_cellprompt.core.zoo.load import LoadedModel
from napari_cellprompt.core.zoo.registry import ModelSpec, get_spec

__all__ = ["BrightNet", "bright_focus", "random_focus"]


def random_focus() -> LoadedModel:
    """The bundled network with random weights."""
    torch.manual_seed(0)
    spec = get_spec("cellprompt-focus")
    return LoadedModel(FocusNet(**spec.network).eval(), spec, Path("random.safetensors"))


class BrightNet(FocusNet):
    """Answers with what is bright in a crop and connected to its prompts.

    A positive click, a box, a mask, or the answer before choose the bright region that
    they touch. The predicted IoU is high where the region does not touch the crop's edge.
    """

    def forward(
        self, image: Tensor, prompts: Tensor, *, dense: bool = False
    ) -> FocusOutput:
        bright = image.mean(1) > 0.5
        names = ("positive", "box", "mask", "previous")
        touched = sum(prompts[:, PROMPT_CHANNELS.index(name)] for name in names) > 0.5
        region = torch.zeros_like(image[:, 0])
        for row in range(len(image)):
            parts, _ = ndimage.label(bright[row].numpy(), np.ones((3, 3)))
            hit = np.unique(parts[(touched[row] & bright[row]).numpy()])
            region[row] = torch.from_numpy(np.isin(parts, hit) & (parts > 0)).float()
        cut = prompts[:, PROMPT_CHANNELS.index("negative")]
        logits = 8 * (region * (1 - cut)) - 4
        rim = region.clone()
        rim[:, 2:-2, 2:-2] = 0
        whole = (rim.flatten(1).sum(1) == 0) & (region.flatten(1).sum(1) > 0)
        presence = torch.where(region.flatten(1).sum(1) > 0, 4.0, -4.0)
        maps = None
        if dense:
            inside = 16 * bright.float() - 8
            distance = 0.2 * nn.functional.avg_pool2d(
                bright.float()[:, None], 15, 1, 7, count_include_pad=True
            )
            maps = torch.stack(
                [inside, torch.full_like(inside, -8), torch.logit(distance[:, 0] * 4.9)], 1
            )
        return FocusOutput(logits, 0.3 + 0.6 * whole.float(), presence, maps)


def bright_focus() -> LoadedModel:
    """A model whose answers can be foretold."""
    torch.manual_seed(0)
    spec: ModelSpec = get_spec("cellprompt-focus")
    return LoadedModel(BrightNet(**spec.network).eval(), spec, Path("bright.safetensors"))
