"""Reads the training and validation images named in ``splits.json`` into memory."""

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

__all__ = ["SMALLEST_AREA", "Plane", "load_planes", "load_splits", "make_plane"]

SMALLEST_AREA = 9
"""Objects of fewer pixels are measured but not trained on: most are remains of cut
outlines."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One 2D image with its objects."""

    dataset: str
    modality: str
    image: NDArray[np.uint8]
    """``(H, W)`` or ``(H, W, 3)``, contrast already stretched."""
    labels: NDArray[np.uint16]
    ids: NDArray[np.intp]
    boxes: NDArray[np.intp]
    """``(n, 4)`` x0, y0, x1, y1 (x1, y1 exclusive), one row per id."""


def load_splits() -> dict[str, Any]:
    """The committed assignment of every data set to training, validation or testing."""
    text = Path(__file__).with_name("splits.json").read_text(encoding="utf-8")
    splits: dict[str, Any] = json.loads(text)
    return splits


def stretch(data: NDArray[Any], low: float = 0.1, high: float = 99.9) -> NDArray[np.uint8]:
    """Map percentiles of all values to 0 and 255, as headless prediction does."""
    bottom, top = np.percentile(data, (low, high))
    scaled = (data.astype(np.float32) - bottom) * (255.0 / max(top - bottom, 1e-6))
    stretched: NDArray[np.uint8] = np.clip(np.round(scaled), 0, 255).astype(np.uint8)
    return stretched


def load_planes(
    root: str | Path, part: str, *, datasets: set[str] | None = None
) -> list[Plane]:
    """Load one part of the data.

    Parameters
    ----------
    root
        The folder that ``CELLPROMPT_DATA`` names, with its ``manifest.json``.
    part
        ``"train"``, ``"val"`` or ``"test"`` (sets that are never trained on).
    datasets
        Only these; None for all.

    Returns
    -------
    list of Plane
        Planes without any object are left out.
    """
    root = Path(root)
    splits = load_splits()
    entries = {e["name"]: e for e in json.loads((root / "manifest.json").read_text())}
    planes: list[Plane] = []
    for name, rule in splits["datasets"].items():
        if name not in entries or (datasets is not None and name not in datasets):
            continue
        entry = entries[name]
        if part not in rule["parts"]:
            continue
        images = tifffile.imread(root / entry["img"])
        labels = tifffile.imread(root / entry["lab"])
        if entry["axes"] in ("YX", "YXS"):
            images, labels = images[None], labels[None]
        if entry["axes"].startswith("Q"):
            images = np.stack([stretch(image) for image in images])
        else:
            images = stretch(images)
        columns = columns_of(rule, part, labels.shape[2])
        for index in _indices(rule, part, entry, splits, len(labels)):
            plane = make_plane(
                name,
                rule["modality"],
                images[index][:, columns],
                labels[index][:, columns],
                smallest=SMALLEST_AREA if part == "train" else 1,
            )
            if len(plane.ids):
                planes.append(plane)
    return planes


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
    return list(range(count))


def make_plane(
    name: str,
    modality: str,
    image: NDArray[np.uint8],
    labels: NDArray[np.uint16],
    *,
    smallest: int,
) -> Plane:
    """A plane of an image and its label map, without objects of fewer pixels."""
    found = ndimage.find_objects(labels)
    ids, boxes = [], []
    for position, slices in enumerate(found):
        if slices is None:
            continue
        rows, columns = slices
        if np.count_nonzero(labels[slices] == position + 1) < smallest:
            continue
        ids.append(position + 1)
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
    return Plane(
        name,
        modality,
        np.ascontiguousarray(image),
        np.ascontiguousarray(labels),
        np.array(ids, dtype=np.intp),
        np.array(boxes, dtype=np.intp).reshape(-1, 4),
    )
