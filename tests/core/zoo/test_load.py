"""Models from names and files, and back into files."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_cellprompt.core.errors import CheckpointError, DownloadError
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.networks.focus import FocusNet
from napari_cellprompt.core.zoo import folder, load
from napari_cellprompt.core.zoo.load import (
    cache_folder,
    choose_device,
    load_model,
    save_checkpoint,
)
from napari_cellprompt.core.zoo.registry import MODELS, NETWORKS, DrawingSpec
from napari_cellprompt.core.zoo.traits import CROP_WISE

NANO = replace(MODELS["cellprompt-nano"], drawing=DrawingSpec(8.0, 2.5))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("CELLPROMPT_CACHE", str(folder))
    return folder


def test_own_file_keeps_weights_and_configuration(
    nano_state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = save_checkpoint(tmp_path / "own.safetensors", nano_state, NANO)
    model = load_model(path, device="cpu")
    assert model.spec == NANO
    assert model.source == path
    assert model.image_size == model.network.image_size == 512
    assert model.device == torch.device("cpu")
    assert not model.network.training
    for name, tensor in model.network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, nano_state[name].half().float()), name


def test_full_precision_is_kept_on_request(
    nano_state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = save_checkpoint(tmp_path / "own.safetensors", nano_state, NANO, half=False)
    loaded = load_model(path).network.state_dict()
    assert all(torch.equal(loaded[name], nano_state[name]) for name in nano_state)


def test_the_files_configuration_is_readable_json(
    nano_state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = save_checkpoint(
        tmp_path / "own.safetensors", nano_state, NANO, training={"steps": 3}
    )
    with safe_open(path, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    assert config["name"] == "cellprompt-nano"
    assert config["image_size"] == 512
    assert config["network"]["stages"] == [1, 2, 4, 2]
    assert config["drawing"] == {"on": True, "amplitude": 8.0, "sigma": 2.5, "carry": False}
    assert config["training"] == {"steps": 3}


def test_meta_file_of_a_small_network_without_configuration(
    nano_state: dict[str, Tensor], write_meta: Callable[..., Path]
) -> None:
    model = load_model(write_meta(nano_state, "sam2.1_hiera_large.pt"))
    assert model.spec.network["embed_dim"] == 32
    assert model.spec.name == "sam2.1_hiera_large"  # only a name: the file's own
    assert model.spec.drawing is None
    assert model.image_size == 512


def test_image_size_can_be_chosen(
    nano_state: dict[str, Tensor], write_meta: Callable[..., Path]
) -> None:
    model = load_model(write_meta(nano_state), image_size=256)
    assert model.image_size == model.network.image_size == 256


def test_a_model_loaded_in_inference_mode_works_outside_of_it(
    nano_state: dict[str, Tensor], write_meta: Callable[..., Path]
) -> None:
    with torch.inference_mode():
        network = load_model(write_meta(nano_state)).network
    assert not any(parameter.is_inference() for parameter in network.parameters())


@pytest.mark.parametrize("image_size", [0, -32, 100])
def test_an_image_size_that_no_grid_fits(image_size: int) -> None:
    with pytest.raises(ValueError, match="positive multiple of 32"):
        load_model(image_size=image_size)


def test_official_name_from_the_cache(cache: Path) -> None:
    torch.manual_seed(1)
    state = build_sam2(**dict(MODELS["sam2.1_hiera_tiny"].network)).state_dict()
    # under an alias: the file of the full name must be the published one
    torch.save({"model": state}, cache / "sam2.1_t.pt")
    model = load_model("sam2.1_t", image_size=256)
    assert model.spec.name == "sam2.1_hiera_tiny"
    assert model.spec.network["version"] == "2.1"
    assert model.image_size == 256
    name = "maskmem_tpos_enc"
    assert torch.equal(model.network.state_dict()[name], state[name])


def test_official_name_whose_file_holds_another_network(
    cache: Path, nano_state: dict[str, Tensor]
) -> None:
    torch.save({"model": nano_state}, cache / "sam2_s.pt")
    with pytest.raises(
        CheckpointError,
        match=r"sam2_s\.pt .*not hold sam2_hiera_small but cellprompt-nano",
    ):
        load_model("sam2_s")


def test_a_file_of_an_official_name_must_be_the_published_one(
    cache: Path, nano_state: dict[str, Tensor]
) -> None:
    torch.save({"model": nano_state}, cache / "sam2_hiera_small.pt")
    with pytest.raises(CheckpointError, match="not the published file of sam2_hiera_s"):
        load_model("sam2_s")


def test_official_name_without_weights_says_where_to_put_them(cache: Path) -> None:
    with pytest.raises(DownloadError) as raised:
        load_model("sam2.1_hiera_tiny")
    message = str(raised.value)
    assert "092824/sam2.1_hiera_tiny.pt" in message and "(156 MB)" in message
    assert "cellprompt models download sam2.1_hiera_tiny" in message
    assert str(cache) in message


def test_default_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLPROMPT_CACHE", raising=False)
    assert cache_folder().name == "models"
    assert "napari-cellprompt" in str(cache_folder())


def test_bundled_weights_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folder, "files", lambda package: tmp_path)
    with pytest.raises(DownloadError, match="install napari-cellprompt again"):
        load_model()


def test_bundled_weights_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nano_state: dict[str, Tensor]
) -> None:
    save_checkpoint(tmp_path / "weights/cellprompt-nano.safetensors", nano_state, NANO)
    monkeypatch.setattr(folder, "files", lambda package: tmp_path)
    model = load_model("nano")
    assert model.spec.bundled
    assert model.spec.drawing == DrawingSpec(8.0, 2.5)


def test_carrying_is_kept_and_off_unless_a_file_says_so(
    tmp_path: Path, nano_state: dict[str, Tensor]
) -> None:
    for carry in (True, False):
        spec = replace(NANO, drawing=DrawingSpec(8.0, 2.5, carry=carry))
        path = save_checkpoint(tmp_path / "model.safetensors", nano_state, spec)
        assert load_model(path).spec.drawing == spec.drawing
    assert load._drawing({"on": True, "amplitude": 8, "sigma": 2}) == DrawingSpec(8, 2)


def test_unknown_name() -> None:
    with pytest.raises(CheckpointError, match="no model named"):
        load_model("sam9")


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt cannot be read"):
        load_model(str(tmp_path / "none.pt"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(
            lambda state: state.pop("no_obj_ptr"), "1 missing: no_obj_ptr", id="missing"
        ),
        pytest.param(
            lambda state: state.update({f"extra{i}": torch.ones(1) for i in range(5)}),
            "5 surplus: extra0, extra1, extra2 and 2 more",
            id="surplus",
        ),
        pytest.param(
            lambda state: state.update(no_obj_ptr=torch.ones(1, 3)),
            r"1 of another shape: no_obj_ptr \(1, 3\) in place of \(1, 128\)",
            id="shape",
        ),
        pytest.param(
            # A 2.0 file lacks three tensors; with only one gone, two are surplus.
            lambda state: state.pop("no_obj_embed_spatial"),
            "2 surplus: obj_ptr_tpos_proj",
            id="mixed-versions",
        ),
    ],
)
def test_tensors_that_do_not_fit(
    nano_state: dict[str, Tensor],
    write_meta: Callable[..., Path],
    change: Callable[[dict[str, Tensor]], object],
    reason: str,
) -> None:
    state = dict(nano_state)
    change(state)
    path = write_meta(state, "wrong.pt")
    with pytest.raises(CheckpointError, match=rf"wrong\.pt.*{reason}"):
        load_model(path)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param({"name": "x"}, "describes no network", id="no-network"),
        pytest.param(
            {"network": {**NETWORKS["nano"], "colour": 1}},
            "no network that can be built.*colour",
            id="unknown-argument",
        ),
        pytest.param(
            {"network": {**NETWORKS["nano"], "num_heads": 0}},
            "no network that can be built",
            id="no-heads",
        ),
        pytest.param(
            {"network": dict(NETWORKS["nano"]), "image_size": "512"},
            "image_size as a positive multiple of 32: got '512'",
            id="image-size",
        ),
        pytest.param(
            {"network": dict(NETWORKS["nano"]), "drawing": {"on": True}},
            "drawing as on, amplitude and sigma",
            id="drawing",
        ),
        pytest.param(
            {
                "network": dict(NETWORKS["nano"]),
                "drawing": {"on": True, "amplitude": 8, "sigma": 2, "carry": "yes"},
            },
            "and carry, true or false",
            id="drawing-carry",
        ),
        pytest.param(
            {"network": dict(NETWORKS["nano"]), "drawing": "yes"},
            "drawing as on, amplitude and sigma",
            id="drawing-text",
        ),
    ],
)
def test_configurations_that_cannot_be_used(
    nano_state: dict[str, Tensor], tmp_path: Path, config: dict[str, object], reason: str
) -> None:
    path = tmp_path / "own.safetensors"
    save_file(nano_state, path, {"config": json.dumps(config)})
    with pytest.raises(CheckpointError, match=rf"own\.safetensors.*{reason}"):
        load_model(path)


def test_a_huge_network_in_the_configuration_is_refused_before_it_is_built(
    nano_state: dict[str, Tensor], tmp_path: Path
) -> None:
    config = {"network": {**NETWORKS["nano"], "embed_dim": 10**9}}
    path = tmp_path / "own.safetensors"
    save_file(nano_state, path, {"config": json.dumps(config)})
    with pytest.raises(CheckpointError, match="says embed_dim = 1000000000"):
        load_model(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_values_that_half_precision_cannot_hold_are_not_written(
    nano_state: dict[str, Tensor], tmp_path: Path, value: float
) -> None:
    state = {**nano_state, "no_obj_ptr": torch.full((1, 128), value)}
    path = tmp_path / "own.safetensors"
    with pytest.raises(CheckpointError, match="no_obj_ptr has values"):
        save_checkpoint(path, state, NANO)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(
    nano_state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"old")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(path, nano_state, NANO)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device() == choose_device("auto")
    assert choose_device().type in ("cpu", "cuda")
    with pytest.raises(ValueError, match="'toaster' is not available"):
        choose_device("toaster")


@pytest.mark.parametrize("name", ["cellprompt-focus", "cellprompt-nano"])
def test_the_bundled_file_fits_the_registry(name: str) -> None:
    path = Path(load.__file__).parent / "weights" / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip("the bundled weights are not built yet")
    model = load_model(name)
    expected = MODELS[name]
    assert dict(model.spec.network).items() >= dict(expected.network).items()
    assert model.image_size == expected.image_size
    assert (model.spec.drawing is None) == (model.spec.family == "focus")
    assert path.stat().st_size < {"sam2": 25e6, "focus": 8e6}[model.spec.family]


@pytest.fixture
def focus_state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return FocusNet(**MODELS["cellprompt-focus"].network).state_dict()


@pytest.mark.parametrize("layout", ["own", "counted away", "torch", "wrapped"])
def test_a_crop_wise_network_from_any_layout(
    focus_state: dict[str, Tensor], tmp_path: Path, layout: str
) -> None:
    spec = MODELS["cellprompt-focus"]
    path = tmp_path / "mine.safetensors"
    if layout == "own":
        save_checkpoint(path, focus_state, spec, half=False)
    elif layout == "counted away":
        # as training exports it
        config = {"name": "mine", "network": dict(spec.network), "image_size": 128}
        kept = {k: v for k, v in focus_state.items() if "num_batches" not in k}
        save_file(kept, path, {"config": json.dumps(config)})
    else:
        path = tmp_path / "mine.pt"
        torch.save({"model": focus_state} if layout == "wrapped" else focus_state, path)
    model = load_model(path, device="cpu")
    assert model.spec.family == "focus"
    assert model.spec.traits == CROP_WISE
    assert model.image_size == 128
    assert dict(model.spec.network) == dict(spec.network)
    for name, tensor in model.focus.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(tensor, focus_state[name]), name
    with pytest.raises(CheckpointError, match="no SAM"):
        _ = model.sam
    with pytest.raises(CheckpointError, match="no memory"):
        _ = model.with_memory


def test_a_damaged_crop_wise_network(
    focus_state: dict[str, Tensor], tmp_path: Path
) -> None:
    spec = MODELS["cellprompt-focus"]
    config = {"config": json.dumps({"network": dict(spec.network), "image_size": 128})}
    path = tmp_path / "mine.safetensors"
    broken = dict(focus_state)
    broken["mask_head.weight"] = torch.full_like(broken["mask_head.weight"], torch.nan)
    save_file(broken, path, config)
    with pytest.raises(CheckpointError, match="not finite"):
        load_model(path)
    del broken["mask_head.weight"]
    save_file(broken, path, config)
    with pytest.raises(CheckpointError, match=r"1 missing: mask_head\.weight"):
        load_model(path)


def test_another_networks_configuration_is_told_from_tensors(
    focus_state: dict[str, Tensor], tmp_path: Path
) -> None:
    config = {"network": {"hidden": 95}, "image_size": 128}
    path = tmp_path / "mine.safetensors"
    save_file(focus_state, path, {"config": json.dumps(config)})
    with pytest.raises(CheckpointError, match="hidden = 95, but the tensors have 96"):
        load_model(path)
