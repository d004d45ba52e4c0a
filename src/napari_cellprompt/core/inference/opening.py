"""Opens a loaded network as a model that the engine can ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.inference.crop.model import CropModel
from napari_cellprompt.core.inference.sam.model import SamModel

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.load import LoadedModel

    from .model import Model

__all__ = ["open_model"]


def open_model(loaded: LoadedModel, **options: Any) -> Model:
    """The model of a network's family.

    Parameters
    ----------
    loaded
        The network.
    options
        ``cache``, ``precision`` and ``files`` of
        :class:`.sam.encoding.encoder.PlaneEncoder`. A crop-wise model keeps no features
        and takes none of them.
    """
    if loaded.spec.family == "focus":
        return CropModel(loaded)
    return SamModel(loaded, **options)
