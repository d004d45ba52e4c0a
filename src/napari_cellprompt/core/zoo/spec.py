"""What is said of a model apart from its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .traits import Traits

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DrawingSpec", "ModelSpec", "WeightsSource"]


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
    digest: str
    """``"sha256:"`` or ``"xxh128:"`` and the hexadecimal digest of the file."""
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
        ``"sam1"``, ``"sam2"``, or ``"focus"`` for crop-wise networks.
    network : mapping
        Keyword arguments of ``build_sam1``, ``build_sam2`` or ``FocusNet``, without
        ``image_size``.
    image_size : int
        Side of the square input in pixels: of the image, or of a crop.
    drawing : DrawingSpec, optional
        Set for models that expect prompts drawn into the mask prompt.
    source : WeightsSource, optional
        Set for models whose weights are published elsewhere.
    bundled : bool
        Whether the weights are part of this package.
    licence : str
        Of the weights; empty where it is not known.
    good_for : str
        What it was made for, in a few words.
    traits : Traits
        How its answers are asked for and used.
    """

    name: str
    family: str
    network: Mapping[str, object]
    image_size: int
    drawing: DrawingSpec | None = None
    source: WeightsSource | None = field(default=None, compare=False)
    bundled: bool = field(default=False, compare=False)
    licence: str = field(default="", compare=False)
    good_for: str = field(default="", compare=False)
    traits: Traits = field(default=Traits(), compare=False)
