"""Prompts of many objects as JSON, for scripts, the command line and sessions."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.core.types import MaskRLE, Prompts, Stroke

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

__all__ = [
    "ObjectPrompts",
    "objects_from_json",
    "objects_to_json",
    "read_prompt_file",
    "write_prompt_file",
]

VERSION = 1
_OBJECT_KEYS = ("id", "plane", "at", "points", "labels", "box", "mask", "sketch", "strokes")
_MAX_ID = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ObjectPrompts:
    """What was said about one object on one plane."""

    id: int
    plane: int | None
    """Position along the axis that is propagated along; None for a 2D image."""
    at: dict[str, int] = field(default_factory=dict)
    """Position along the other axes, by letter; 0 where it is left out."""
    prompts: Prompts = field(default_factory=Prompts)


def read_prompt_file(path: str | os.PathLike[str]) -> list[ObjectPrompts]:
    """Read the prompts of a JSON file.

    Raises
    ------
    PromptError
        One sentence that names the file and the place in it.
    """
    name = Path(path).name
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PromptError(f"{name} is no text file: {error.reason}.") from error
    except OSError as error:
        raise PromptError(
            f"The prompts cannot be read from {path}: {error.strerror or error}."
        ) from error
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PromptError(f"{name} is not valid JSON: {error}.") from error
    return objects_from_json(content, source=name)


def write_prompt_file(
    path: str | os.PathLike[str], objects: Iterable[ObjectPrompts]
) -> Path:
    """Write prompts as JSON, completely or not at all.

    Raises
    ------
    SaveError
        When the file cannot be written.
    """
    text = json.dumps(objects_to_json(objects), indent=1, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def objects_to_json(objects: Iterable[ObjectPrompts]) -> dict[str, Any]:
    """Return the prompts as plain dicts and lists, ready for ``json``."""
    return {"version": VERSION, "objects": [_to_json(item) for item in objects]}


def objects_from_json(content: Any, source: str = "prompts") -> list[ObjectPrompts]:
    """Check what ``json`` has read and turn it into prompts.

    Parameters
    ----------
    content
        ``{"version": 1, "objects": [...]}``.
    source
        Name of the file, for messages.

    Raises
    ------
    PromptError
        One sentence that names the source and the place in it.
    """
    reader = _Reader(source)
    reader.keys(content, "the file", ("version", "objects"))
    if content.get("version") != VERSION or isinstance(content["version"], bool):
        reader.fail("version", f"must be {VERSION}", content.get("version"))
    if not isinstance(content.get("objects"), list):
        reader.fail("objects", "must be a list", content.get("objects"))
    objects = [
        reader.object(item, f"objects[{i}]") for i, item in enumerate(content["objects"])
    ]
    seen: dict[tuple[Any, ...], int] = {}
    for i, item in enumerate(objects):
        place = (item.id, item.plane, tuple(sorted(item.at.items())))
        if place in seen:
            raise PromptError(
                f"{source}: objects[{i}] is the same object on the same plane as "
                f"objects[{seen[place]}]; put their points into one."
            )
        seen[place] = i
    return objects


def _to_json(item: ObjectPrompts) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": item.id}
    if item.plane is not None:
        entry["plane"] = item.plane
    if item.at:
        entry["at"] = dict(item.at)
    prompts = item.prompts
    if prompts.points:
        entry["points"] = [list(point) for point in prompts.points]
        entry["labels"] = list(prompts.labels)
    if prompts.box is not None:
        entry["box"] = list(prompts.box)
    if prompts.mask is not None:
        entry["mask"] = {"size": list(prompts.mask.size), "counts": prompts.mask.counts}
    if prompts.sketch:
        entry["sketch"] = True
    if prompts.strokes:
        entry["strokes"] = [
            {"path": [list(corner) for corner in path], "label": label}
            for path, label in prompts.strokes
        ]
    return entry


class _Reader:
    """Checks values and words what is wrong with them."""

    def __init__(self, source: str) -> None:
        self._source = source

    def fail(self, place: str, rule: str, value: Any) -> None:
        shown = json.dumps(value, default=str)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise PromptError(f"{self._source}: {place} {rule}: got {shown}.")

    def keys(self, value: Any, place: str, known: Sequence[str]) -> None:
        if not isinstance(value, dict):
            self.fail(place, f"must be an object with the keys {', '.join(known)}", value)
        for key in value:
            if key not in known:
                raise PromptError(
                    f"{self._source}: {place} has an unknown key {key!r}; known are "
                    f"{', '.join(known)}."
                )

    def integer(self, value: Any, place: str, low: int, high: int | None = None) -> int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < low or (high is not None and value > high):
            limits = f"from {low} up" if high is None else f"from {low} to {high}"
            self.fail(place, f"must be a whole number {limits}", value)
        return int(value)

    def numbers(
        self, value: Any, place: str, count: int, meaning: str
    ) -> tuple[float, ...]:
        if (
            not isinstance(value, list)
            or len(value) != count
            or not all(
                isinstance(number, int | float)
                and not isinstance(number, bool)
                and math.isfinite(number)
                for number in value
            )
        ):
            self.fail(place, f"must be {count} finite numbers {meaning}", value)
        return tuple(float(number) for number in value)

    def object(self, value: Any, place: str) -> ObjectPrompts:
        self.keys(value, place, _OBJECT_KEYS)
        if "id" not in value:
            raise PromptError(f"{self._source}: {place} has no id.")
        return ObjectPrompts(
            id=self.integer(value["id"], f"{place}.id", 1, _MAX_ID),
            plane=(
                self.integer(value["plane"], f"{place}.plane", 0)
                if value.get("plane") is not None
                else None
            ),
            at=self._at(value.get("at", {}), f"{place}.at"),
            prompts=self._prompts(value, place),
        )

    def _at(self, value: Any, place: str) -> dict[str, int]:
        self.keys(value, place, ("T", "Z", "C"))
        return {key: self.integer(item, f"{place}.{key}", 0) for key, item in value.items()}

    def _prompts(self, value: dict[str, Any], place: str) -> Prompts:
        points = value.get("points", [])
        if not isinstance(points, list):
            self.fail(f"{place}.points", "must be a list of pairs [x, y]", points)
        pairs = [
            self.numbers(point, f"{place}.points[{i}]", 2, "[x, y]")
            for i, point in enumerate(points)
        ]
        labels = value.get("labels", [1] * len(pairs))
        if not isinstance(labels, list) or len(labels) != len(pairs):
            self.fail(
                f"{place}.labels",
                f"must be a list of one value per point ({len(pairs)})",
                labels,
            )
        box = mask = None
        if value.get("box") is not None:
            box = self.numbers(value["box"], f"{place}.box", 4, "[x0, y0, x1, y1]")
            if not (box[0] < box[2] and box[1] < box[3]):
                self.fail(f"{place}.box", "must have x0 < x1 and y0 < y1", value["box"])
        if value.get("mask") is not None:
            mask = self._mask(value["mask"], f"{place}.mask")
        strokes = self._strokes(value.get("strokes", []), f"{place}.strokes")
        if not pairs and not strokes and box is None and mask is None:
            raise PromptError(
                f"{self._source}: {place} has no prompt; it needs points, strokes, a box "
                f"or a mask."
            )
        return Prompts(
            points=tuple((x, y) for x, y in pairs),
            labels=tuple(
                self.integer(label, f"{place}.labels[{i}]", 0, 1)
                for i, label in enumerate(labels)
            ),
            box=None if box is None else (box[0], box[1], box[2], box[3]),
            mask=mask,
            strokes=strokes,
            sketch=self._flag(value.get("sketch", False), f"{place}.sketch"),
        )

    def _flag(self, value: Any, place: str) -> bool:
        if not isinstance(value, bool):
            self.fail(place, "must be true or false", value)
        return bool(value)

    def _strokes(self, value: Any, place: str) -> tuple[Stroke, ...]:
        if not isinstance(value, list):
            self.fail(place, "must be a list of objects with a path", value)
        strokes: list[Stroke] = []
        for i, item in enumerate(value):
            here = f"{place}[{i}]"
            self.keys(item, here, ("path", "label"))
            path = item.get("path")
            if not isinstance(path, list) or not path:
                self.fail(f"{here}.path", "must be a list of pairs [x, y]", path)
            corners = [
                self.numbers(corner, f"{here}.path[{k}]", 2, "[x, y]")
                for k, corner in enumerate(item["path"])
            ]
            label = self.integer(item.get("label", 1), f"{here}.label", 0, 1)
            strokes.append((tuple((x, y) for x, y in corners), label))
        return tuple(strokes)

    def _mask(self, value: Any, place: str) -> MaskRLE:
        self.keys(value, place, ("size", "counts"))
        size = value.get("size")
        if not isinstance(size, list) or len(size) != 2:
            self.fail(f"{place}.size", "must be [rows, columns]", size)
        if not isinstance(value.get("counts"), str):
            self.fail(
                f"{place}.counts", "must be a COCO run-length string", value.get("counts")
            )
        rle = MaskRLE(
            size=(
                self.integer(value["size"][0], f"{place}.size[0]", 1),
                self.integer(value["size"][1], f"{place}.size[1]", 1),
            ),
            counts=value["counts"],
        )
        try:
            decode(rle)
        except PromptError as error:
            raise PromptError(
                f"{self._source}: {place}.counts is damaged: {error}"
            ) from error
        return rle
