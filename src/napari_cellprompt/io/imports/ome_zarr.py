"""Labels from OME-Zarr, version 0.4 (Zarr 2) or 0.5 (Zarr 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.io.calibration import canonical_unit, converted, seconds
from napari_cellprompt.io.image_files import LabelGrid
from napari_cellprompt.io.objects import ImportedLabels, ObjectFacts

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_ome_zarr"]


def read_ome_zarr(path: Path) -> ImportedLabels:
    """Open labels of an OME-Zarr; they stay on the disk until they are looked at.

    Parameters
    ----------
    path
        An image with labels, of which the first are read; or labels themselves.

    Raises
    ------
    ImageError
        Where it holds no labels, or cannot be read.
    """
    try:
        import zarr
    except ImportError as error:
        raise ImageError(
            "OME-Zarr needs the package zarr: pip install napari-cellprompt[export]."
        ) from error
    try:
        root = zarr.open_group(str(path), mode="r")
        return _labels(path, root)
    except CellpromptError:
        raise
    # Damaged metadata raise errors of many kinds.
    except Exception as error:
        raise ImageError(
            f"{path.name} cannot be read as OME-Zarr: {type(error).__name__} {error}."
        ) from error


def _said(group: Any) -> dict[str, Any]:
    """Metadata of a group; 0.5 has them under a key of their own."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome", attributes)
    return dict(inner)


def _labels(path: Path, root: Any) -> ImportedLabels:
    notes: list[str] = []
    group, said = root, _said(root)
    if "labels" in root:
        names = list(_said(root["labels"]).get("labels", ()))
        if not names:
            raise ImageError(f"{path.name} names no labels.")
        if len(names) > 1:
            notes.append(f"Of the labels {', '.join(names)} the first are read.")
        group = root["labels"][names[0]]
        said = _said(group)
    elif "image-label" not in said:
        raise ImageError(f"{path.name} is an image without labels.")
    scales = said["multiscales"][0]
    finest = scales["datasets"][0]
    array = group[finest["path"]]
    if np.dtype(array.dtype).kind not in "biu":
        raise ImageError(f"{path.name} holds no labels: they are of type {array.dtype}.")
    axes = scales["axes"]
    letters = "".join(str(axis["name"]).upper() for axis in axes)
    steps = next(
        item["scale"]
        for item in finest["coordinateTransformations"]
        if item["type"] == "scale"
    )
    # A channel of labels has no meaning; where it is one long it is left out.
    key: tuple[Any, ...] = tuple(0 if letter == "C" else slice(None) for letter in letters)
    data: Any = array
    if "C" in letters:
        if array.shape[letters.index("C")] != 1:
            raise ImageError(f"{path.name}: labels with several channels ({letters}).")
        import dask.array as da

        data = da.from_zarr(array)[key]
    kept = [place for place, letter in enumerate(letters) if letter != "C"]
    grid = _grid(
        tuple(int(n) for n in data.shape),
        [axes[place] for place in kept],
        [float(steps[place]) for place in kept],
    )
    return ImportedLabels(data, grid, _objects(said.get("image-label", {})), tuple(notes))


def _grid(shape: tuple[int, ...], axes: list[Any], steps: list[float]) -> LabelGrid:
    letters = "".join(str(axis["name"]).upper() for axis in axes)
    if not {*"YX"} <= {*letters} <= {*"TZYX"}:
        raise ImageError(f"Labels with the axes {letters} are not known here.")
    units = {str(axis["name"]).upper(): str(axis.get("unit", "")) for axis in axes}
    unit = canonical_unit(units["X"])
    known = ""
    for place, letter in enumerate(letters):
        step: float | None
        if letter == "T":
            step = seconds(steps[place], units["T"]) if units["T"] else None
        else:
            step = converted(steps[place], units[letter], unit) if unit != "pixel" else None
        if step is not None:
            steps[place], known = step, known + letter
    return LabelGrid(shape, letters, tuple(steps), unit, known)


def _objects(said: dict[str, Any]) -> dict[int, ObjectFacts]:
    objects = {}
    for item in said.get("properties", ()):
        trust, parent = item.get("trust"), item.get("parent")
        objects[int(item["label-value"])] = ObjectFacts(
            name=str(item.get("name", "")),
            class_name=str(item.get("class", "")),
            state=str(item.get("state", "")),
            trust=None if trust is None else float(trust),
            parent=None if parent is None else int(parent),
        )
    return objects
