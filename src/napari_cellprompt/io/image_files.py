"""The one reader of image files, with what the file says about axes and voxel size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import colours_or_planes, planes_last

from .image_types import ImageFile, LabelGrid
from .ome_zarr import is_zarr, read_zarr
from .tiff_images import TiffHeader, read_tiff, read_tiff_header

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = [
    "IMAGE_SUFFIXES",
    "TIFF_SUFFIXES",
    "ImageFile",
    "LabelGrid",
    "read_header",
    "read_image",
]

T = TypeVar("T")

TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk"})
IMAGE_SUFFIXES = TIFF_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}
"""What is looked for in a folder of images."""


def read_image(
    path: str | os.PathLike[str],
    axes: str | None = None,
    *,
    series: int | None = None,
    lazy: bool = False,
    pages: bool = False,
    palette: bool = False,
) -> ImageFile:
    """Read a TIFF, an OME-Zarr, a NumPy array, or what Pillow knows (PNG, JPEG, ...).

    TIFFs of more than 512 MB stay on the disk and are read page by page when needed.

    Parameters
    ----------
    path
        The file.
    axes
        Letters for the axes of the stored array, where the file says nothing or
        something wrong.
    series
        Which image of a file that holds several, from 0. None: planes of one size that
        were written one by one are a stack; else the largest image is taken, and
        ``notes`` says how many were left out.
    lazy
        Read the pages of a TIFF when they are needed, whatever its size.
    pages
        Take axes of a TIFF that nothing names as the pages of one stack, instead of
        refusing them.
    palette
        Of pictures with a palette take the numbers of the colours, not the colours.

    Raises
    ------
    ImageError
        When the file is missing, empty or damaged, or its axes are not known.
    """

    def read(path: Path) -> ImageFile:
        if path.suffix.lower() == ".npy":
            return _read_array(path, axes)
        if path.suffix.lower() not in TIFF_SUFFIXES:
            return _read_picture(path, axes, series, palette=palette)
        image = read_tiff(path, axes, series=series, lazy=lazy, pages=pages)
        said = image.calibration
        return ImageFile(
            image.data, image.axes, said.scale, said.unit, said.known, image.notes
        )

    if Path(path).is_dir():
        if is_zarr(Path(path)):
            return read_zarr(Path(path), axes)
    return _reading(Path(path), read)


def read_header(path: str | os.PathLike[str]) -> TiffHeader | None:
    """What a file says of its axes and voxel size; None where it cannot say anything.

    Raises
    ------
    ImageError
        When the file is missing, empty or damaged.
    """
    if Path(path).suffix.lower() not in TIFF_SUFFIXES:
        return None
    return _reading(Path(path), read_tiff_header)


def _reading(path: Path, read: Callable[[Path], T]) -> T:
    """Call a reader, and name the file in what goes wrong."""
    if not path.is_file():
        raise ImageError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise ImageError(f"{path.name} is empty.")
    try:
        return read(path)
    except ImageError as error:
        raise ImageError(f"{path.name}: {error}") from error
    except Exception as error:
        # A damaged file makes its reader fail in almost any way (struct.error,
        # zlib.error, IndexError, ...); to the user they are one.
        raise ImageError(f"{path.name} cannot be read: {_reason(error)}") from error


def _read_array(path: Path, axes: str | None) -> ImageFile:
    """A NumPy array stays in its file and is read when needed."""
    data, letters = planes_last(np.load(path, mmap_mode="r", allow_pickle=False), axes)
    guess = "" if axes else colours_or_planes(data.shape, letters)
    notes = (f"{path.name}: {guess}",) if guess else ()
    return ImageFile(data, letters, (1.0,) * len(letters), "pixel", "", notes)


def _read_picture(
    path: Path, axes: str | None, number: int | None, *, palette: bool
) -> ImageFile:
    with Image.open(path) as picture:
        count = int(getattr(picture, "n_frames", 1))
        if number is not None and not 0 <= number < count:
            raise ImageError(
                f"There is no image {number} in the file: it holds {count}, counted from 0."
            )
        notes = []
        if count > 1:
            picture.seek(number or 0)
            if number is None:
                notes.append(
                    f"{path.name} holds {count} pictures; the first is used, the others "
                    f"are left out: {count - 1}. The option 'series' chooses another one."
                )
        if picture.mode == "P" and palette:
            data = np.array(picture)
        elif picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
            data = np.asarray(picture.convert("RGB"))
        elif picture.mode == "LA":
            data = np.asarray(picture.convert("L"))
        else:
            data = np.array(picture)
    if data.ndim == 3 and _has_wide_colours(path):
        notes.append(
            f"{path.name} has 16 bits a colour, of which the upper 8 are read: save it as "
            f"TIFF to keep all of them."
        )
    pixels, letters = planes_last(data, axes)
    return ImageFile(pixels, letters, (1.0,) * len(letters), "pixel", "", tuple(notes))


def _has_wide_colours(path: Path) -> bool:
    """Whether a file is a PNG of 16 bits a colour, which Pillow reads as 8."""
    with path.open("rb") as file:
        head = file.read(26)
    return head.startswith(b"\x89PNG") and head[24] == 16


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "imagecodecs" in text:
        return "its compression needs the package imagecodecs (pip install imagecodecs)."
    if isinstance(error, PermissionError):
        return "no permission."
    return f"it is damaged or of no known format ({text.splitlines()[0]})."
