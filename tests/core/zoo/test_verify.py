"""Digests of files: of the published ones, and of a user's own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo import verify
from napari_cellprompt.core.zoo.importing import import_model
from napari_cellprompt.core.zoo.load import load_model
from napari_cellprompt.core.zoo.registry import NETWORKS
from napari_cellprompt.core.zoo.user_models import UserModel, forget_model, user_models
from napari_cellprompt.core.zoo.verify import digest_of, verify_file


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(b"weights")
    return path


def test_a_file_is_computed_once_until_it_changes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    real = verify._hash
    monkeypatch.setattr(
        verify, "_hash", lambda *arguments: computed.append(1) or real(*arguments)
    )
    digest = f"sha256:{hashlib.sha256(b'weights').hexdigest()}"
    verify_file(file, digest, "a model")
    verify_file(file, digest, "a model")
    assert len(computed) == 1
    file.write_bytes(b"Weights")
    with pytest.raises(CheckpointError, match="not the published file of a model"):
        verify_file(file, digest, "a model")
    with pytest.raises(CheckpointError, match="not the published file of a model"):
        verify_file(file, digest, "a model")
    assert len(computed) == 3, "what is wrong is never remembered as right"


def test_a_damaged_memory_only_costs_time(file: Path, cache: Path) -> None:
    cache.mkdir()
    (cache / "verified.json").write_text("[1, 2")
    verify_file(file, digest_of(file), "a model")
    assert str(file) in json.loads((cache / "verified.json").read_text())


def test_a_folder_that_cannot_be_written_is_no_obstacle(file: Path, cache: Path) -> None:
    cache.write_text("a file is where the folder should be")
    verify_file(file, digest_of(file), "a model")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        verify_file(tmp_path / "none", "sha256:0", "a model")
    with pytest.raises(CheckpointError, match="cannot be read"):
        digest_of(tmp_path / "none")


def test_a_users_file_that_was_exchanged_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_sam2(image_size=512, **dict(NETWORKS["nano"]))
    path = tmp_path / "mine.pt"
    torch.save({"model": network.state_dict()}, path)
    model = import_model(path)
    assert user_models() == {"mine": model}
    assert model.digest == digest_of(path)
    assert load_model("mine").spec.name == "mine"
    network.no_mem_embed.data += 1
    torch.save({"model": network.state_dict()}, path)
    with pytest.raises(CheckpointError, match="not the file any more"):
        load_model("mine")
    assert import_model(path).digest != model.digest
    assert load_model("mine").spec.name == "mine"
    assert forget_model("mine") == path and path.is_file()
    assert user_models() == {}


def test_models_remembered_without_a_digest_load(tmp_path: Path, cache: Path) -> None:
    cache.mkdir()
    entry = {"name": "old", "path": "/x/old.pt", "family": "sam2", "image_size": 512}
    (cache / "user_models.json").write_text(json.dumps([entry]))
    assert user_models()["old"] == UserModel("old", "/x/old.pt", "sam2", 512)
