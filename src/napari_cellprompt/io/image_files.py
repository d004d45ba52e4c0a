"""Read images from files, with what the file says about axes and voxel size."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import axes_of

from .calibration import read_calibration

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["ImageFile", "read_image"]

_TIFF_SUFFIXES = {".tif", ".tiff", ".btf", ".tf2", ".tf8", ".lsm", ".stk"}

# Up to this size a stack is read at once; a larger one page by page when needed.
_EAGER_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image and what its file says about it."""

    data: ArrayData
    """NumPy array, memory map or dask array, with its axes as in ``axes``."""
    axes: str
    """Letters out of T, C, Z, Y, X, S."""
    scale: tuple[float, ...]
    """Step along each axis: ``unit`` for X, Y and Z, seconds for T; 1 if not known."""
    unit: str
    """Unit of X, Y and Z; ``pixel`` if not known."""


def read_image(path: str | os.PathLike[str], axes: str | None = None) -> ImageFile:
    """Read a TIFF, or any other image that Pillow knows (PNG, JPEG, ...).

    TIFFs of more than 512 MB stay on the disk and are read page by page when needed.

    Parameters
    ----------
    path
        The file.
    axes
        Letters for the axes of the stored array, where the file says nothing or
        something wrong.

    Raises
    ------
    ImageError
        When the file is missing, empty or damaged, or its axes are not known.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise ImageError(f"{path.name} is empty.")
    try:
        if path.suffix.lower() in _TIFF_SUFFIXES:
            return _read_tiff(path, axes)
        return _read_other(path, axes)
    except ImageError as error:
        raise ImageError(f"{path.name}: {error}") from error
    except Exception as error:
        # A damaged file makes its reader fail in almost any way (struct.error,
        # zlib.error, IndexError, ...); to the user they are one.
        raise ImageError(f"{path.name} cannot be read: {_reason(error)}") from error


def _read_tiff(path: Path, axes: str | None) -> ImageFile:
    with _complaints() as complaints, tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        # tifffile only logs that pages are missing, and gives what is left.
        if any("invalid page offset" in text for text in complaints):
            raise ImageError("The file is cut short, some of its pages are missing.")
        data: Any
        if series.nbytes <= _EAGER_BYTES:
            data = series.asarray()
        elif series.dataoffset is not None:
            data = tifffile.memmap(path, mode="r")
        else:
            data = _lazy_pages(path, series)
        said = series.axes
        if series.kind == "shaped" and said.startswith("SY"):
            # NumPy wrote three planes and tifffile stored them as the colours of one.
            said = "?YX"
        if axes is None and "S" in said and not said.endswith("S"):
            data = np.moveaxis(data, said.index("S"), -1)
            said = said.replace("S", "") + "S"
        if said.endswith("S") and data.shape[-1] not in (3, 4):
            said = said.replace("S", "?" if "C" in said else "C")
        letters = _letters(data, said, axes)
        calibration = read_calibration(tif, letters)
    return ImageFile(data, letters, calibration.scale, calibration.unit)


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what tifffile logs instead of showing it."""
    texts: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(record.getMessage())

    logger = logging.getLogger("tifffile")
    collector = Collector()
    logger.addHandler(collector)
    try:
        yield texts
    finally:
        logger.removeHandler(collector)


def _letters(data: ArrayData, said: str, axes: str | None) -> str:
    """The user's letters, else the file's, else the rule for two and three axes."""
    if axes is not None:
        return axes_of(data.shape, data.dtype, axes)
    known = set(said) <= set("TCZYXS") and set("YX") <= set(said)
    if known and said.index("Y") < said.index("X"):
        return said
    return axes_of(data.shape, data.dtype)


def _lazy_pages(path: Path, series: tifffile.TiffPageSeries) -> Any:
    """A dask array with one chunk per page; each opens the file for itself."""
    import dask.array as da
    from dask.delayed import delayed

    page_shape = series.keyframe.shape
    outer = series.shape[: len(series.shape) - len(page_shape)]
    read = delayed(_read_page, pure=True)
    pages = [
        da.from_delayed(read(path, number), shape=page_shape, dtype=series.dtype)
        for number in range(len(series))
    ]
    return da.stack(pages).reshape((*outer, *page_shape))


def _read_page(path: Path, number: int) -> Any:
    with tifffile.TiffFile(path) as tif:
        page = tif.series[0][number]
        if page is None:
            keyframe = tif.series[0].keyframe
            return np.zeros(keyframe.shape, dtype=keyframe.dtype)
        return page.asarray()


def _read_other(path: Path, axes: str | None) -> ImageFile:
    with Image.open(path) as picture:
        if picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
            data = np.asarray(picture.convert("RGB"))
        elif picture.mode == "LA":
            data = np.asarray(picture.convert("L"))
        else:
            data = np.array(picture)
    letters = axes_of(data.shape, data.dtype, axes)
    return ImageFile(data, letters, (1.0,) * data.ndim, "pixel")


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "imagecodecs" in text:
        return "its compression needs the package imagecodecs (pip install imagecodecs)."
    if isinstance(error, PermissionError):
        return "no permission."
    return f"it is damaged or of no known format ({text.splitlines()[0]})."
