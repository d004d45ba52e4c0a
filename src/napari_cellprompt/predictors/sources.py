"""Images for the predictors: arrays, files, folders and lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.contrast import to_uint8
from napari_cellprompt.core.images.planes import image_limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ChannelOrder", "as_rgb8", "iterate_source"]

ChannelOrder = Literal["rgb", "bgr"]

_TIFF = {".tif", ".tiff"}
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
_VIDEOS = {".mp4", ".avi", ".mov", ".mkv", ".webm"}


def iterate_source(source: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield ``(path, image)`` one after the other; only one image is in memory.

    Parameters
    ----------
    source
        An array ``(H, W)`` or ``(H, W, 3)``, a file (pictures; TIFF, each page an
        image; videos with the extra ``video``), a folder of files, or a list of
        these.

    Raises
    ------
    ImageError
        Where a file is missing or of no known kind.
    """
    if isinstance(source, np.ndarray):
        yield "", source
    elif isinstance(source, str | Path):
        yield from _files(Path(source).expanduser())
    elif isinstance(source, Iterable):
        for item in source:
            yield from iterate_source(item)
    else:
        raise TypeError(
            "source must be an array, a path or a list of these: "
            f"got {type(source).__name__}."
        )


def _files(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    if path.is_dir():
        names = sorted(
            item for item in path.iterdir() if item.suffix.lower() in _TIFF | _PICTURES
        )
        if not names:
            raise ImageError(f"The folder {path} holds no TIFF, PNG or JPEG images.")
        for name in names:
            yield from _files(name)
        return
    if not path.is_file():
        raise ImageError(f"There is no file {path}.")
    suffix = path.suffix.lower()
    if suffix in _TIFF:
        yield from _pages(path)
    elif suffix in _PICTURES:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as picture:
                grey = picture.mode in ("L", "I;16", "I", "F")
                image = np.asarray(picture if grey else picture.convert("RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise ImageError(f"{path} cannot be read as a picture: {error}.") from error
        yield str(path), image
    elif suffix in _VIDEOS:
        yield from _video(path)
    else:
        raise ImageError(f"{path} is of no known kind: give a TIFF, PNG, JPEG or video.")


def _pages(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                yield str(path), page.asarray()
    except (tifffile.TiffFileError, ValueError, OSError) as error:
        raise ImageError(f"{path} cannot be read as TIFF: {error}.") from error


def _video(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    try:
        import av
    except ImportError as error:
        raise ImageError(
            f"Reading the video {path.name} needs PyAV: "
            "pip install napari-cellprompt[video]."
        ) from error
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield str(path), frame.to_ndarray(format="rgb24")


def as_rgb8(
    image: NDArray[Any],
    *,
    limits: tuple[float, float] | Literal["auto"] | None = None,
    channel_order: ChannelOrder = "rgb",
) -> NDArray[np.uint8]:
    """Bring an image to ``(H, W, 3)`` uint8, red first.

    uint8 stays as it is unless ``limits`` are given; other types are mapped by them,
    or by the percentiles 0.1 and 99.9 of the image; nothing is divided or clipped
    silently.

    Raises
    ------
    ImageError
        Where the shape is neither ``(H, W)`` nor ``(H, W, 3)`` or ``(H, W, 4)``.
    """
    image = np.asarray(image)
    colour = image.ndim == 3 and image.shape[2] in (3, 4)
    if (image.ndim != 2 and not colour) or image.size == 0:
        raise ImageError(
            f"An image must have the shape (H, W) or (H, W, 3): got {image.shape}."
        )
    if colour:
        image = image[:, :, :3]
        if channel_order == "bgr":
            image = image[:, :, ::-1]
    pixels = to_uint8(image, image_limits(image, limits))
    return pixels if colour else np.repeat(pixels[:, :, None], 3, axis=2)
