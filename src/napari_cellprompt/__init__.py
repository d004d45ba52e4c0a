"""Click a cell in napari, get its mask: SAM and SAM 2 for microscopy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core.predictors.dynamic import SAM2DynamicInteractivePredictor
    from .core.predictors.plane import PlaneSegmenter
    from .core.predictors.propagate import propagate
    from .core.predictors.results import Results
    from .core.predictors.sam import Predictor
    from .core.predictors.sam2_image import SAM2Predictor
    from .core.predictors.sam2_video import SAM2VideoPredictor
    from .core.predictors.segment import segment
    from .core.zoo.load import load_model
    from .jobs.everything import everything
    from .jobs.fewshot import fewshot

__all__ = [
    "PlaneSegmenter",
    "Predictor",
    "Results",
    "SAM2DynamicInteractivePredictor",
    "SAM2Predictor",
    "SAM2VideoPredictor",
    "everything",
    "fewshot",
    "load_model",
    "propagate",
    "segment",
]

_HOMES = {
    "PlaneSegmenter": ".core.predictors.plane",
    "Predictor": ".core.predictors.sam",
    "Results": ".core.predictors.results",
    "SAM2DynamicInteractivePredictor": ".core.predictors.dynamic",
    "SAM2Predictor": ".core.predictors.sam2_image",
    "SAM2VideoPredictor": ".core.predictors.sam2_video",
    "everything": ".jobs.everything",
    "fewshot": ".jobs.fewshot",
    "load_model": ".core.zoo.load",
    "propagate": ".core.predictors.propagate",
    "segment": ".core.predictors.segment",
}


def __getattr__(name: str) -> Any:
    # torch takes seconds to import: only what is used loads it
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
