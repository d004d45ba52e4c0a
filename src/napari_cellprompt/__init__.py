"""Click a cell in napari, get its mask: SAM and SAM 2 for microscopy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from napari_cellprompt.core.results import Results
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.zoo.load import load_model
    from napari_cellprompt.predictors.dynamic import SAM2DynamicInteractivePredictor
    from napari_cellprompt.predictors.sam import Predictor
    from napari_cellprompt.predictors.sam2_image import SAM2Predictor
    from napari_cellprompt.predictors.sam2_video import SAM2VideoPredictor
    from napari_cellprompt.tasks.adapt.adapting import adapt
    from napari_cellprompt.tasks.everything import everything
    from napari_cellprompt.tasks.fewshot import fewshot
    from napari_cellprompt.tasks.fill import fill
    from napari_cellprompt.tasks.propagate import propagate
    from napari_cellprompt.tasks.refine import refine
    from napari_cellprompt.tasks.segment import segment

__all__ = [
    "PlaneSegmenter",
    "Predictor",
    "Results",
    "SAM2DynamicInteractivePredictor",
    "SAM2Predictor",
    "SAM2VideoPredictor",
    "__version__",
    "adapt",
    "everything",
    "fewshot",
    "fill",
    "load_model",
    "propagate",
    "refine",
    "segment",
]

_HOMES = {
    "PlaneSegmenter": ".core.segment.segmenter",
    "Predictor": ".predictors.sam",
    "Results": ".core.results",
    "SAM2DynamicInteractivePredictor": ".predictors.dynamic",
    "SAM2Predictor": ".predictors.sam2_image",
    "SAM2VideoPredictor": ".predictors.sam2_video",
    "adapt": ".tasks.adapt.adapting",
    "everything": ".tasks.everything",
    "fewshot": ".tasks.fewshot",
    "fill": ".tasks.fill",
    "load_model": ".core.zoo.load",
    "propagate": ".tasks.propagate",
    "refine": ".tasks.refine",
    "segment": ".tasks.segment",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-cellprompt")
    # torch takes seconds to import: only what is used loads it
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
