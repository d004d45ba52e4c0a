"""Which models exist: hyper-parameters, where their weights come from, their licence.

Knows names only; it reads no file and imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_cellprompt.core._errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ALIASES",
    "DEFAULT_MODEL",
    "MODELS",
    "NETWORKS",
    "DrawingSpec",
    "ModelSpec",
    "WeightsSource",
    "get_spec",
]

DEFAULT_MODEL = "cellprompt-nano"


@dataclass(frozen=True, slots=True)
class DrawingSpec:
    """How prompts are drawn into the mask prompt of a model that was trained so."""

    amplitude: float
    """Logit at the centre of a click; a box is filled with half of it."""
    sigma: float
    """Width of a click's Gaussian, in pixels of the mask prompt (a quarter of the
    input's side)."""
    carry: bool = False
    """Whether the logits of the neighbouring frame are given as mask prompt as well,
    while an object is tracked."""


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """Where the official weights of a model are published."""

    file_name: str
    url: str
    licence: str
    sha256: str
    nbytes: int | None = None
    """Exact size of the file; None where no public record gives it."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model is, apart from its weights.

    Parameters
    ----------
    name : str
        The name it has in this package, or its file's stem for a checkpoint.
    family : str
        Which classes build it: ``"sam2"`` so far.
    network : mapping
        Keyword arguments of ``build_sam2``, without ``image_size``.
    image_size : int
        Side of the square input in pixels.
    drawing : DrawingSpec, optional
        Set for models that expect prompts drawn into the mask prompt.
    source : WeightsSource, optional
        Set for models whose weights are published elsewhere.
    bundled : bool
        Whether the weights are part of this package.
    """

    name: str
    family: str
    network: Mapping[str, object]
    image_size: int
    drawing: DrawingSpec | None = None
    source: WeightsSource | None = field(default=None, compare=False)
    bundled: bool = field(default=False, compare=False)


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
    }
)
"""Hyper-parameters of each width; keyword arguments of ``build_sam2``."""

_SAM2_LICENCE = "Apache-2.0"
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
            licence=_SAM2_LICENCE,
            sha256=sha256,
            nbytes=nbytes,
        ),
    )


MODELS: Mapping[str, ModelSpec] = MappingProxyType(
    {
        DEFAULT_MODEL: ModelSpec(
            name=DEFAULT_MODEL,
            family="sam2",
            network=_network(**NETWORKS["nano"], version="2.1"),
            image_size=512,
            bundled=True,
        ),
        **{name: _sam2_spec(name) for name in _SAM2_FILES},
    }
)
"""Every model by its full name."""


def _aliases() -> dict[str, str]:
    letters = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
    aliases = {"nano": DEFAULT_MODEL}
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

_SUFFIXES = (".pt", ".pth", ".safetensors")


def get_spec(name: str) -> ModelSpec:
    """Look up a model by its name or alias, with or without a file's suffix.

    Raises
    ------
    CheckpointError
        When no model has this name; the message lists those there are.
    """
    stem = name
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    stem = ALIASES.get(stem, stem)
    if stem not in MODELS:
        raise CheckpointError(
            f"There is no model named {name!r}, and no file of that name here. "
            f"Known models: {', '.join(MODELS)}."
        )
    return MODELS[stem]
