"""Labels from COCO JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.draw import polygon

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.core.types import MaskRLE
from napari_cellprompt.io.exports.coco import GRID_KEY, NO_CLASS
from napari_cellprompt.io.image_files import LabelGrid
from napari_cellprompt.io.objects import ImportedLabels, ObjectFacts

from .drawing import stacked
from .grids import grid_from

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["read_coco"]


def read_coco(path: Path) -> ImportedLabels:
    """Read a COCO file of object masks: run lengths, compressed or not, and polygons.

    A file that this package wrote comes back as the stack that it was. Images of another
    file, which must be of one size, become planes along Z. Where annotations overlap, the
    first keeps the pixels.

    Raises
    ------
    ImageError
        Where the file is no COCO file of masks.
    """
    content = _content(path)
    try:
        return _labels(path, content)
    except CellpromptError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ImageError(
            f"{path.name} is no COCO file of object masks: {type(error).__name__} {error}."
        ) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageError(f"{path.name} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise ImageError(
            f"{path.name} is no COCO file: it needs the keys images and annotations."
        )
    return content


def _labels(path: Path, content: dict[str, Any]) -> ImportedLabels:
    images = sorted(content["images"], key=lambda image: image["id"])
    sizes = {(int(image["height"]), int(image["width"])) for image in images}
    if len(sizes) != 1:
        raise ImageError(
            f"The images of {path.name} must be of one size to become one stack: got "
            f"{len(sizes)} sizes."
        )
    (size,) = sizes
    notes: list[str] = []
    if GRID_KEY in content:
        grid = grid_from(content[GRID_KEY], path.name)
    else:
        shape = size if len(images) == 1 else (len(images), *size)
        grid = LabelGrid(shape, "ZYX"[-len(shape) :], (1.0,) * len(shape), "pixel")
        if len(images) > 1:
            notes.append(f"The {len(images)} images of {path.name} are planes along Z.")
    if tuple(grid.shape[-2:]) != size or int(np.prod(grid.shape[:-2])) != len(images):
        raise ImageError(f"The images of {path.name} do not fill its grid {grid.shape}.")
    classes = {item["id"]: str(item["name"]) for item in content.get("categories", ())}
    ours = all("object_id" in item for item in content["annotations"])
    by_image: dict[Any, list[tuple[int, Any]]] = {image["id"]: [] for image in images}
    objects: dict[int, ObjectFacts] = {}
    for number, item in enumerate(content["annotations"], start=1):
        key = int(item["object_id"]) if ours else number
        by_image[item["image_id"]].append((key, item["segmentation"]))
        name = classes.get(item.get("category_id"), "")
        trust, parent = item.get("trust", item.get("score")), item.get("parent")
        objects[key] = ObjectFacts(
            name=str(item.get("name", "")),
            class_name="" if name == NO_CLASS else name,
            state=str(item.get("state", "")),
            trust=None if trust is None else float(trust),
            parent=None if parent is None else int(parent),
        )
    order = [by_image[image["id"]] for image in images]
    outer = grid.shape[:-2]
    shared = 0

    def draw(place: tuple[int, ...]) -> NDArray[Any]:
        nonlocal shared
        number = int(np.ravel_multi_index(place, outer)) if outer else 0
        plane = np.zeros(size, dtype)
        for key, segmentation in order[number]:
            mask = _mask(segmentation, size)
            shared += int(np.count_nonzero(mask & (plane > 0)))
            plane[mask & (plane == 0)] = key
        return plane

    dtype = smallest_dtype(max(objects, default=0))
    labels = stacked(draw, outer, size, dtype)
    if shared:
        notes.append(
            f"{shared} pixels belong to two annotations: labels hold one object a pixel, "
            f"the first keeps them."
        )
    return ImportedLabels(labels, grid, objects, tuple(notes))


def _mask(segmentation: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    if isinstance(segmentation, dict):
        height, width = (int(n) for n in segmentation["size"])
        counts = segmentation["counts"]
        if isinstance(counts, str):
            mask = decode(MaskRLE(size=(height, width), counts=counts))
        else:
            values = np.arange(len(counts)) % 2 == 1
            mask = np.repeat(values, counts).reshape((height, width), order="F")
        if mask.shape != size:
            raise ImageError(f"A mask of {mask.shape} is in an image of {size}.")
        return mask
    mask = np.zeros(size, dtype=bool)
    for flat in segmentation:
        corners = np.asarray(flat, dtype=float).reshape(-1, 2)
        # COCO counts from the outer corner of the first pixel, pixel centres at halves.
        rows, columns = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, size)
        mask[rows, columns] = True
    return mask
