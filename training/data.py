"""Reads the images named in ``splits.json`` into memory: planes, and stacks of planes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Plane",
    "Stack",
    "load_planes",
    "load_raw",
    "load_splits",
    "make_plane",
    "make_stack",
    "stretch_to_uint8",
]

SMALLEST_AREA = 9
"""Objects of fewer pixels are not used: most are remains of cut outlines."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One 2D image with its objects."""

    dataset: str
    modality: str
    image: NDArray[Any]
    """``(H, W)`` or ``(H, W, 3)``, raw grey values."""
    labels: NDArray[np.uint16]
    ids: NDArray[np.intp]
    boxes: NDArray[np.intp]
    """``(n, 4)`` x0, y0, x1, y1 (x1, y1 exclusive), one row per id."""
    areas: NDArray[np.intp]
    """``(n,)`` pixels."""

    def row(self, number: int) -> int | None:
        """Where an id stands in `ids`; None where it is not on this plane."""
        found = np.flatnonzero(self.ids == number)
        return int(found[0]) if len(found) else None


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Consecutive planes with ids that stay the same."""

    dataset: str
    modality: str
    planes: list[Plane]
    present: dict[int, list[int]]
    """Positions of the planes on which each object is."""


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


def make_plane(
    dataset: str, modality: str, image: NDArray[Any], labels: NDArray[Any]
) -> Plane:
    """A plane of an image and its label map, without the smallest objects."""
    labels = np.ascontiguousarray(labels).astype(np.uint16)
    areas = np.bincount(labels.ravel())
    ids, boxes = [], []
    for position, slices in enumerate(ndimage.find_objects(labels)):
        if slices is None or areas[position + 1] < SMALLEST_AREA:
            continue
        rows, columns = slices
        ids.append(position + 1)
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
    chosen = np.array(ids, dtype=np.intp)
    table = np.array(boxes, dtype=np.intp).reshape(-1, 4)
    return Plane(
        dataset,
        modality,
        np.ascontiguousarray(image),
        labels,
        chosen,
        table,
        areas[chosen] if len(chosen) else np.zeros(0, np.intp),
    )


def make_stack(planes: list[Plane]) -> Stack:
    """A stack of planes that share their ids."""
    present: dict[int, list[int]] = {}
    for position, plane in enumerate(planes):
        for number in plane.ids:
            present.setdefault(int(number), []).append(position)
    return Stack(planes[0].dataset, planes[0].modality, planes, present)


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
