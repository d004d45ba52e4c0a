"""Names, aliases and hyper-parameters of the models."""

from __future__ import annotations

import hashlib

import pytest
import torch
from tests.interpreters import run_python

from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.core.networks.build import build_sam1, build_sam2
from napari_cellprompt.core.zoo.registry import ALIASES, MODELS, NETWORKS, get_spec

# Number of tensors in Meta's published configuration, and the SHA-256 of the sorted
# lines "name shape" as the sam2 package 1.1.0 builds it.
LAYOUTS = {
    "sam2_hiera_tiny": (
        468,
        "5e523b8dafb774df3a42353563bf71d1fce1c41e2f8b3755a33f266c8a67e9c5",
    ),
    "sam2_hiera_small": (
        516,
        "2b023d3d2f211cbf3216de77ebe33ad6153c5a73e2c34f8705c2f0f98325e718",
    ),
    "sam2_hiera_base_plus": (
        612,
        "b5ec9a41f6bb0a5f41e8dacede16a9ad209f66c5993e9683b9bef0b449769e3d",
    ),
    "sam2_hiera_large": (
        900,
        "eb5893e1dfbfb6662eeaede4c9c9582392673c139ef76eaa0246fbb4fe7efb96",
    ),
    "sam2.1_hiera_tiny": (
        471,
        "bac6d522c4ff90fe9980fe55056dc14f71966e17c16d772f18674d978c0471ad",
    ),
    "sam2.1_hiera_small": (
        519,
        "c9876e8c1ec0adc34129db2418ca9d7118e5b69cdaae84f5d96b11736c3b3e02",
    ),
    "sam2.1_hiera_base_plus": (
        615,
        "e2d94a28cde080da1e50ee1a2514e30d1f9b87c12fd36dff1c71ab181c0708f3",
    ),
    "sam2.1_hiera_large": (
        903,
        "e5145693245ec4454c0f612349dadd98dc692ceb26c117646a6069c4abfbedcc",
    ),
    # as the EdgeTAM package builds it
    "edgetam": (
        982,
        "ceda0fdf169f31588a88c94fe56a150020f27eb57555b7913273864fa8446a45",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_network_has_exactly_the_published_tensors(name: str) -> None:
    spec = MODELS[name]
    with torch.device("meta"):  # shapes only: no memory, no initial values
        network = build_sam2(image_size=spec.image_size, **dict(spec.network))
    lines = sorted(f"{key} {tuple(t.shape)}" for key, t in network.state_dict().items())
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert (len(lines), digest) == LAYOUTS[name]


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("nano", "cellprompt-nano"),
        ("sam2.1_t", "sam2.1_hiera_tiny"),
        ("sam2_s", "sam2_hiera_small"),
        ("sam2_b+", "sam2_hiera_base_plus"),
        ("sam2.1_b", "sam2.1_hiera_base_plus"),
        ("sam2.1_b.pt", "sam2.1_hiera_base_plus"),
        ("sam2_hiera_l", "sam2_hiera_large"),
        ("sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus"),
        ("sam2.1_hiera_large.pt", "sam2.1_hiera_large"),
        ("sam_b", "sam_vit_b"),
        ("vit_h", "sam_vit_h"),
        ("vit_t", "mobile_sam"),
        ("mobile_sam.pt", "mobile_sam"),
    ],
)
def test_aliases_resolve(alias: str, name: str) -> None:
    assert get_spec(alias) is MODELS[name]


def test_every_alias_names_a_model_and_hides_none() -> None:
    assert set(ALIASES.values()) <= set(MODELS)
    assert not set(ALIASES) & set(MODELS)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"no model named 'sam3'.*sam2_hiera_tiny"):
        get_spec("sam3")


def test_published_weights_have_address_licence_and_digest() -> None:
    lengths = {"sha256": 32, "xxh128": 16}
    sources = {name: spec.source for name, spec in MODELS.items() if spec.source}
    assert len(sources) == len(MODELS) - 3, "all but the two bundled ones and medsam2"
    for source in sources.values():
        assert source.url.startswith("https://")
        algorithm, digest = source.digest.split(":")
        assert len(bytes.fromhex(digest)) == lengths[algorithm]
    for name in LAYOUTS:
        assert sources[name].url.endswith(sources[name].file_name)
        assert MODELS[name].licence == "Apache-2.0"
    assert len({source.file_name for source in sources.values()}) == len(sources)
    unknown = [name for name, spec in MODELS.items() if not spec.licence]
    assert unknown == ["medsam2"], "its licence is not known: from the user's file only"


@pytest.mark.parametrize(
    ("name", "tensors"),
    [("sam_vit_b", 314), ("sam_vit_l", 482), ("sam_vit_h", 594), ("mobile_sam", 435)],
)
def test_sam_networks_have_the_published_number_of_tensors(name: str, tensors: int) -> None:
    # MobileSAM's file has four more: the classifier that nothing uses
    spec = MODELS[name]
    with torch.device("meta"):
        network = build_sam1(image_size=spec.image_size, **dict(spec.network))
    assert len(network.state_dict()) == tensors


def test_every_model_says_what_it_is_good_for() -> None:
    assert all(spec.good_for for spec in MODELS.values())


def test_hyper_parameters_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        MODELS["sam2_hiera_tiny"].network["embed_dim"] = 1  # type: ignore[index]


def test_nano_keeps_the_decoder_width_that_the_original_package_fixes() -> None:
    assert NETWORKS["nano"]["decoder_mlp_dim"] == 2048
    assert MODELS["cellprompt-nano"].image_size == 512


def test_looking_up_a_name_needs_no_torch() -> None:
    code = (
        "import sys; from napari_cellprompt.core.zoo.registry import get_spec;"
        "get_spec('sam2.1_t'); print('torch' in sys.modules)"
    )
    run = run_python("-c", code)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "False"
