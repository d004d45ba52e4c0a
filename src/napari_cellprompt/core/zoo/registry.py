"""Which models exist: hyper-parameters, where their weights come from, their licence.

Knows names only; it reads no file and imports no torch.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import CheckpointError

from .spec import DrawingSpec, ModelSpec, WeightsSource
from .traits import CROP_WISE, DRAWN_PROMPTS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALIASES",
    "DEFAULT_MODEL",
    "MODELS",
    "NETWORKS",
    "OFFERED_MODEL",
    "SAM1_NETWORKS",
    "SUFFIXES",
    "DrawingSpec",
    "ModelSpec",
    "WeightsSource",
    "find_spec",
    "get_spec",
    "stem_of",
]

DEFAULT_MODEL = "cellprompt-focus"
OFFERED_MODEL = "sam2.1_hiera_tiny"
"""The smallest of the official models that follow objects as well: offered first."""


def _network(**hyper_parameters: object) -> Mapping[str, object]:
    return MappingProxyType(hyper_parameters)


_WIDE = {
    "d_model": 256,
    "mem_dim": 64,
    "memory_attention_layers": 4,
    "memory_attention_feedforward": 2048,
    "num_maskmem": 7,
    "decoder_mlp_dim": 2048,
}

NETWORKS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "tiny": _network(
            embed_dim=96,
            num_heads=1,
            stages=(1, 2, 7, 2),
            global_att_blocks=(5, 7, 9),
            window_pos_embed_bkg_spatial_size=(7, 7),
            window_spec=(8, 4, 14, 7),
            **_WIDE,
        ),
        "small": _network(
            embed_dim=96,
            num_heads=1,
            stages=(1, 2, 11, 2),
            global_att_blocks=(7, 10, 13),
            window_pos_embed_bkg_spatial_size=(7, 7),
            window_spec=(8, 4, 14, 7),
            **_WIDE,
        ),
        "base_plus": _network(
            embed_dim=112,
            num_heads=2,
            stages=(2, 3, 16, 3),
            global_att_blocks=(12, 16, 20),
            window_pos_embed_bkg_spatial_size=(14, 14),
            window_spec=(8, 4, 14, 7),
            **_WIDE,
        ),
        "large": _network(
            embed_dim=144,
            num_heads=2,
            stages=(2, 6, 36, 4),
            global_att_blocks=(23, 33, 43),
            window_pos_embed_bkg_spatial_size=(7, 7),
            window_spec=(8, 4, 16, 8),
            **_WIDE,
        ),
        # decoder_mlp_dim stays 2048: Meta's package builds its decoder with that width
        # whatever the configuration says, and it should be able to load this model.
        "nano": _network(
            embed_dim=32,
            num_heads=1,
            stages=(1, 2, 4, 2),
            global_att_blocks=(5, 6),
            window_pos_embed_bkg_spatial_size=(7, 7),
            window_spec=(8, 4, 14, 7),
            d_model=128,
            mem_dim=64,
            memory_attention_layers=2,
            memory_attention_feedforward=512,
            num_maskmem=7,
            decoder_mlp_dim=2048,
        ),
        "edgetam": _network(
            trunk="repvit_m1",
            perceiver_layers=2,
            **{**_WIDE, "memory_attention_layers": 2},
        ),
    }
)
"""Hyper-parameters of each SAM 2 network; keyword arguments of ``build_sam2``."""


def _vit(embed_dim: int, depth: int, heads: int, every: int) -> Mapping[str, object]:
    return _network(
        encoder="vit",
        embed_dim=embed_dim,
        depth=depth,
        heads=heads,
        global_blocks=tuple(range(every - 1, depth, every)),
        native_size=1024,
    )


SAM1_NETWORKS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "vit_b": _vit(768, 12, 12, 3),
        "vit_l": _vit(1024, 24, 16, 6),
        "vit_h": _vit(1280, 32, 16, 8),
        "vit_t": _network(encoder="tiny_vit"),
    }
)
"""Hyper-parameters of each SAM encoder; keyword arguments of ``build_sam1``."""

_APACHE = "Apache-2.0"
_SPEED: Mapping[str, str] = MappingProxyType(
    {
        "tiny": "seconds each without GPU",
        "small": "slow without GPU",
        "base_plus": "wants a GPU",
        "large": "wants a large GPU",
    }
)
_SAM2_URL = "https://dl.fbaipublicfiles.com/segment_anything_2"
_SAM2_FILES: Mapping[str, tuple[str, int | None]] = MappingProxyType(
    {
        "sam2_hiera_tiny": (
            "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
            155_906_050,
        ),
        "sam2_hiera_small": (
            "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
            None,
        ),
        "sam2_hiera_base_plus": (
            "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
            None,
        ),
        "sam2_hiera_large": (
            "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
            897_952_466,
        ),
        "sam2.1_hiera_tiny": (
            "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
            156_008_466,
        ),
        "sam2.1_hiera_small": (
            "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
            184_416_285,
        ),
        "sam2.1_hiera_base_plus": (
            "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
            323_606_802,
        ),
        "sam2.1_hiera_large": (
            "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
            898_083_611,
        ),
    }
)


def _sam2_spec(name: str) -> ModelSpec:
    release, width = name.split("_hiera_")
    version, folder = ("2.1", "092824") if release == "sam2.1" else ("2.0", "072824")
    sha256, nbytes = _SAM2_FILES[name]
    return ModelSpec(
        name=name,
        family="sam2",
        network=_network(**NETWORKS[width], version=version),
        image_size=1024,
        source=WeightsSource(
            file_name=f"{name}.pt",
            url=f"{_SAM2_URL}/{folder}/{name}.pt",
            digest=f"sha256:{sha256}",
            nbytes=nbytes,
        ),
        licence=_APACHE,
        good_for=f"stacks, movies, images; {_SPEED[width]}",
    )


_SAM1_URL = "https://dl.fbaipublicfiles.com/segment_anything"
_MICRO_SAM_URL = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"
_OWNCLOUD_URL = "https://owncloud.gwdg.de/index.php/s"
_MICRO_SAM_LICENCE = "of micro-sam (code: MIT); see the page of the model"


def _sam1_spec(
    name: str,
    encoder: str,
    url: str,
    digest: str,
    good_for: str,
    *,
    licence: str = _APACHE,
    nbytes: int | None = None,
    file_name: str = "",
) -> ModelSpec:
    return ModelSpec(
        name=name,
        family="sam1",
        network=SAM1_NETWORKS[encoder],
        image_size=1024,
        source=WeightsSource(
            file_name=file_name or f"{name}.pt",
            url=url,
            digest=digest,
            nbytes=nbytes,
        ),
        licence=licence,
        good_for=good_for,
    )


def _meta_sam1(
    encoder: str, stamp: str, sha256: str, speed: str, nbytes: int | None
) -> ModelSpec:
    name = f"sam_{encoder}"
    return _sam1_spec(
        name,
        encoder,
        f"{_SAM1_URL}/{name}_{stamp}.pth",
        f"sha256:{sha256}",
        f"images of any kind; {speed}",
        nbytes=nbytes,
        file_name=f"{name}_{stamp}.pth",
    )


def _micro_sam(name: str, place: str, xxh128: str, good_for: str) -> ModelSpec:
    encoder = name[: len("vit_b")]
    url = (
        f"{_MICRO_SAM_URL}/{place}/files/{encoder}.pt"
        if "/" in place
        else f"{_OWNCLOUD_URL}/{place}/download"
    )
    return _sam1_spec(
        name, encoder, url, f"xxh128:{xxh128}", good_for, licence=_MICRO_SAM_LICENCE
    )


_LIGHT = "cells and nuclei in light microscopy"
_EM = "organelles in electron microscopy"
_TISSUE = "nuclei in stained tissue"
_SAM1_SPECS = (
    _meta_sam1(
        "vit_b",
        "01ec64",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "slow without GPU",
        375_042_383,
    ),
    _meta_sam1(
        "vit_l",
        "0b3195",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "wants a GPU",
        None,
    ),
    _meta_sam1(
        "vit_h",
        "4b8939",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "wants a large GPU",
        2_564_550_879,
    ),
    _sam1_spec(
        "mobile_sam",
        "vit_t",
        "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
        "sha256:6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        "images of any kind, without a GPU",
        nbytes=40_728_226,
    ),
    _micro_sam(
        "vit_t_lm", "faithful-chicken/1.1", "72ec5074774761a6e5c05a08942f981e", _LIGHT
    ),
    _micro_sam(
        "vit_b_lm", "diplomatic-bug/1.2", "fe9252a29f3f4ea53c15a06de471e186", _LIGHT
    ),
    _micro_sam(
        "vit_l_lm", "idealistic-rat/1.2", "017f20677997d628426dec80a8018f9d", _LIGHT
    ),
    _micro_sam(
        "vit_t_em_organelles", "greedy-whale/1", "253474720c497cce605e57c9b1d18fd9", _EM
    ),
    _micro_sam(
        "vit_b_em_organelles", "noisy-ox/1.2", "f3bf2ed83d691456bae2c3f9a05fb438", _EM
    ),
    _micro_sam(
        "vit_l_em_organelles", "humorous-crab/1.2", "810b084b6e51acdbf760a993d8619f2d", _EM
    ),
    _micro_sam(
        "vit_b_histopathology",
        "sBB4H8CTmIoBZsQ",
        "ffd1a2cd84570458b257bd95fdd8f974",
        _TISSUE,
    ),
    _micro_sam(
        "vit_l_histopathology",
        "IZgnn1cpBq2PHod",
        "b591833c89754271023e901281dee3f2",
        _TISSUE,
    ),
    _micro_sam(
        "vit_h_histopathology",
        "L7AcvVz7DoWJ2RZ",
        "bd1856dafc156a43fb3aa705f1a6e92e",
        _TISSUE,
    ),
    _micro_sam(
        "vit_b_medical_imaging",
        "f5Ol4FrjPQWfjUF",
        "40169f1e3c03a4b67bff58249c176d92",
        "radiology",
    ),
)


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        "cellprompt-focus": ModelSpec(
            name="cellprompt-focus",
            family="focus",
            network=_network(decoder=(128, 96, 64, 32, 24), entry=32, full=16, hidden=96),
            image_size=128,
            bundled=True,
            # that of the ImageNet weights which its encoder began with
            licence="BSD-3-Clause; encoder from EfficientNet-Lite0, Apache-2.0",
            good_for="cells and nuclei, stacks and movies, on any computer",
            traits=CROP_WISE,
        ),
        "cellprompt-nano": ModelSpec(
            name="cellprompt-nano",
            family="sam2",
            network=_network(**NETWORKS["nano"], version="2.1"),
            image_size=512,
            bundled=True,
            licence="BSD-3-Clause",
            good_for="a small SAM 2: memory, and the predictors offline",
            traits=DRAWN_PROMPTS,
        ),
        **{name: _sam2_spec(name) for name in _SAM2_FILES},
        "edgetam": ModelSpec(
            name="edgetam",
            family="sam2",
            network=_network(**NETWORKS["edgetam"], version="2.0"),
            image_size=1024,
            source=WeightsSource(
                file_name="edgetam.pt",
                url="https://github.com/facebookresearch/EdgeTAM/raw/main/checkpoints/edgetam.pt",
                digest="sha256:ed2d4850b8792c239689b043c47046ec239b6e808a3d9b6ae676c803fd8780df",
                nbytes=56_116_523,
            ),
            licence=_APACHE,
            good_for="stacks and movies, faster than SAM 2 without a GPU",
        ),
        # The licence of its weights is not known: it is loaded from the user's own file.
        "medsam2": ModelSpec(
            name="medsam2",
            family="sam2",
            network=_network(**NETWORKS["tiny"], version="2.1"),
            image_size=512,
            good_for="radiology volumes; from your own file only",
        ),
        **{spec.name: spec for spec in _SAM1_SPECS},
    }
)
"""Every model by its full name."""


def _aliases() -> dict[str, str]:
    letters = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
    aliases = {
        "focus": "cellprompt-focus",
        "nano": "cellprompt-nano",
        "vit_t": "mobile_sam",
        "sam_vit_t": "mobile_sam",
    }
    for letter in "blh":
        aliases[f"sam_{letter}"] = aliases[f"vit_{letter}"] = f"sam_vit_{letter}"
    for name in _SAM2_FILES:
        release, width = name.split("_hiera_")
        letter = letters[width]
        aliases[f"{release}_{letter}"] = name
        aliases[f"{release}_hiera_{letter}"] = name
        aliases[f"{release}-hiera-{width.replace('_', '-')}"] = name
        if letter == "b+":
            aliases[f"{release}_b"] = name
    return aliases


ALIASES: Mapping[str, str] = MappingProxyType(_aliases())
"""Shorter and customary names, each with the full name it stands for."""

SUFFIXES = (".pt", ".pth", ".safetensors")
"""Of files of weights."""


def get_spec(name: str) -> ModelSpec:
    """Look up a model by its name or alias, with or without a file's suffix.

    Raises
    ------
    CheckpointError
        When no model has this name; the message lists those there are.
    """
    spec = find_spec(name)
    if spec is None:
        raise CheckpointError(
            f"There is no model named {name!r}, and no file of that name here. "
            f"Known models: {', '.join(MODELS)}."
        )
    return spec


def find_spec(name: str) -> ModelSpec | None:
    """The model of a name or alias, with or without a file's suffix; None for none."""
    stem = stem_of(name)
    return MODELS.get(ALIASES.get(stem, stem))


def stem_of(name: str) -> str:
    """A name without the suffix of a file of weights."""
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name
