"""COCO JSON: each plane an image, each object on it an annotation with its run lengths."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.masks.labels import masks_of
from napari_cellprompt.core.masks.rle import encode_part

from .subject import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .subject import ExportSubject, Plane, Survey

__all__ = ["GRID_KEY", "NO_CLASS", "losses", "write"]

GRID_KEY = "cellprompt"
"""Key of the file under which axes, lengths, steps and unit are."""
NO_CLASS = "object"
"""Category of objects without a class."""


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the file cannot hold: nothing is lost."""
    del subject, seen
    return ()


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write the file; annotations go into it plane by plane.

    Run lengths are COCO's compressed ones, boxes ``x, y, width, height``. ``object_id`` is
    the label: one object has an annotation on each plane on which it is.
    """
    classes = sorted({subject.facts(key).class_name for key in seen.frames} or {""})
    categories = {name: number for number, name in enumerate(classes, start=1)}
    head = {
        "info": {"description": f"Labels of {subject.name}"},
        GRID_KEY: {
            "axes": subject.axes,
            "shape": subject.shape,
            "scale": [subject.step(letter) for letter in subject.axes],
            "unit": subject.unit,
            "known": subject.grid.known,
        },
        "categories": [
            {"id": number, "name": name or NO_CLASS} for name, number in categories.items()
        ],
        "images": [_image(subject, n, at) for n, at in enumerate(subject.positions(), 1)],
    }
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head)[:-1] + ', "annotations": [')
        number = 0
        for place, plane in enumerate(subject.planes(progress), start=1):
            for entry in _annotations(subject, plane, categories):
                number += 1
                text = json.dumps({"id": number, "image_id": place} | entry)
                file.write(("\n" if number == 1 else ",\n") + text)
        file.write("]}\n")


def _image(subject: ExportSubject, number: int, at: dict[str, int]) -> dict[str, Any]:
    place = "_".join(f"{axis.lower()}{index:03d}" for axis, index in at.items())
    return {
        "id": number,
        "file_name": "_".join(part for part in (subject.name, place) if part) + ".tif",
        "height": subject.length("Y"),
        "width": subject.length("X"),
    } | {axis.lower(): index for axis, index in at.items()}


def _annotations(
    subject: ExportSubject, plane: Plane, categories: dict[str, int]
) -> Iterator[dict[str, Any]]:
    height, width = (int(n) for n in plane.labels.shape)
    for object_id, mask in masks_of(plane.labels):
        y, x = mask.origin
        facts = subject.facts(object_id)
        entry: dict[str, Any] = {
            "object_id": object_id,
            "category_id": categories[facts.class_name],
            "segmentation": {
                "size": [height, width],
                "counts": encode_part(mask.data, (y, x), (height, width)).counts,
            },
            "area": mask.area,
            "bbox": [x, y, int(mask.data.shape[1]), int(mask.data.shape[0])],
            "iscrowd": 0,
        }
        said = {
            "name": facts.name,
            "state": facts.state,
            "trust": facts.trust,
            "parent": facts.parent,
        }
        yield entry | {key: value for key, value in said.items() if value not in (None, "")}
