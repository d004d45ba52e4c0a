"""OME-Zarr: images of any size are read where they lie, labels are written block by block.

Read are versions 0.4 and 0.5 (https://ngff.openmicroscopy.org), and zarr arrays without
metadata; written is 0.4, which most programs open.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.core.images.planes import planes_last

from .calibration import canonical_unit, seconds
from .image_types import ImageFile, LabelGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LabelStore", "is_zarr", "read_zarr"]

_LONG_NAMES = {
    "um": "micrometer",
    "nm": "nanometer",
    "pm": "picometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
}
"""Of units, as OME-Zarr wants them."""
_SMALL = 1024
"""Side in pixels of a plane that needs no smaller copy."""


def is_zarr(path: Path) -> bool:
    """Whether a folder holds a zarr array or group."""
    return path.is_dir() and any(
        (path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray")
    )


def read_zarr(path: Path, axes: str | None = None) -> ImageFile:
    """Open the image of an OME-Zarr at its full resolution; no pixel is read.

    Parameters
    ----------
    path
        Folder of a multiscale image, of a bioformats2raw collection (its first image is
        taken), or of a plain array.
    axes
        Letters of the stored axes, where the file says nothing or something wrong.

    Raises
    ------
    ImageError
        Where there is no image, its axes are not known, or zarr is not installed.
    """
    node = _open(path)
    notes: tuple[str, ...] = ()
    attributes = _ome(node)
    if "bioformats2raw.layout" in attributes and not hasattr(node, "shape"):
        notes = (f"{path.name} holds several images: the first is used.",)
        node = node["0"]
        attributes = _ome(node)
    if "plate" in attributes:
        raise ImageError(
            f"{path.name} is a plate: give one of its images, such as {path.name}/A/1/0."
        )
    if hasattr(node, "shape"):
        data, letters = planes_last(node, axes)
        return ImageFile(data, letters, (1.0,) * len(letters), "pixel", "", notes)
    try:
        multiscale = attributes["multiscales"][0]
        dataset = multiscale["datasets"][0]
        array = node[dataset["path"]]
    except (KeyError, IndexError, TypeError) as error:
        raise ImageError(
            f"{path.name} holds no image in the layout of OME-Zarr."
        ) from error
    said, units = _axes(multiscale.get("axes"))
    steps = _steps(dataset, multiscale, len(array.shape))
    data, letters = planes_last(array, axes or said)
    by_letter = dict(zip((axes or said or letters).upper(), steps, strict=False))
    unit = canonical_unit(units.get("X", "pixel"))
    if "T" in by_letter:
        by_letter["T"] = seconds(by_letter["T"], units.get("T", "second")) or 1.0
    known = "".join(letter for letter in letters if letter in units)
    scale = tuple(float(by_letter.get(letter, 1.0)) for letter in letters)
    return ImageFile(data, letters, scale, unit, known, notes)


@dataclass(frozen=True, slots=True)
class LabelStore:
    """A label image on its way into an OME-Zarr; workers write blocks of it.

    Blocks must not share chunks, else what one writes is lost by another.
    """

    path: Path
    """Folder that is written; moved to its name when all is there."""

    @classmethod
    def create(
        cls, path: Path, grid: LabelGrid, dtype: np.dtype[Any], chunk: int
    ) -> LabelStore:
        """Make an empty store; chunks have ``chunk`` rows and columns of one plane."""
        import zarr

        shutil.rmtree(path, ignore_errors=True)
        try:
            group = zarr.open_group(str(path), mode="w", zarr_format=2)
            chunks = (1,) * (len(grid.shape) - 2) + (chunk, chunk)
            _array(group, "0", grid.shape, chunks, dtype)
        except OSError as error:
            raise SaveError(f"Cannot write {path}: {error.strerror or error}.") from error
        return cls(path)

    @property
    def array(self) -> Any:
        """The labels at full resolution, to be read and written by slices."""
        return _open(self.path, "r+")["0"]

    def write(
        self, position: tuple[int, ...], y0: int, x0: int, labels: NDArray[Any]
    ) -> None:
        """Write a block ``(h, w)`` whose first pixel is at row y0, column x0 of a plane."""
        key = (*position, slice(y0, y0 + labels.shape[0]), slice(x0, x0 + labels.shape[1]))
        try:
            self.array[key] = labels
        except OSError as error:
            raise SaveError(
                f"Cannot write {self.path}: {error.strerror or error}."
            ) from error

    def finish(self, target: Path, grid: LabelGrid) -> Path:
        """Add smaller copies and the metadata, and move all to its name."""
        group = _open(self.path, "r+")
        count = 1
        try:
            while max(group[str(count - 1)].shape[-2:]) > _SMALL:
                _halve(group, count)
                count += 1
            group.attrs.update(_metadata(target.stem, grid, count))
            old = target.with_name(f".{target.name}.old")
            if target.exists():
                target.rename(old)
            self.path.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            raise SaveError(f"Cannot write {target}: {error.strerror or error}.") from error
        return target


def _open(path: Path, mode: Any = "r") -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImageError(
            f"{path.name} is an OME-Zarr, which needs the package zarr: pip install "
            "napari-cellprompt[batch]."
        ) from error
    return zarr.open(str(path), mode=mode)


def _ome(node: Any) -> dict[str, Any]:
    """The metadata of version 0.5, which lie one floor deeper, as those of 0.4."""
    attributes = dict(node.attrs)
    inner = attributes.get("ome")
    return {**attributes, **inner} if isinstance(inner, dict) else attributes


def _axes(written: Any) -> tuple[str | None, dict[str, str]]:
    """Letters of the axes, and the units of those that have one."""
    if not isinstance(written, list):
        return None, {}
    named = [item if isinstance(item, dict) else {"name": item} for item in written]
    letters = "".join(str(item.get("name", "?"))[:1] for item in named).upper()
    units = {
        letter: str(item["unit"])
        for letter, item in zip(letters, named, strict=True)
        if item.get("unit")
    }
    return letters, units


def _steps(dataset: Any, multiscale: Any, ndim: int) -> list[float]:
    """Step along each axis: the scale of the image times that of all its levels."""
    steps = [1.0] * ndim
    for holder in (multiscale, dataset):
        for item in holder.get("coordinateTransformations", ()):
            factors = item.get("scale", ()) if item.get("type") == "scale" else ()
            if len(factors) == ndim:
                steps = [a * float(b) for a, b in zip(steps, factors, strict=True)]
    return [step if 0 < step < math.inf else 1.0 for step in steps]


def _array(
    group: Any,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Any:
    return group.create_array(
        name,
        shape=shape,
        chunks=tuple(min(a, b) for a, b in zip(chunks, shape, strict=True)),
        dtype=dtype,
        fill_value=0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _halve(group: Any, level: int) -> None:
    """Write every second row and column of a level as the next one, chunk by chunk."""
    fine = group[str(level - 1)]
    *outer, height, width = fine.shape
    shape = (*outer, -(-height // 2), -(-width // 2))
    coarse = _array(group, str(level), shape, fine.chunks, fine.dtype)
    rows, columns = coarse.chunks[-2:]
    for position in np.ndindex(*outer):
        for y in range(0, shape[-2], rows):
            for x in range(0, shape[-1], columns):
                part = fine[
                    (
                        *position,
                        slice(2 * y, min(2 * (y + rows), height)),
                        slice(2 * x, min(2 * (x + columns), width)),
                    )
                ][..., ::2, ::2]
                if part.any():
                    key = (slice(y, y + part.shape[-2]), slice(x, x + part.shape[-1]))
                    coarse[(*position, *key)] = part


def _metadata(name: str, grid: LabelGrid, count: int) -> dict[str, Any]:
    axes = []
    unit = canonical_unit(grid.unit)
    for letter in grid.axes:
        axis = {"name": letter.lower(), "type": "time" if letter == "T" else "space"}
        if letter in grid.known and letter == "T":
            axis["unit"] = "second"
        elif letter != "T" and unit != "pixel":
            axis["unit"] = _LONG_NAMES.get(unit, unit)
        axes.append(axis)
    datasets = []
    for level in range(count):
        scale = list(grid.scale)
        scale[-2:] = [step * 2**level for step in scale[-2:]]
        transformation = {"type": "scale", "scale": scale}
        datasets.append({"path": str(level), "coordinateTransformations": [transformation]})
    return {
        "multiscales": [
            {"version": "0.4", "name": name, "axes": axes, "datasets": datasets}
        ],
        "image-label": {"version": "0.4"},
    }
