"""Images for the predictors: arrays, files, folders and lists of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.contrast import to_uint8
from napari_cellprompt.core.images.planes import image_limits
from napari_cellprompt.io.sources import iterate_files

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ChannelOrder", "as_rgb8", "iterate_source"]

ChannelOrder = Literal["rgb", "bgr"]


def iterate_source(source: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield ``(path, image)`` one after the other; only one image is in memory.

    Parameters
    ----------
    source
        An array ``(H, W)`` or ``(H, W, 3)``, a file (pictures; TIFF, each plane an
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
        yield from iterate_files(Path(source).expanduser())
    elif isinstance(source, Iterable):
        for item in source:
            yield from iterate_source(item)
    else:
        raise TypeError(
            "source must be an array, a path or a list of these: "
            f"got {type(source).__name__}."
        )


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
