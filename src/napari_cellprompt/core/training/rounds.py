"""What the network adds to a batch itself: its answers, and clicks that correct them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_cellprompt.core.inference.crops import CHANNELS, Crop, draw_points

from .clicks import correction

if TYPE_CHECKING:
    import numpy as np

    from napari_cellprompt.core.networks.focus import FocusNet, FocusOutput

__all__ = ["answer_chains", "correct"]

SECOND_LOOKS = 0.15
"""Share of the rounds without another click, with the answer before alone."""
REMEMBERED = 0.85
"""Share of the clicks that come with the answer before."""


@torch.no_grad()
def _asked(network: FocusNet, image: torch.Tensor, prompts: torch.Tensor) -> FocusOutput:
    """Answer as in use, whatever the network is doing."""
    training = network.training
    network.eval()
    output: FocusOutput = network(
        image.contiguous(memory_format=torch.channels_last),
        prompts.contiguous(memory_format=torch.channels_last),
    )
    network.train(training)
    return output


def answer_chains(network: FocusNet, batch: dict[str, Any]) -> None:
    """Answer the planes between, one after another, and hand the hard answers on."""
    chains = batch["chains"]
    longest = max((len(images) for _, images, _ in chains), default=0)
    for left in range(longest, 0, -1):
        some = [chain for chain in chains if len(chain[1]) >= left]
        images = torch.stack([images[-left] for _, images, _ in some])
        prompts = torch.stack([prompts[-left] for _, _, prompts in some])
        output = _asked(network, images, prompts)
        for answer, (row, _, steps) in zip(output.logits > 0, some, strict=True):
            following = batch["prompts"][row] if left == 1 else steps[1 - left]
            if answer.any():
                following[CHANNELS["before_mask"]] = answer.float()


def correct(network: FocusNet, batch: dict[str, Any], rng: np.random.Generator) -> None:
    """Add a click into the largest error of each answer, and the answer itself."""
    output = _asked(network, batch["image"], batch["prompts"])
    size = batch["image"].shape[-1]
    frame = Crop(0.0, 0.0, float(size), size)
    for row, kind in enumerate(batch["kind"]):
        if kind in ("dense", "nothing") or float(batch["whole"][row]) == 0:
            continue
        logits = output.logits[row]
        fix = correction((logits > 0).numpy(), (batch["cover"][row] > 0.5).numpy(), rng)
        if fix is None:
            continue
        if rng.random() < SECOND_LOOKS:
            batch["prompts"][row, CHANNELS["previous"]] = torch.sigmoid(logits)
            continue
        x, y, label = fix
        plane = batch["prompts"][row, CHANNELS["positive" if label else "negative"]]
        drawn = torch.from_numpy(draw_points([(x, y)], frame))
        plane.copy_(torch.maximum(plane, drawn))
        if rng.random() < REMEMBERED:
            batch["prompts"][row, CHANNELS["previous"]] = torch.sigmoid(logits)
