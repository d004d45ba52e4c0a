"""Reads the images named in ``splits.json`` into memory: planes, and stacks of planes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.training.planes import Plane, Stack, make_plane, make_stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "load_planes",
    "load_raw",
    "load_splits",
    "stretch_to_uint8",
]


def load_splits() -> dict[str, Any]:
    """The committed assignment of every data set to training, validation or testing."""
    text = Path(__file__).with_name("splits.json").read_text(encoding="utf-8")
    splits: dict[str, Any] = json.loads(text)
    return splits


def stretch_to_uint8(
    data: NDArray[Any], low: float = 0.1, high: float = 99.9
) -> NDArray[np.uint8]:
    """Map percentiles of all values to 0 and 255."""
    bottom, top = np.percentile(data, (low, high))
    scaled = (data.astype(np.float32) - bottom) * (255.0 / max(top - bottom, 1e-6))
    stretched: NDArray[np.uint8] = np.clip(np.round(scaled), 0, 255).astype(np.uint8)
    return stretched


def load_planes(root: str | Path, part: str) -> list[Plane]:
    """All planes of one part as uint8, contrast stretched as headless prediction does.

    For the benchmarks of models that want their images so; training takes `load_raw`.
    """
    return _load(root, part, stretched=True)[0]


def load_raw(root: str | Path, part: str) -> tuple[list[Plane], list[Stack]]:
    """Load one part of the data with its grey values as they are.

    Parameters
    ----------
    root
        The folder that ``CELLPROMPT_DATA`` names, with its ``manifest.json``.
    part
        ``"train"``, ``"val"``, ``"test"`` (never trained on) or ``"measured"``.

    Returns
    -------
    planes
        All planes with an object, those of the stacks included.
    stacks
        The sets whose ids stay the same from plane to plane.
    """
    return _load(root, part, stretched=False)


def _load(
    root: str | Path, part: str, *, stretched: bool
) -> tuple[list[Plane], list[Stack]]:
    root = Path(root)
    splits = load_splits()
    entries = {e["name"]: e for e in json.loads((root / "manifest.json").read_text())}
    planes: list[Plane] = []
    stacks: list[Stack] = []
    for name, rule in splits["datasets"].items():
        if name not in entries or part not in rule["parts"]:
            continue
        entry = entries[name]
        images = tifffile.imread(root / entry["img"])
        labels = tifffile.imread(root / entry["lab"])
        if entry["axes"] in ("YX", "YXS"):
            images, labels = images[None], labels[None]
        if stretched and entry["axes"].startswith("Q"):
            images = np.stack([stretch_to_uint8(image) for image in images])
        elif stretched:
            images = stretch_to_uint8(images)
        columns = columns_of(rule, part, labels.shape[2])
        made = [
            make_plane(name, rule["modality"], images[i][:, columns], labels[i][:, columns])
            for i in _indices(rule, part, entry, splits, len(labels))
        ]
        planes += [plane for plane in made if len(plane.ids)]
        if entry["label_ids"] == "consistent" and len(made) > 1:
            stacks.append(make_stack(made))
    return planes, stacks


def columns_of(rule: dict[str, Any], part: str, width: int) -> slice:
    """The columns of a stack that belong to a part of it."""
    if "columns" not in rule:
        return slice(None)
    start, stop = rule["columns"][part]
    return slice(round(start * width), round(stop * width))


def _indices(
    rule: dict[str, Any],
    part: str,
    entry: dict[str, Any],
    splits: dict[str, Any],
    count: int,
) -> list[int]:
    """Which planes along the first axis belong to a part."""
    if rule.get("by_image"):
        wanted = set(splits["images"][part])
        return [i for i, image in enumerate(entry["image_ids"]) if image in wanted]
    if "planes" in rule:
        return list(range(*rule["planes"][part]))
    return list(range(count))
