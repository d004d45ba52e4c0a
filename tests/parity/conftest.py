"""Reference networks and ours with the same weights, loaded through our own loader."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_cellprompt.core.networks.sam.sam2 import SAM2
from napari_cellprompt.core.zoo.load import LoadedModel, load_model

sys.path.insert(0, str(Path(__file__).parent))  # the tests import `reference` from here

SIZE = 256


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip these tests where the reference is missing, unless they were asked for."""
    here = Path(__file__).parent
    asked_for = "parity" in config.getoption("markexpr") and (
        "not parity" not in config.getoption("markexpr")
    )
    if asked_for or importlib.util.find_spec("sam2") is not None:
        return
    skip = pytest.mark.skip(reason="the package sam2 is not installed; run `make parity`")
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(skip)


@dataclass(frozen=True)
class Pair:
    """The two networks that must agree."""

    reference: Any
    model: LoadedModel

    @property
    def ours(self) -> SAM2:
        return self.model.network


def make_pair(name: str, folder: Path, **options: Any) -> Pair:
    from reference import random_reference, save_meta

    reference = random_reference(name, image_size=SIZE, **options)
    path = save_meta(reference, folder / "weights.pt")
    model = load_model(path, image_size=SIZE, device="cpu")
    path.unlink()
    return Pair(reference, model)


@pytest.fixture(scope="session", params=["sam2.1_hiera_tiny", "sam2_hiera_tiny"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Tiny in both versions."""
    return make_pair(request.param, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def image() -> torch.Tensor:
    """A normalised input of smooth blobs and noise."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.randn(1, 3, 16, 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic")
    return smooth + 0.1 * torch.randn(1, 3, SIZE, SIZE, generator=generator)


@pytest.fixture(autouse=True)
def without_gradients() -> Any:
    with torch.no_grad():
        yield
