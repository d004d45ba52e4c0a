"""Images from whatever a script gives: arrays, files, folders, videos."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import planes_last

from .folders import images_in
from .image_files import IMAGE_SUFFIXES, ImageFile, read_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["as_given", "iterate_files", "open_image"]

_VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm"}


def open_image(
    image: ArrayData | str | Path, axes: str | None = None, *, series: int | None = None
) -> ImageFile:
    """Open an array or a file as one image; what of a file is left out is a warning.

    Parameters
    ----------
    image
        NumPy, dask or zarr array, or the path of a file.
    axes
        Letters of the stored axes, see :func:`axes_of`.
    series
        Which image of a file that holds several, see :func:`read_image`.

    Raises
    ------
    ImageError
        With a sentence on what was wrong.
    """
    if isinstance(image, str | Path):
        file = read_image(Path(image).expanduser(), axes, series=series)
        for note in file.notes:
            warnings.warn(note, stacklevel=3)
        return file
    if series is not None:
        raise ImageError("Only a file holds several images that 'series' chooses from.")
    data, letters = planes_last(image, axes)
    return ImageFile(data, letters, (1.0,) * len(letters), "pixel")


def as_given(
    labels: NDArray[Any],
    opened: ImageFile,
    image: ArrayData | str | Path,
    axes: str | None,
) -> NDArray[Any]:
    """Return labels on the grid of an opened image with the axes of the array given.

    Those of a file stay as they are: T, Z, Y, X.
    """
    if axes is None or isinstance(image, str | Path):
        return labels
    given = [letter for letter in axes.upper() if letter in opened.grid.axes]
    return labels.transpose([opened.grid.axes.index(letter) for letter in given])


def iterate_files(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield ``(path, plane)`` of a file or of all files of a folder, one after the other.

    Parameters
    ----------
    path
        An image file, of which every plane is an image; a folder of them, in natural
        order; or a video, with the extra ``video``.

    Yields
    ------
    tuple
        The path, and ``(H, W)`` or ``(H, W, 3)``; only one is in memory where the file
        allows it.

    Raises
    ------
    ImageError
        Where a file is missing or of no known kind.
    """
    if path.is_dir():
        names = images_in(path)
        if not names:
            raise ImageError(f"The folder {path} holds no TIFF, PNG or JPEG images.")
        for name in names:
            yield from iterate_files(name)
        return
    if not path.is_file():
        raise ImageError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    if suffix in _VIDEOS:
        for frame in _video(path):
            yield str(path), frame
        return
    if suffix not in IMAGE_SUFFIXES:
        raise ImageError(f"{path} is of no known kind: give a TIFF, PNG, JPEG or video.")
    image = read_image(path, lazy=True, pages=True)
    for note in image.notes:
        warnings.warn(note, stacklevel=2)
    inner = 3 if "S" in image.axes else 2
    outer = [range(int(length)) for length in image.data.shape[:-inner]]
    for position in itertools.product(*outer):
        key = (*position, *[slice(None)] * inner)
        yield str(path), np.asarray(image.data[key])


def _video(path: Path) -> Iterator[NDArray[Any]]:
    try:
        import av
    except ImportError as error:
        raise ImageError(
            f"Reading the video {path.name} needs PyAV: "
            "pip install napari-cellprompt[video]."
        ) from error
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
