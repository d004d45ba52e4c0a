"""Frames of anything that holds several: arrays, TIFF files, folders, lists of images."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import axes_of
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.io.folders import images_in
from napari_cellprompt.io.image_files import IMAGE_SUFFIXES, TIFF_SUFFIXES, read_image

from .sources import iterate_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["PagedArray", "open_frames"]


class PagedArray:
    """Pages that are read one by one, seen as one array.

    Parameters
    ----------
    leading
        Length of the axes that count pages.
    page_shape, dtype
        Of each page.
    read
        Gives the page of a running number.
    """

    def __init__(
        self,
        leading: Sequence[int],
        page_shape: Sequence[int],
        dtype: Any,
        read: Callable[[int], NDArray[Any]],
    ) -> None:
        self.shape = (*(int(n) for n in leading), *(int(n) for n in page_shape))
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._leading = self.shape[: len(leading)]
        self._read = read

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Part of the array, by one integer or slice for each axis."""
        if not isinstance(key, tuple) or len(key) != len(self.shape):
            raise IndexError(f"One index for each of the axes {self.shape} is needed.")
        depth = len(self._leading)
        picked = [
            range(length)[item] if isinstance(item, slice) else [item]
            for item, length in zip(key[:depth], self._leading, strict=True)
        ]
        pages = []
        for position in itertools.product(*picked):
            number = int(np.ravel_multi_index(position, self._leading)) if depth else 0
            page = self._read(number)
            if page.shape != self.shape[depth:] or page.dtype != self.dtype:
                raise ImageError(
                    f"All frames must be of one size and type: the first is "
                    f"{self.shape[depth:]} {self.dtype}, frame {number} is "
                    f"{page.shape} {page.dtype}."
                )
            pages.append(page[key[depth:]])
        kept = [
            len(part)
            for part, item in zip(picked, key[:depth], strict=True)
            if isinstance(item, slice)
        ]
        return np.stack(pages).reshape(*kept, *pages[0].shape)


def open_frames(
    source: Any,
    *,
    along: str | None = None,
    axes: str | None = None,
    channel: int | None = None,
    limits: tuple[float, float] | Literal["auto"] | None = None,
) -> ImageStack:
    """Open the frames of a source; nothing but a sample of them is read here.

    Parameters
    ----------
    source
        An array of three axes or more (NumPy, dask, zarr, h5py), a TIFF file, a folder
        of images (in the order of the numbers in their names) or a list of images and
        files, all of one size. A single image is one frame; a video file is read whole.
    along, axes, channel, limits
        See :class:`ImageStack`; axes are asked for only where nothing tells them.

    Raises
    ------
    ImageError
        Where there are no frames, or they do not fit together.
    """
    image, known = _as_array(source, axes)
    if axes is None or isinstance(source, str | Path):
        axes = known
    if axes is None and len(image.shape) == 4 and image.shape[-1] in (3, 4):
        axes = "TYXS"
    return ImageStack(image, along=along, axes=axes, channel=channel, limits=limits)


def _as_array(source: Any, axes: str | None) -> tuple[Any, str | None]:
    """An array-like and, where the source tells, the letters of its axes."""
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir():
            names = images_in(path)
            if not names:
                raise ImageError(f"The folder {path} holds no TIFF, PNG or JPEG images.")
            return _listed(list(names))
        if path.suffix.lower() in TIFF_SUFFIXES:
            image = read_image(path, axes, lazy=True)
            for note in image.notes:
                warnings.warn(note, stacklevel=4)
            if set("ZTC") & set(image.axes):
                return image.data, image.axes
            return _listed([image.data])
        if path.suffix.lower() in IMAGE_SUFFIXES or not path.is_file():
            return _listed([path])
        return _listed([image for _, image in iterate_source(path)])
    if hasattr(source, "shape") and hasattr(source, "dtype"):
        plain = len(source.shape) in (2, 3) and axes is None
        if plain and axes_of(source.shape, source.dtype) in ("YX", "YXS"):
            return _listed([np.asarray(source)])
        return source, None
    if isinstance(source, Sequence):
        return _listed(list(source))
    raise TypeError(
        f"source must be an array, a path or a list of these: got {type(source).__name__}."
    )


def _listed(items: list[Any]) -> tuple[PagedArray, str]:
    if not items:
        raise ImageError("There are no frames: the list is empty.")

    def read(number: int) -> NDArray[Any]:
        item = items[number]
        if not isinstance(item, str | Path):
            return np.asarray(item)
        pages = [page for _, page in itertools.islice(iterate_source(item), 2)]
        if len(pages) != 1:
            raise ImageError(f"{item} holds several images; give it alone, not in a list.")
        return pages[0]

    first = read(0)
    if first.ndim not in (2, 3):
        raise ImageError(
            f"A frame must have the shape (H, W) or (H, W, 3): got {first.shape}."
        )
    axes = "TYX" if first.ndim == 2 else "TYXS"
    return PagedArray([len(items)], first.shape, first.dtype, read), axes
