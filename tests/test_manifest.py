"""What the manifest contributes; npe2's validation lets unknown keys pass silently."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from npe2 import PluginManifest

import napari_cellprompt
from napari_cellprompt import _sample_data

NAME = "napari-cellprompt"
PACKAGE = Path(napari_cellprompt.__file__).parent
PATH = PACKAGE / "napari.yaml"

MANIFEST = PluginManifest.from_file(PATH)
CONTRIBUTIONS = MANIFEST.contributions
SAMPLES = {sample.key: sample for sample in CONTRIBUTIONS.sample_data or ()}


def python_object(python_name: str) -> object:
    module, _, attribute = python_name.partition(":")
    return getattr(import_module(module), attribute)


def test_the_manifest_is_found_by_its_distribution() -> None:
    manifest = PluginManifest.from_distribution(NAME)
    assert manifest.name == NAME
    assert manifest.display_name == "Cellprompt"
    assert manifest.contributions == CONTRIBUTIONS


def test_no_key_is_misspelt() -> None:
    raw = yaml.safe_load(PATH.read_text(encoding="utf-8"))
    assert set(raw) <= set(PluginManifest.model_fields)
    assert set(raw["contributions"]) <= set(type(CONTRIBUTIONS).model_fields)


@pytest.mark.parametrize("link", ["napari.yaml", "sample_data"])
def test_top_level_links_lead_into_the_package(link: str) -> None:
    root = Path(__file__).parents[1]
    assert (root / link).resolve() == (PACKAGE / link).resolve()


@pytest.mark.parametrize(
    "command", CONTRIBUTIONS.commands or (), ids=lambda command: command.id
)
def test_each_command_imports(command: object) -> None:
    assert command.id.startswith(f"{NAME}.")
    assert callable(python_object(command.python_name))


def test_every_contribution_has_its_command() -> None:
    known = {command.id for command in CONTRIBUTIONS.commands}
    used = [
        *(widget.command for widget in CONTRIBUTIONS.widgets),
        *(writer.command for writer in CONTRIBUTIONS.writers),
        *(reader.command for reader in CONTRIBUTIONS.readers),
        *(sample.command for sample in CONTRIBUTIONS.sample_data),
        *(item.command for items in CONTRIBUTIONS.menus.values() for item in items),
    ]
    assert set(used) == known


def test_widget() -> None:
    assert {w.command: w.display_name for w in CONTRIBUTIONS.widgets}.items() >= {
        f"{NAME}.segment": "Segment",
        f"{NAME}.propagate": "Propagate",
    }.items()
    assert list(CONTRIBUTIONS.menus) == ["napari/layers/segment"]


def test_writer() -> None:
    writer, *others = CONTRIBUTIONS.writers
    assert [other.filename_extensions for other in others] == [
        [".json"],
        [".zip"],
        [".zarr"],
        [".geff"],
        [".npy"],
        [".csv"],
    ]
    assert writer.layer_types == ["labels"]
    assert writer.filename_extensions == [".tif", ".tiff"]
    assert writer.display_name == "Label TIFF with calibration (Fiji)"


def test_settings() -> None:
    settings = {
        f"{section}.{key}": prop
        for section, contribution in CONTRIBUTIONS.configurations.items()
        for key, prop in contribution.properties.items()
    }
    assert {key: prop.default for key, prop in settings.items()} == {
        "model.name": "",
        "model.device": "auto",
        "model.cache_megabytes": 1024,
        "model.disk_megabytes": 0,
        "image.contrast": "layer limits",
        "image.low_percentile": 0.1,
        "image.high_percentile": 99.9,
        "accept.overlap": "keep",
        "sessions.beside": True,
    }
    assert settings["model.device"].enum == ["auto", "cpu", "cuda", "mps"]
    assert settings["image.contrast"].enum == ["layer limits", "percentiles"]
    assert settings["accept.overlap"].enum == ["keep", "replace"]


@pytest.mark.parametrize("key", SAMPLES)
def test_each_sample_makes_one_layer(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise AssertionError("a sample must not use the network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    command = next(c for c in CONTRIBUTIONS.commands if c.id == SAMPLES[key].command)
    ((data, meta, kind),) = python_object(command.python_name)()
    assert kind == ("labels" if key.endswith("_truth") else "image")
    spatial = data.ndim - (1 if meta.get("rgb") else 0)
    if "scale" in meta:
        assert len(meta["scale"]) == len(meta["units"]) == spatial
    assert int(data.max()) > int(data.min())


@pytest.mark.parametrize("name", ["nuclei_2d", "nuclei_3d", "divisions"])
def test_image_and_truth_of_a_sample_agree(name: str) -> None:
    ((image, image_meta, _),) = getattr(_sample_data, name)()
    ((truth, truth_meta, _),) = getattr(_sample_data, f"{name}_truth")()
    assert image.shape == truth.shape
    assert image_meta["scale"] == truth_meta["scale"]
    # The objects are brighter than what lies around them.
    assert image[truth > 0].mean() > 1.5 * image[truth == 0].mean()
    ids = np.unique(truth)
    assert ids.tolist() == list(range(len(ids)))


@pytest.mark.parametrize(
    ("name", "step"),
    [("nuclei_2d", None), ("nuclei_3d", "spacing"), ("divisions", "finterval")],
)
def test_the_files_carry_the_calibration_that_the_layers_get(
    name: str, step: str | None
) -> None:
    ((data, meta, _),) = getattr(_sample_data, name)()
    with tifffile.TiffFile(PACKAGE / "sample_data" / f"{name}.tif") as tif:
        pixels, inches = tif.pages[0].tags["XResolution"].value
        assert inches / pixels == pytest.approx(meta["scale"][-1], rel=1e-4)
        assert tif.imagej_metadata["unit"] == "um"
        assert tif.series[0].shape == data.shape
        if step is not None:
            assert tif.imagej_metadata[step] == pytest.approx(meta["scale"][0])


def test_a_missing_scikit_image_file_is_named() -> None:
    with pytest.raises(_sample_data.ImageError, match=r"nowhere\.png"):
        _sample_data._from_skimage("nowhere.png")
