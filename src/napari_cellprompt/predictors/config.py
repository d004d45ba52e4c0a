"""The settings that all predictors share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any

__all__ = ["DEFAULT_CFG", "PredictorConfig", "is_whole", "make_config"]


@dataclass(frozen=True, slots=True)
class PredictorConfig:
    """Settings of a predictor."""

    model: str | Path = "cellprompt-nano"
    """Name of a model or path of a checkpoint; a name may end in ``.pt``."""
    imgsz: int | None = None
    """Side of the model's square input in pixels; None: the model's own."""
    device: str | None = None
    """"cpu", "cuda", "cuda:1", "mps"; None or "auto": the best there is."""
    half: bool = False
    """Run the image encoder in half precision; masks and scores stay float32."""
    conf: float = 0.0
    """Predicted IoU below which an object's mask is emptied."""
    iou: float = 0.7
    """Overlap of boxes above which the lower-scored of two masks is a duplicate."""
    retina_masks: bool = True
    """Masks at the size of the image; always on."""
    save: str | Path | bool | None = None
    """Folder for a label TIFF of each result, True for ``cellprompt_results`` in the
    current folder; None or False: nothing is written."""
    verbose: bool = False
    """Log one line per image."""
    task: str = "segment"
    """Always that; published examples name it."""
    mode: str = "predict"
    """Always that; published examples name it."""
    batch: int = 1
    """Always that: images come one by one."""


DEFAULT_CFG = PredictorConfig()

_FIXED = ("task", "mode", "batch")
_RESULTS = "cellprompt_results"


def make_config(
    cfg: PredictorConfig | Mapping[str, Any] = DEFAULT_CFG,
    overrides: Mapping[str, Any] | None = None,
) -> PredictorConfig:
    """Join settings; later ones win.

    Raises
    ------
    TypeError
        For an unknown key; the message lists the known ones.
    ValueError
        For a value that cannot be; of settings with one value it names that.
    """
    known = [field.name for field in fields(PredictorConfig)]
    changes: dict[str, Any] = {} if isinstance(cfg, PredictorConfig) else dict(cfg)
    changes.update(overrides or {})
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise TypeError(
            f"unknown setting {', '.join(unknown)}; the known ones are {', '.join(known)}."
        )
    if "imgsz" in changes:
        changes["imgsz"] = _square(changes["imgsz"])
    result = replace(cfg if isinstance(cfg, PredictorConfig) else DEFAULT_CFG, **changes)
    if not 0 <= result.conf <= 1 or not 0 <= result.iou <= 1:
        raise ValueError(
            f"conf and iou must lie between 0 and 1: got {result.conf} and {result.iou}."
        )
    if not result.retina_masks:
        raise ValueError("retina_masks is always on: masks have the size of the image.")
    for name in _FIXED:
        value, only = getattr(result, name), getattr(DEFAULT_CFG, name)
        if value != only:
            raise ValueError(f"{name} must be {only!r}, there is no other: got {value!r}.")
    if isinstance(result.save, bool):
        result = replace(result, save=_RESULTS if result.save else None)
    return result


def is_whole(value: Any) -> bool:
    """Whether it is an integer, also one of NumPy; truth values are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _square(imgsz: Any) -> int | None:
    """The side of a square input given as a number or a pair."""
    if imgsz is None:
        return None
    sides = (imgsz, imgsz) if is_whole(imgsz) else imgsz
    pair = isinstance(sides, tuple | list) and len(sides) == 2
    if not pair or sides[0] != sides[1] or not is_whole(sides[0]):
        raise ValueError(f"imgsz must be one number or two equal ones: got {imgsz!r}.")
    side = int(sides[0])
    if side < 64 or side % 32:
        raise ValueError(f"imgsz must be a multiple of 32 and at least 64: got {side}.")
    return side
