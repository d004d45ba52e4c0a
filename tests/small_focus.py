"""A narrow crop-wise network with random weights that tests can train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_cellprompt.core.networks.focus import FocusNet
from napari_cellprompt.core.zoo.load import LoadedModel, save_checkpoint
from napari_cellprompt.core.zoo.registry import get_spec
from napari_cellprompt.core.zoo.traits import CROP_WISE

__all__ = ["discs", "small_focus", "small_focus_file"]


def small_focus() -> LoadedModel:
    torch.manual_seed(0)
    network = {"decoder": [16, 16, 8, 8, 8], "entry": 8, "full": 8, "hidden": 8}
    spec = replace(
        get_spec("cellprompt-focus"),
        name="small",
        network=network,
        image_size=64,
        bundled=False,
        traits=CROP_WISE,
    )
    return LoadedModel(FocusNet(**network).eval(), spec, Path("small.safetensors"))


def small_focus_file(folder: Path) -> Path:
    loaded = small_focus()
    return save_checkpoint(
        folder / "small.safetensors", loaded.network.state_dict(), loaded.spec
    )


def discs(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """An image of bright discs in rows of four, and its labels."""
    rng = np.random.default_rng(0)
    rows = -(-count // 4)
    y, x = np.mgrid[: 30 * rows, :120]
    labels = np.zeros(y.shape, np.uint16)
    for number in range(count):
        row, column = divmod(number, 4)
        away = np.hypot(y - 30 * row - 15, x - 30 * column - 15)
        labels[away <= 7 + number % 3] = number + 1
    image = (labels > 0) * 150 + rng.integers(0, 40, labels.shape)
    return image.astype(np.uint8), labels
