"""OME-Zarr 0.5 (Zarr 3): labels as a pyramid, below the image where there is one.

The metadata are those of ngff.openmicroscopy.org/0.5. They are made here because no
library for them installs on every Python from 3.11 to 3.14; the tests let one check them.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import making_folder
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.io.calibration import canonical_unit

from .subject import plural, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_cellprompt.io.objects import ObjectFacts

    from .subject import ExportSubject, Survey

__all__ = ["LABELS", "OME_UNITS", "losses", "write"]

LABELS = "cells"
"""Name of the labels below an image."""
OME_UNITS = {
    "um": "micrometer",
    "nm": "nanometer",
    "pm": "picometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "angstrom": "angstrom",
    "inch": "inch",
}
"""How OME-Zarr writes units of length."""
_VERSION = "0.5"
_CHUNK = 1024
# Levels are halved until the longer side is not above this.
_SMALLEST = 512


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the file cannot hold."""
    del seen
    unit = canonical_unit(subject.unit)
    if unit != "pixel" and unit not in OME_UNITS:
        return (f"OME-Zarr has no unit {unit}: steps are kept, their unit is not.",)
    parents = sum(facts.parent is not None for facts in subject.objects.values())
    if parents:
        return (
            f"{plural(parents, 'object has', 'objects have')} a parent; OME-Zarr readers "
            f"show it as a property, not as a lineage (GEFF is for that).",
        )
    return ()


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write a folder that ends in ``.zarr``; planes go into it one by one.

    With an image, that is the root and the labels are ``labels/cells``; without, the root
    itself holds the labels. Coarser levels are every second pixel along Y and X. Class,
    state, trust and parent are properties of ``image-label``.
    """
    import zarr

    with making_folder(path) as folder:
        root = zarr.create_group(store=str(folder), zarr_format=3)
        group = root
        if subject.image is not None:
            group = root.create_group("labels").create_group(LABELS)
            root["labels"].attrs["ome"] = {"version": _VERSION, "labels": [LABELS]}
        levels = _levels(group, subject, subject.axes, smallest_dtype(seen.largest))
        about = _multiscales(subject, subject.axes, len(levels), subject.name)
        about["image-label"] = _image_label(subject, seen)
        group.attrs["ome"] = about
        pictures: list[Any] = []
        axes = subject.axes
        if subject.image is not None:
            axes = _image_axes(subject)
            dtype = np.dtype(subject.image.data.dtype)
            # Zarr has no half-known types: booleans are written as they are shown.
            dtype = np.dtype(np.uint8) if dtype.kind == "b" else dtype
            pictures = _levels(root, subject, axes, dtype)
            root.attrs["ome"] = _multiscales(subject, axes, len(pictures), subject.name)
        for plane in subject.planes(progress):
            key = tuple(plane.at.values())
            for number, level in enumerate(levels):
                step = 2**number
                level[key] = plane.labels[::step, ::step].astype(level.dtype)
            if pictures:
                pixels = subject.image_plane(plane.at)
                for number, level in enumerate(pictures):
                    step = 2**number
                    part = pixels[:, ::step, ::step].astype(level.dtype)
                    time = key[: axes.startswith("T")]
                    rest = key[len(time) :]
                    if "C" in axes:
                        level[(*time, slice(None), *rest)] = part
                    else:
                        level[key] = part[0]


def _image_axes(subject: ExportSubject) -> str:
    if subject.channels < 2:
        return subject.axes
    return "".join(letter for letter in "TCZYX" if letter == "C" or letter in subject.axes)


def _levels(
    group: Any, subject: ExportSubject, axes: str, dtype: np.dtype[Any]
) -> list[Any]:
    """Make the arrays of a pyramid, ``0`` the finest."""
    height, width = subject.length("Y"), subject.length("X")
    levels: list[Any] = []
    while True:
        step = 2 ** len(levels)
        sides = (-(-height // step), -(-width // step))
        outer = [
            subject.channels if letter == "C" else subject.length(letter)
            for letter in axes[:-2]
        ]
        levels.append(
            group.create_array(
                str(len(levels)),
                shape=(*outer, *sides),
                chunks=(*[1] * len(outer), *(min(_CHUNK, side) for side in sides)),
                dtype=dtype,
                fill_value=0,
                dimension_names=list(axes.lower()),
            )
        )
        if max(sides) <= _SMALLEST:
            return levels


def _multiscales(
    subject: ExportSubject, axes: str, levels: int, name: str
) -> dict[str, Any]:
    described: list[dict[str, str]] = []
    for letter in axes:
        axis = {"name": letter.lower(), "type": _type_of(letter)}
        unit = OME_UNITS.get(canonical_unit(subject.unit))
        if letter == "T" and "T" in subject.grid.known:
            axis["unit"] = "second"
        elif letter in "ZYX" and unit is not None:
            axis["unit"] = unit
        described.append(axis)
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": _steps(subject, axes, 2**level)}
            ],
        }
        for level in range(levels)
    ]
    scales = {"name": name, "axes": described, "datasets": datasets, "type": "nearest"}
    return {"version": _VERSION, "multiscales": [scales]}


def _type_of(letter: str) -> str:
    return {"T": "time", "C": "channel"}.get(letter, "space")


def _steps(subject: ExportSubject, axes: str, factor: int) -> Sequence[float]:
    return [
        subject.step(letter) * (factor if letter in "YX" else 1) if letter != "C" else 1.0
        for letter in axes
    ]


def _image_label(subject: ExportSubject, seen: Survey) -> dict[str, Any]:
    # Readers want each object in both lists or in none.
    about: dict[str, Any] = {
        "colors": [{"label-value": key, "rgba": _colour(key)} for key in seen.frames],
        "properties": [
            {"label-value": key} | _said(subject.facts(key)) for key in seen.frames
        ],
    }
    if subject.image is not None:
        about["source"] = {"image": "../../"}
    return about


def _said(facts: ObjectFacts) -> dict[str, Any]:
    said = {
        "name": facts.name,
        "class": facts.class_name,
        "state": facts.state,
        "trust": facts.trust,
        "parent": facts.parent,
    }
    return {name: value for name, value in said.items() if value not in (None, "")}


def _colour(key: int) -> list[int]:
    """Red, green, blue and opacity; hues of ids that follow each other are far apart."""
    red, green, blue = colorsys.hsv_to_rgb(key * 0.618034 % 1, 0.75, 1)
    return [round(255 * part) for part in (red, green, blue, 1)]
