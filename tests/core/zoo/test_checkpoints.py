"""Reading files of weights: the layouts, and the files that must be refused."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.networks.build import build_sam1, build_sam2
from napari_cellprompt.core.networks.focus import FocusNet
from napari_cellprompt.core.zoo.checkpoints import (
    detect_family,
    detect_variant,
    first_few,
    read_state_dict,
)
from napari_cellprompt.core.zoo.registry import MODELS, NETWORKS


class Malice:
    """Runs a command when it is unpickled without care."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f'echo ran > "{self.trace}"',)


def test_meta_layout(
    nano_state: dict[str, Tensor], write_meta: Callable[..., Path]
) -> None:
    state, metadata = read_state_dict(write_meta(nano_state))
    assert metadata == {}
    assert state.keys() == nano_state.keys()
    assert all(torch.equal(state[name], nano_state[name]) for name in state)


def test_tensors_without_the_outer_dictionary(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "flat.pth")
    state, _ = read_state_dict(tmp_path / "flat.pth")
    assert state["a"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_safetensors_become_float32(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    path = tmp_path / name
    config = {"network": {"stages": [1, 2]}}
    save_file({"a": torch.ones(2, dtype=dtype)}, path, {"config": json.dumps(config)})
    state, metadata = read_state_dict(path)
    assert state["a"].dtype == torch.float32
    assert metadata == config


def test_huggingface_names_become_metas(tmp_path: Path) -> None:
    name = "vision_encoder.backbone.patch_embed.projection.weight"
    save_file({name: torch.zeros(96, 3, 7, 7)}, tmp_path / "model.safetensors")
    state, _ = read_state_dict(tmp_path / "model.safetensors")
    assert list(state) == ["image_encoder.trunk.patch_embed.proj.weight"]


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, legacy: bool
) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "evil.pt"
    torch.save({"model": Malice(trace)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"evil\.pt was refused.*system.*run code"):
        read_state_dict(path)
    assert not trace.exists()


def test_a_bare_pickle_that_would_run_code_does_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"model": Malice(trace)}))
    with pytest.raises(CheckpointError, match=r"evil\.pkl"):
        read_state_dict(path)
    assert not trace.exists()


def cut(path: Path, keep: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.99])
def test_a_cut_zip_is_refused(tmp_path: Path, keep: float) -> None:
    torch.save({"model": {"a": torch.zeros(100, 100)}}, tmp_path / "cut.pt")
    with pytest.raises(CheckpointError, match=r"cut\.pt is damaged"):
        read_state_dict(cut(tmp_path / "cut.pt", keep))


@pytest.mark.parametrize("keep", [0.0001, 0.001, 0.5, 0.99])
def test_a_cut_safetensors_is_refused(tmp_path: Path, keep: float) -> None:
    save_file({"a": torch.zeros(100, 100)}, tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match=r"cut\.safetensors is damaged"):
        read_state_dict(cut(tmp_path / "cut.safetensors", keep))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"<!DOCTYPE html><html>404</html>", "a web page", id="html"),
        pytest.param(b"\n <html>", "a web page", id="html-after-space"),
        pytest.param(bytes(range(7, 250)), "damaged", id="noise"),
        pytest.param(b"\x80\x02.", "damaged", id="empty-pickle"),
    ],
)
def test_what_is_no_file_of_weights(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"file\.pt.*{reason}"):
        read_state_dict(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt cannot be read"):
        read_state_dict(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_state_dict(tmp_path)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param([1, 2], "holds no tensors by name but a list", id="list"),
        pytest.param({}, "holds no tensors", id="nothing"),
        pytest.param({"model": {"a": 1}}, "entry 'a' is a int", id="number"),
        pytest.param({"epoch": 3, "state": {}}, "First entries: epoch", id="unknown"),
    ],
)
def test_what_holds_no_tensors(tmp_path: Path, payload: object, reason: str) -> None:
    torch.save(payload, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=reason):
        read_state_dict(tmp_path / "other.pt")


@pytest.mark.parametrize("text", ["{", "[1]"], ids=["invalid", "list"])
def test_a_broken_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.safetensors"
    save_file({"a": torch.ones(1)}, path, {"config": text})
    with pytest.raises(CheckpointError, match=r"configuration in the checkpoint .*own"):
        read_state_dict(path)


@pytest.mark.parametrize("name", MODELS)
def test_variant_and_version_are_read_from_the_tensors(name: str) -> None:
    spec = MODELS[name]
    builders = {"sam1": build_sam1, "sam2": build_sam2, "focus": FocusNet}
    build = builders[spec.family]
    with torch.device("meta"):
        state = build(**dict(spec.network)).state_dict()
    assert detect_family(state) == spec.family
    variant = detect_variant(state)
    assert {key: variant[key] for key in spec.network} == dict(spec.network)


def unusual_network() -> dict[str, object]:
    return {**NETWORKS["nano"], "stages": (1, 1, 3, 1), "global_att_blocks": (3,)}


def test_an_unknown_size_needs_a_configuration() -> None:
    with torch.device("meta"):
        state = build_sam2(**unusual_network()).state_dict()
    with pytest.raises(CheckpointError, match=r"unknown size.*\(1, 1, 3, 1\)"):
        detect_variant(state)
    as_json = json.loads(json.dumps(unusual_network()))
    variant = detect_variant(state, as_json)
    assert variant["global_att_blocks"] == (3,)
    assert variant["stages"] == (1, 1, 3, 1)


def test_a_configuration_that_the_tensors_contradict(nano_state: dict[str, Tensor]) -> None:
    with pytest.raises(
        CheckpointError, match="says embed_dim = 64, but the tensors have 32"
    ):
        detect_variant(nano_state, {"embed_dim": 64})


def test_tensors_of_another_kind_of_network() -> None:
    state = {f"layer{index}.weight": torch.zeros(1) for index in range(5)}
    with pytest.raises(CheckpointError, match=r"not those of a SAM 2.*layer0.*and 2 more"):
        detect_variant(state)


def test_first_few_names() -> None:
    assert first_few(["a", "b"]) == "a, b"
    assert first_few("abcde") == "a, b, c and 2 more"
