"""TIFF files of all kinds as one array with named axes."""

from __future__ import annotations

import contextlib
import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import axes_of, colours_or_planes, planes_last

from .calibration import Calibration, read_calibration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["TiffHeader", "TiffImage", "read_tiff", "read_tiff_header"]

# Up to this size a stack is read at once; a larger one page by page when needed.
_EAGER_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What a TIFF says of the image in it, without its pixels."""

    shape: tuple[int, ...]
    """Length of each axis, as stored."""
    axes: str
    """Letters out of T, C, Z, Y, X, S, as stored."""
    calibration: Calibration
    """Of these axes."""


@dataclass(frozen=True, slots=True, eq=False)
class TiffImage:
    """The image of a TIFF; Y and X, and S where there is one, are the last axes."""

    data: ArrayData
    axes: str
    calibration: Calibration
    notes: tuple[str, ...]
    """Sentences on what was left out."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which images of a file make up the one that is read."""

    numbers: tuple[int, ...]
    """Of the series; of several, each is one plane."""
    shape: tuple[int, ...]
    said: str
    """Letters as the file has them; others than T, C, Z, Y, X, S are not known."""
    notes: tuple[str, ...] = ()


def read_tiff(
    path: Path,
    axes: str | None = None,
    *,
    series: int | None = None,
    lazy: bool = False,
    pages: bool = False,
) -> TiffImage:
    """Read a TIFF.

    Parameters
    ----------
    path
        The file.
    axes
        Letters for the axes of the stored array, where the file says nothing or
        something wrong.
    series
        Which image of a file of several, from 0. None: pages of one size that were
        written one by one are the planes of a stack; else the largest image is taken, and
        ``notes`` says so.
    lazy
        Read pages when they are needed, whatever the size of the file.
    pages
        Take axes that nothing names as the pages of one stack, instead of refusing them.

    Raises
    ------
    ImageError
        When pages are missing, the axes are not known, or there is no such image.
    """
    with _opened(path) as tif:
        choice = _choose(tif, path.name, series)
        data: Any = _pixels(tif, path, choice, lazy=lazy)
        if pages and axes is None and _is_unnamed(choice):
            inner = 3 if choice.said.endswith("S") else 2
            data = data.reshape(-1, *data.shape[-inner:])
            choice = replace(choice, shape=data.shape, said=f"Z{choice.said[-inner:]}")
        letters = _letters(choice, data.dtype, axes)
        guess = ""
        if axes is None and not _are_letters(choice.said):
            guess = colours_or_planes(data.shape, letters)
        data, letters = planes_last(data, letters)
        calibration = read_calibration(tif, letters, choice.numbers[0])
    notes = (*choice.notes, f"{path.name}: {guess}") if guess else choice.notes
    return TiffImage(data, letters, calibration, notes)


def read_tiff_header(path: Path, *, series: int | None = None) -> TiffHeader:
    """Read what a TIFF says of its image; parameters and errors as of ``read_tiff``."""
    with _opened(path) as tif:
        choice = _choose(tif, path.name, series)
        letters = _letters(choice, tif.series[choice.numbers[0]].dtype, None)
        calibration = read_calibration(tif, letters, choice.numbers[0])
    return TiffHeader(choice.shape, letters, calibration)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF of which no page is missing."""
    with _complaints() as complaints, tifffile.TiffFile(path) as tif:
        if not tif.series:
            raise ImageError("The file holds no image.")
        # tifffile only logs that pages are missing, and gives what is left.
        if any("invalid page offset" in text for text in complaints):
            raise ImageError("The file is cut short, some of its pages are missing.")
        yield tif


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


def _choose(tif: tifffile.TiffFile, name: str, wanted: int | None) -> _Choice:
    """The image that was asked for, all pages of a stack, or the largest image."""
    every = tif.series
    if wanted is not None:
        if not 0 <= wanted < len(every):
            raise ImageError(
                f"There is no image {wanted} in the file: it holds {len(every)}, counted "
                f"from 0."
            )
        return _Choice((wanted,), tuple(every[wanted].shape), _said(every[wanted]))
    first = every[0]
    if len(every) > 1 and not tif.is_ome and _are_planes(every):
        shape = (len(every), *first.shape)
        return _Choice(tuple(range(len(every))), shape, f"Z{_said(first)}")
    number = max(range(len(every)), key=lambda i: (math.prod(every[i].shape), -i))
    chosen = every[number]
    notes: tuple[str, ...] = ()
    if len(every) > 1:
        left = len(every) - 1
        notes = (
            f"{name} holds {len(every)} images; number {number} (counted from 0; "
            f"{chosen.axes}, {' x '.join(str(n) for n in chosen.shape)}) is used, the "
            f"other{'s are' if left > 1 else ' is'} left out: {left}. The option 'series' "
            f"chooses another one.",
        )
    return _Choice((number,), tuple(chosen.shape), _said(chosen), notes)


def _are_planes(every: Sequence[tifffile.TiffPageSeries]) -> bool:
    """Whether each image of a file is one page like the others."""
    first = every[0]
    return all(
        len(item.pages) == 1
        and item.shape == first.shape
        and item.dtype == first.dtype
        and item.axes == first.axes
        and set(item.axes) <= set("YXS")
        for item in every
    )


def _said(series: tifffile.TiffPageSeries) -> str:
    """The letters of a file's image, where they can be believed."""
    axes: str = series.axes
    if series.kind == "shaped" and axes.startswith("SY"):
        # NumPy wrote three planes and tifffile stored them as the colours of one.
        return "?YX"
    if "S" in axes and series.shape[axes.index("S")] not in (3, 4):
        return axes.replace("S", "?" if "C" in axes else "C")
    return axes


