"""Label images as TIFF files that open in Fiji with the right calibration."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.labels import smallest_dtype

from .calibration import canonical_unit, in_range, ome_unit
from .image_files import read_image

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData

    from .image_files import LabelGrid

__all__ = ["LabelFile", "check_grid", "ome_options", "read_labels", "write_labels"]

# ImageJ's order of axes; a hyperstack has no other.
_ORDER = "TZCYX"

_MAX_ID = 2**32 - 1

# A classic TIFF, the only kind that ImageJ writes, addresses 4 GB.
_CLASSIC_BYTES = 2**32 - 2**25


@dataclass(frozen=True, slots=True, eq=False)
class LabelFile:
    """A label image read from a file."""

    labels: NDArray[Any]
    """Integers, 0 = background; axes as ``axes`` says."""
    axes: str
    """Letters out of T, Z, C, Y, X."""
    scale: tuple[float, ...]
    """Step along each axis: ``unit`` for X, Y, Z, seconds for T; 1 if not known."""
    unit: str
    """Unit of X, Y and Z; ``pixel`` if not known."""
    known: str = ""
    """Letters of the axes whose step the file says."""


def check_grid(grid: LabelGrid) -> None:
    """Refuse before the work what ``write_labels`` would refuse after it.

    Raises
    ------
    ImageError
        When a TIFF cannot keep labels of such a shape or calibration.
    """
    axes = _checked_axes(grid.axes, grid.shape)
    _checked_scale(grid.scale, axes, grid.unit)


def write_labels(
    path: str | os.PathLike[str],
    labels: ArrayData,
    *,
    axes: str,
    scale: Sequence[float] | None = None,
    unit: str = "pixel",
    known: str | None = None,
    largest: int | None = None,
    info: str = "",
) -> Path:
    """Write labels with their calibration, completely or not at all.

    An ImageJ TIFF when all ids fit 16 bits, an OME-TIFF (uint32) when they do not, or
    when the labels are more than a classic TIFF can hold; the smallest sufficient
    type; zlib. The display range spans the ids, so that Fiji does not show the labels
    black. A lazy array is read twice, plane by plane; only one is held in memory.

    Parameters
    ----------
    path
        Where to; an existing file is replaced in one step.
    labels
        Integers or booleans, 0 = background, and so is -1; NumPy, dask or zarr.
    axes
        A letter for each axis, out of T, Z, C, Y, X. The file always has them in this
        order.
    scale
        Step along each axis: ``unit`` for X, Y and Z, seconds for T; all 1 if left out.
    unit
        Unit of X, Y and Z; any spelling of the micrometre. Where the steps are too small
        or too large for a TIFF, another unit of length is written: 4e-10 m as 0.4 nm.
    known
        Letters of the axes whose step is known. A step of 1 along T is an interval of one
        second only if it is; None: other steps along T are.
    largest
        Largest id of all files that belong together, which then are of one type; None
        looks for it in the labels.
    info
        Where the labels come from; Fiji shows it by *Image > Show Info*, in an OME-TIFF
        it is the image's description.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ImageError
        When labels, axes and scale do not fit together, or ids are not whole numbers
        from 0 to 2**32 - 1.
    SaveError
        When the file cannot be written.
    """
    shape = tuple(int(length) for length in labels.shape)
    axes = _checked_axes(axes, shape)
    steps, unit = _checked_scale(scale, axes, unit)
    if known is None:
        known = "T" if steps.get("T", 1.0) != 1.0 else ""
    largest = _largest_id(labels, axes) if largest is None else largest
    dtype = smallest_dtype(largest)
    nbytes = math.prod(shape) * dtype.itemsize
    imagej = dtype.itemsize <= 2 and nbytes <= _CLASSIC_BYTES
    sorted_axes = "".join(letter for letter in _ORDER if letter in axes)
    options: dict[str, Any]
    if imagej:
        options = _imagej_options(sorted_axes, steps, unit, largest, known)
    else:
        options = ome_options(sorted_axes, steps, unit, known)
    if info:
        options["metadata"]["Info" if imagej else "Description"] = info
    with replacing(path) as temporary:
        with tifffile.TiffWriter(
            temporary, imagej=imagej, ome=not imagej, bigtiff=nbytes > _CLASSIC_BYTES
        ) as tif:
            tif.write(
                (_ids(plane).astype(dtype) for plane in _planes(labels, axes)),
                shape=tuple(shape[axes.index(letter)] for letter in sorted_axes),
                dtype=dtype,
                photometric="minisblack",
                compression="zlib",
                **options,
            )
    return Path(path)


def read_labels(
    path: str | os.PathLike[str], axes: str | None = None, *, series: int | None = None
) -> LabelFile:
    """Read a label image with its calibration.

    Labels are whole numbers, also where they are stored as floats (all that Fiji has above
    65,535) or as the colours of a palette. -1 is background, as 0 is.

    Parameters
    ----------
    path
        The file.
    axes, series
        As of ``read_image``.

    Raises
    ------
    ImageError
        When the file cannot be read or holds no whole numbers from -1 to 2**32 - 1.
    """
    image = read_image(path, axes, series=series, palette=True)
    name = Path(path).name
    if "S" in image.axes:
        raise ImageError(
            f"{name} holds no labels: they are one number a pixel, but this is a colour "
            f"image with the axes {image.axes}."
        )
    return LabelFile(
        labels=_whole_numbers(np.asarray(image.data), name),
        axes=image.axes,
        scale=image.scale,
        unit=image.unit,
        known=image.known,
    )


def _whole_numbers(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels as integers that are not negative."""
    if labels.dtype.kind == "f":
        whole = bool((np.isfinite(labels) & (labels == np.rint(labels))).all())
        if not whole:
            raise ImageError(
                f"{name} holds no labels: labels are whole numbers, but this is an image "
                f"of type {labels.dtype} with fractions in it."
            )
    elif labels.dtype.kind not in "biu":
        raise ImageError(
            f"{name} holds no labels: labels are whole numbers, but this is an image of "
            f"type {labels.dtype}."
        )
    if labels.size == 0 or labels.dtype.kind == "b":
        return labels
    smallest, largest = labels.min(), labels.max()
    if smallest < -1:
        raise ImageError(f"{name}: label ids must not be negative: found {smallest:g}.")
    if largest > _MAX_ID:
        raise ImageError(
            f"{name}: label ids must lie in 0 to {_MAX_ID}: got {int(largest)}. Number "
            f"the objects anew."
        )
    if smallest < 0 or labels.dtype.kind == "f":
        return _ids(labels).astype(smallest_dtype(int(max(largest, 0))))
    return labels


