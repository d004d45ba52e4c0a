"""Labels from training folders of Cellpose, StarDist and micro-sam."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.io.image_files import LabelGrid
from napari_cellprompt.io.objects import ImportedLabels

from .drawing import stacked
from .planes import tiffs_in

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["is_training", "read_training"]

_PLACE = re.compile(r"_([tz])(\d+)(?=_|\.|$)")


def is_training(path: Path) -> bool:
    """Whether a folder is one of images with labels."""
    return bool(_labels_in(path))


def read_training(folder: Path, like: LabelGrid | None = None) -> ImportedLabels:
    """Read the labels of a training folder as one stack; planes that it lacks are empty.

    Parameters
    ----------
    folder
        With ``NAME_masks.tif``, or with files in ``masks`` or ``labels``; places along T
        and Z are in the names, as in ``cells_t003_z012.tif``.
    like
        Grid of the image; None: up to the last place that is named.

    Raises
    ------
    ImageError
        Where names hold no places, or planes are of several sizes.
    """
    files = _labels_in(folder)
    if not files:
        raise ImageError(f"The folder {folder} holds no labels to train with.")
    places = [
        {axis.upper(): int(index) for axis, index in _PLACE.findall(path.stem)}
        for path in files
    ]
    letters = "".join(letter for letter in "TZ" if letter in places[0])
    if any(set(place) != set(letters) for place in places) or (
        not letters and len(files) > 1
    ):
        raise ImageError(
            f"The labels in {folder.name} are not planes of one stack: their names do not "
            f"say where they belong (as in cells_t003_z012.tif)."
        )
    outer = tuple(max(place[letter] for place in places) + 1 for letter in letters)
    size = _plane(files[0]).shape
    if like is not None:
        if like.axes != letters + "YX" or like.shape[-2:] != size:
            raise ImageError(f"{folder.name} does not fit an image of {like.shape}.")
        outer = like.shape[:-2]
    known = {
        tuple(place[letter] for letter in letters): path
        for place, path in zip(places, files, strict=True)
    }
    largest, ignored = 0, 0
    for path in files:
        plane = _plane(path)
        if plane.shape != size:
            raise ImageError(f"{path.name} is of another size than the other labels.")
        largest, ignored = max(largest, int(plane.max())), ignored + int((plane < 0).any())
    dtype = smallest_dtype(max(largest, 0))

    def draw(place: tuple[int, ...]) -> NDArray[Any]:
        if place not in known:
            return np.zeros(size, dtype)
        plane: NDArray[Any] = np.maximum(_plane(known[place]), 0).astype(dtype)
        return plane

    grid = like or LabelGrid(
        (*outer, *size), letters + "YX", (1.0,) * (len(outer) + 2), "pixel"
    )
    notes = []
    if ignored:
        notes.append("Pixels that training ignores (-1) have no object here.")
    return ImportedLabels(stacked(draw, outer, size, dtype), grid, {}, tuple(notes))


def _labels_in(folder: Path) -> list[Path]:
    for name in ("masks", "labels"):
        if (folder / name).is_dir() and (folder / "images").is_dir():
            return tiffs_in(folder / name)
    return [path for path in tiffs_in(folder) if path.stem.endswith("_masks")]


def _plane(path: Path) -> NDArray[Any]:
    """Labels of a file, with what is below 0 left as it is."""
    plane = np.asarray(tifffile.imread(path))
    if plane.ndim != 2 or plane.dtype.kind not in "iu":
        raise ImageError(f"{path.name} holds no labels of one plane.")
    return plane
