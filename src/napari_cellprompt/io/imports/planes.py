"""Label stacks from folders with a TIFF for each plane or frame."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.folders import natural_order
from napari_cellprompt.io.image_files import TIFF_SUFFIXES, LabelGrid
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.objects import ImportedLabels, ObjectFacts

from .drawing import stacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["is_ctc", "read_ctc", "read_planes", "tiffs_in"]

_MASK = re.compile(r"(?:mask|man_track)(\d+)\.tiff?$", re.IGNORECASE)
_PLACE = re.compile(r"(?:^|_)([tz])(\d+)(?=_|\.|$)")
_TABLES = ("res_track.txt", "man_track.txt")


def tiffs_in(folder: Path) -> list[Path]:
    """The TIFFs of a folder in natural order, without hidden ones."""
    return sorted(
        (
            path
            for path in folder.iterdir()
            if path.suffix.lower() in TIFF_SUFFIXES and not path.name.startswith(".")
        ),
        key=natural_order,
    )


def is_ctc(path: Path) -> bool:
    """Whether a folder is one of the Cell Tracking Challenge, with its table."""
    return any((path / name).is_file() for name in _TABLES)


def read_planes(folder: Path, axes: str | None = None) -> ImportedLabels:
    """Read a folder with one label TIFF for each plane.

    Names that hold places, as in ``cells_t003_z012.tif``, are believed; without them the
    files are planes along Z in natural order, or along T with the axes TYX.

    Parameters
    ----------
    folder
        All its TIFFs are planes, YX, of one size.
    axes
        Letters of the stack, such as TYX.

    Raises
    ------
    ImageError
        Where planes are missing or do not fit together.
    """
    files = tiffs_in(folder)
    if not files:
        raise ImageError(f"The folder {folder} holds no TIFFs.")
    places = [
        {axis.upper(): int(number) for axis, number in _PLACE.findall(path.name)}
        for path in files
    ]
    notes: tuple[str, ...] = ()
    letters = "".join(letter for letter in "TZ" if letter in places[0])
    if not letters and len(files) > 1:
        letters = "Z" if axes is None else axes.upper().removesuffix("YX")
        if letters not in ("T", "Z"):
            raise ImageError(
                f"The names of the {len(files)} files in {folder} do not say where they "
                f"belong (as in cells_t003_z012.tif), and the axes {axes} name more than "
                f"one axis for them."
            )
        places = [{letters: number} for number in range(len(files))]
        if axes is None:
            notes = (
                f"The files of {folder.name} are taken as planes along Z; if they are "
                f"frames, say --axes TYX.",
            )
    outer = [max(place.get(letter, 0) for place in places) + 1 for letter in letters]
    known = {
        tuple(place.get(letter, 0) for letter in letters): path
        for place, path in zip(places, files, strict=True)
    }
    if len(known) != len(files) or len(known) != math.prod(outer):
        raise ImageError(
            f"{folder.name} holds {len(files)} TIFFs for {math.prod(outer)} planes "
            f"({letters}: {', '.join(map(str, outer))}): each must be there once."
        )
    return _stack(known, outer, letters, notes)


def read_ctc(folder: Path) -> ImportedLabels:
    """Read masks and tracks of the Cell Tracking Challenge, results or annotations.

    Raises
    ------
    ImageError
        Where masks are missing, or the table cannot be read.
    """
    files = [(int(found[1]), path) for path in tiffs_in(folder) if (found := _match(path))]
    times = sorted(time for time, _ in files)
    if not files or times != list(range(len(files))):
        raise ImageError(
            f"{folder.name} must hold mask000.tif, mask001.tif and so on, each once: got "
            f"{len(files)} masks, up to number {times[-1] if times else 'none'}."
        )
    table = next(folder / name for name in _TABLES if (folder / name).is_file())
    objects: dict[int, ObjectFacts] = {}
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            label, _, _, parent = (int(field) for field in fields)
        except ValueError as error:
            raise ImageError(
                f"{table.name}, line {number}: a track is four whole numbers (label, "
                f"first, last, parent), got {line!r}."
            ) from error
        objects[label] = ObjectFacts(parent=parent or None)
    stack = _stack({(time,): path for time, path in files}, [len(files)], "T", ())
    return ImportedLabels(stack.labels, stack.grid, objects, stack.notes)


def _match(path: Path) -> re.Match[str] | None:
    return _MASK.match(path.name)


def _stack(
    files: Mapping[tuple[int, ...], Path],
    outer: Sequence[int],
    letters: str,
    notes: tuple[str, ...],
) -> ImportedLabels:
    """Files as one array; each is a plane, or a volume below a T axis."""
    first = read_labels(files[min(files)])
    if letters + first.axes not in ("YX", "ZYX", "TYX", "TZYX"):
        raise ImageError(
            f"{files[min(files)].name} has the axes {first.axes}, which do not make a "
            f"stack along {letters or 'nothing'}."
        )
    shape = first.labels.shape
    dtype = _common_type(list(files.values()))

    def draw(place: tuple[int, ...]) -> NDArray[Any]:
        labels = read_labels(files[place]).labels
        if labels.shape != shape:
            raise ImageError(
                f"{files[place].name} is of another size than the files before it: "
                f"{labels.shape}, not {shape}."
            )
        return labels

    grid = LabelGrid(
        shape=(*outer, *shape),
        axes=letters + first.axes,
        scale=(*[1.0] * len(outer), *first.scale),
        unit=first.unit,
        known=first.known,
    )
    return ImportedLabels(stacked(draw, outer, shape, dtype), grid, {}, notes)


def _common_type(files: Sequence[Path]) -> np.dtype[Any]:
    """A type that holds the labels of all files: a later one may have larger ids."""
    kinds = []
    for path in files:
        with tifffile.TiffFile(path) as tif:
            kinds.append(np.dtype(tif.pages.first.dtype or np.uint32))
    if all(kind.kind == "u" for kind in kinds):
        return np.dtype(np.result_type(*kinds))
    return np.dtype(np.uint32)