def _ids(plane: NDArray[Any]) -> NDArray[Any]:
    """Labels in which -1, which stands for background in some programs, is 0."""
    return plane if plane.dtype.kind in "bu" else np.maximum(plane, 0)


def _checked_axes(axes: str, shape: tuple[int, ...]) -> str:
    letters = axes.upper()
    if (
        len(letters) != len(shape)
        or len(set(letters)) != len(letters)
        or not set("YX") <= set(letters) <= set(_ORDER)
    ):
        raise ImageError(
            f"Labels of shape {shape} need one different letter out of T, Z, C, Y, X for "
            f"each axis, Y and X among them: got {axes!r}."
        )
    if math.prod(shape) == 0:
        raise ImageError(f"The label image is empty: its shape is {shape}.")
    return letters


def _checked_scale(
    scale: Sequence[float] | None, axes: str, unit: str
) -> tuple[dict[str, float], str]:
    """Steps by letter and their unit, both as a TIFF can keep them."""
    steps = [1.0] * len(axes) if scale is None else [float(step) for step in scale]
    if len(steps) == len(axes) and all(0 < step < math.inf for step in steps):
        known, unit = in_range(dict(zip(axes, steps, strict=True)), unit)
        # TIFF keeps pixels per unit as a fraction of two 32-bit numbers.
        if all(1e-9 <= step <= 1e9 for step in known.values()):
            return known, unit
    raise ImageError(
        f"The scale must hold one positive number (1e-9 to 1e9) for each of the axes "
        f"{axes}: got {tuple(steps)} {unit}."
    )


def _planes(labels: ArrayData, axes: str) -> Iterator[NDArray[Any]]:
    """Each ``(H, W)`` plane, in the order of the file."""
    outer = [letter for letter in _ORDER[:-2] if letter in axes]
    ranges = [range(labels.shape[axes.index(letter)]) for letter in outer]
    for position in itertools.product(*ranges):
        at = dict(zip(outer, position, strict=True))
        plane = np.asarray(labels[tuple(at.get(letter, slice(None)) for letter in axes)])
        yield plane.T if axes.index("X") < axes.index("Y") else plane


def _largest_id(labels: ArrayData, axes: str) -> int:
    dtype = np.dtype(labels.dtype)
    if dtype.kind not in "biu":
        raise ImageError(f"Labels must be whole numbers, but these are of type {dtype}.")
    largest = 0
    for plane in _planes(labels, axes):
        smallest = int(plane.min())
        if smallest < -1:
            raise ImageError(f"Label ids must not be negative: found {smallest}.")
        largest = max(largest, int(plane.max()))
    return largest


def _imagej_options(
    axes: str, steps: dict[str, float], unit: str, largest: int, known: str
) -> dict[str, Any]:
    # ImageJ itself turns "um" into the Greek letter, and writes others escaped.
    name = " ".join(canonical_unit(unit).split())
    metadata: dict[str, Any] = {
        "axes": axes,
        "unit": "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in name),
        "min": 0.0,
        "max": float(max(1, largest)),
    }
    if "Z" in axes:
        metadata["spacing"] = steps["Z"]
    if "T" in axes and "T" in known:
        metadata["finterval"] = steps["T"]
    return {
        "metadata": metadata,
        "resolution": (1 / steps["X"], 1 / steps["Y"]),
        "resolutionunit": tifffile.RESUNIT.NONE,
    }


def ome_options(
    axes: str, steps: dict[str, float], unit: str, known: str
) -> dict[str, Any]:
    """Options for tifffile that make an OME-TIFF with steps by letter and their unit."""
    metadata: dict[str, Any] = {"axes": axes}
    for letter in "XYZ":
        if letter in axes:
            metadata[f"PhysicalSize{letter}"] = steps[letter]
            metadata[f"PhysicalSize{letter}Unit"] = ome_unit(unit)
    if "T" in axes and "T" in known:
        metadata["TimeIncrement"] = steps["T"]
        metadata["TimeIncrementUnit"] = "s"
    return {"metadata": metadata}
