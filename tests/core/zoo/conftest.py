"""A small network, and files of it in each layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo.registry import NETWORKS


@pytest.fixture(scope="session")
def nano_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build_sam2(image_size=512, **dict(NETWORKS["nano"])).state_dict()


@pytest.fixture
def write_meta(tmp_path: Path) -> Callable[..., Path]:
    """Write tensors as Meta does, under a name that says nothing."""

    def write(state: dict[str, Tensor], name: str = "weights.pt") -> Path:
        path = tmp_path / name
        torch.save({"model": state}, path)
        return path

    return write
