"""Images with known objects on the disk: a folder of NAME_img.tif and NAME_lab.tif."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import ImageError

from .folders import natural_order
from .image_files import ImageFile, read_image
from .label_tiff import read_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["DataSet", "Pair", "find_sets", "read_pair"]

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class DataSet:
    """An image, its labels, and what is known of their axes."""

    name: str
    image: Path
    labels: Path
    axes: str | None = None
    """Letters out of Q (unrelated images), T, C, Z, Y, X and S; None: the file says so."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """An image and its labels, which fit each other."""

    image: ImageFile
    labels: NDArray[Any]
    """Along the axes of the image but C and S."""
    axes: str
    """Letters of ``labels``, Y and X last."""
    channel: int | None
    """The one that is looked at: the first of several."""
    unrelated: bool
    """Whether the planes are images that have nothing to do with each other."""

    def positions(self) -> Iterator[dict[str, int]]:
        """Every position along the axes before Y and X."""
        outer = self.axes[:-2]
        for place in product(*(range(length) for length in self.labels.shape[:-2])):
            yield dict(zip(outer, place, strict=True))


def read_pair(item: DataSet) -> Pair:
    """Read an image and its labels.

    Raises
    ------
    ImageError
        When a file cannot be read, or image and labels do not fit each other.
    """
    # unrelated images are stored as a movie would be
    stored = None if item.axes is None else item.axes.replace("Q", "T")
    image = read_image(item.image, stored)
    flat = "".join(letter for letter in image.axes if letter not in "CS")
    as_stored = None if stored is None else "".join(x for x in stored if x not in "CS")
    labels = read_labels(item.labels, as_stored or flat).labels
    lengths = dict(zip(image.axes, image.data.shape, strict=True))
    expected = tuple(int(lengths[letter]) for letter in flat)
    if labels.shape != expected:
        raise ImageError(
            f"{item.labels.name} has the shape {labels.shape}, but {item.image.name} "
            f"needs {expected}."
        )
    channel = 0 if "C" in image.axes else None
    unrelated = item.axes is not None and "Q" in item.axes
    return Pair(image, labels, flat, channel, unrelated)


def find_sets(folder: Path, names: set[str] | None = None) -> list[DataSet]:
    """List the pairs of image and labels in a folder.

    Parameters
    ----------
    folder
        Holds ``NAME_img.tif`` and ``NAME_lab.tif``, also in folders within. A file
        ``manifest.json``, where there is one, lists them: objects with ``name``,
        ``img``, ``lab`` (paths from the folder) and ``axes``.
    names
        Only these; None for all.

    Raises
    ------
    ImageError
        When there is no such folder, or no pair in it, or the manifest cannot be used.
    """
    if not folder.is_dir():
        raise ImageError(f"There is no folder {folder}.")
    manifest = folder / MANIFEST
    sets = _listed(manifest) if manifest.is_file() else _paired(folder)
    if names is not None:
        unknown = sorted(names - {item.name for item in sets})
        if unknown:
            raise ImageError(
                f"{folder} holds no data set named {unknown[0]}; there are "
                f"{', '.join(item.name for item in sets)}."
            )
        sets = [item for item in sets if item.name in names]
    if not sets:
        raise ImageError(f"{folder} holds no pair of files NAME_img.tif and NAME_lab.tif.")
    return sets


def _paired(folder: Path) -> list[DataSet]:
    sets = []
    for image in sorted(folder.rglob("*_img.tif*"), key=natural_order):
        name = image.name[: image.name.rindex("_img.tif")]
        labels = image.with_name(f"{name}_lab{image.suffix}")
        if not labels.is_file():
            raise ImageError(f"{image} has no labels: {labels.name} is missing beside it.")
        sets.append(DataSet(name, image, labels))
    return sets


def _listed(manifest: Path) -> list[DataSet]:
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ImageError(f"{manifest} cannot be read: {error}.") from error
    if not isinstance(entries, list):
        raise ImageError(f"{manifest} must hold a list of data sets.")
    sets = []
    for number, entry in enumerate(entries):
        values = [
            entry.get(key) if isinstance(entry, dict) else None
            for key in ("name", "img", "lab", "axes")
        ]
        if not all(isinstance(value, str) and value for value in values):
            raise ImageError(
                f"{manifest}: entry {number} needs the texts name, img, lab and axes."
            )
        name, image, labels, axes = (str(value) for value in values)
        sets.append(
            DataSet(name, manifest.parent / image, manifest.parent / labels, axes.upper())
        )
    return sets