def _letters(choice: _Choice, dtype: Any, axes: str | None) -> str:
    """The user's letters, else the file's, else the rule for two and three axes.

    They are those of the stored array, in any order.
    """
    if axes is not None:
        return _for_stored(choice, axes.upper())
    said = choice.said
    unknown = [letter for letter in said if letter not in "TCZYXS"]
    if len(unknown) == 1 and "Z" not in said and set(said) - set(unknown) <= set("YXS"):
        said = said.replace(unknown[0], "Z")
    return said if _are_letters(said) else axes_of(choice.shape, dtype)


def _are_letters(said: str) -> bool:
    """Whether letters of axes are those that are known, Y and X among them."""
    known = set(said) <= set("TCZYXS") and len(set(said)) == len(said)
    return known and set("YX") <= set(said)


def _is_unnamed(choice: _Choice) -> bool:
    """Whether nothing says what several of the axes before Y and X are."""
    outer = choice.said.removesuffix("S").removesuffix("YX")
    return not {*"YS"} & {*outer} and len([x for x in outer if x not in "TCZ"]) > 1


def _for_stored(choice: _Choice, axes: str) -> str:
    """The user's letters; of planar colours also as if the samples came last."""
    said = choice.said
    if "S" in said and not said.endswith("S") and axes.endswith("S"):
        place = said.index("S")
        if len(axes) == len(said) and choice.shape[-1] not in (3, 4):
            return f"{axes[:place]}S{axes[place:-1]}"
    return axes


def _pixels(
    tif: tifffile.TiffFile, path: Path, choice: _Choice, *, lazy: bool
) -> ArrayData:
    """The stored array: in memory, mapped, or read page by page when needed."""
    parts = [tif.series[number] for number in choice.numbers]
    small = sum(part.nbytes for part in parts) <= _EAGER_BYTES
    data: Any
    if small and not lazy:
        arrays = [part.asarray() for part in parts]
        data = arrays[0] if len(arrays) == 1 else np.stack(arrays)
    elif len(parts) == 1 and parts[0].dataoffset is not None:
        data = tifffile.memmap(path, mode="r", series=choice.numbers[0])
    else:
        data = _lazy_pages(path, parts, choice)
    return data  # type: ignore[no-any-return]


def _lazy_pages(
    path: Path, parts: Sequence[tifffile.TiffPageSeries], choice: _Choice
) -> Any:
    """A dask array with one chunk per page; each opens the file for itself."""
    import dask.array as da
    from dask.delayed import delayed

    page_shape = parts[0].keyframe.shape
    outer = choice.shape[: len(choice.shape) - len(page_shape)]
    read = delayed(_read_page, pure=True)
    pages = [
        da.from_delayed(read(path, number, page), shape=page_shape, dtype=part.dtype)
        for number, part in zip(choice.numbers, parts, strict=True)
        for page in range(len(part))
    ]
    if not outer:
        return pages[0]
    return da.stack(pages).reshape((*outer, *page_shape))


def _read_page(path: Path, series: int, number: int) -> Any:
    with tifffile.TiffFile(path) as tif:
        page = tif.series[series][number]
        if page is None:
            keyframe = tif.series[series].keyframe
            return np.zeros(keyframe.shape, dtype=keyframe.dtype)
        return page.asarray()
