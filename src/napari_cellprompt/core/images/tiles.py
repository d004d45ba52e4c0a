"""The fixed pyramid of square tiles in which objects are predicted.

A network sees ``imgsz`` x ``imgsz`` pixels. A tile at magnification ``m`` shows it
``imgsz / m`` x ``imgsz / m`` pixels of the image, so that a nucleus of 12 pixels can be
large enough to be resolved. Tiles of one level overlap by half and lie on a fixed grid:
features are computed once per tile, and clicks close together share them.

Coordinates mean pixel centres, in the plane as in the model's input: what is shown
``m`` times as large has its centre at ``(x + 0.5 - x0) * m - 0.5``. (Meta's SAM 2 image
predictor multiplies without the halves, which is up to 1.5 pixels off at x4.)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_cellprompt.core.types import CroppedMask, Rectangle, Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .planes import PlaneSource

__all__ = [
    "DEFAULT_MAGNIFICATION",
    "LEVELS",
    "TARGET_SHARE",
    "choose_magnification",
    "next_tile",
    "read_tile",
    "tile_for_box",
    "tile_grid",
    "touches_border",
]

LEVELS = (4.0, 2.0, 1.0, 0.5, 0.25)
"""Model pixels per image pixel, finest first."""

DEFAULT_MAGNIFICATION = 2.0
"""Used as long as nothing is known of the size of the objects."""

TARGET_SHARE = math.sqrt(1 / 8 * 1 / 3)
"""Share of its tile's side that an object is to span, unless told otherwise.

The geometric mean of 1/8 and 1/3: as levels are a factor of two apart, objects span 0.144
to 0.289 of their tile wherever the finest or coarsest level is not reached.
"""

# A mask that comes this close (image pixels) to a side of its tile may go on beyond it.
_BORDER = 1.0


def choose_magnification(
    object_size_px: float | None, imgsz: int, *, share: float = TARGET_SHARE
) -> float:
    """Level at which an object of this size spans closest to a share of its tile.

    Parameters
    ----------
    object_size_px
        Longer side of the object's box in image pixels; None when not known, which
        gives ``DEFAULT_MAGNIFICATION``.
    imgsz
        Side of the network's input in pixels.
    share
        Of the tile's side.
    """
    if object_size_px is None:
        return DEFAULT_MAGNIFICATION
    wanted = share * imgsz / max(float(object_size_px), 1.0)
    return min(LEVELS, key=lambda level: abs(math.log(level / wanted)))


def tile_grid(image_shape: tuple[int, int], imgsz: int, magnification: float) -> list[Tile]:
    """All tiles of one level, row by row.

    They step by half a tile, the last of each row and column ends with the image. Where
    the image is smaller than a tile there is one, from 0, that reaches beyond its end.
    """
    size = _tile_size(imgsz, magnification)
    return [
        Tile(magnification, y0, x0, size)
        for y0 in _starts(image_shape[0], size)
        for x0 in _starts(image_shape[1], size)
    ]


def tile_for_box(
    image_shape: tuple[int, int], imgsz: int, magnification: float, box: Rectangle
) -> Tile:
    """Tile of the grid whose centre is nearest to the centre of the box.

    A box of up to a third of a tile then lies inside, at least 1/12 of the tile's side
    away from each of its sides that is not a side of the image.

    Parameters
    ----------
    image_shape
        Rows and columns of the plane.
    imgsz
        Side of the network's input in pixels.
    magnification
        One of ``LEVELS``.
    box
        ``x0, y0, x1, y1`` in pixels of the plane; a click is ``(x, y, x, y)``.
    """
    size = _tile_size(imgsz, magnification)
    x0, y0, x1, y1 = box
    return Tile(
        magnification,
        _nearest(_starts(image_shape[0], size), (y0 + y1) / 2 - size / 2),
        _nearest(_starts(image_shape[1], size), (x0 + x1) / 2 - size / 2),
        size,
    )


def touches_border(
    tile: Tile, found: CroppedMask | Rectangle | None, image_shape: tuple[int, int]
) -> bool:
    """Whether what was found in the tile may go on beyond it.

    Sides of the tile where the image itself ends do not count. Nothing found (None or
    an empty mask) touches nothing.
    """
    box = found.box if isinstance(found, CroppedMask) else found
    if box is None:
        return False
    height, width = image_shape
    x0, y0, x1, y1 = box
    left, top, right, bottom = tile.box
    return (
        (left > 0 and x0 < left + _BORDER)
        or (top > 0 and y0 < top + _BORDER)
        or (right < width and x1 > right - _BORDER)
        or (bottom < height and y1 > bottom - _BORDER)
    )


def next_tile(
    tile: Tile, box: Rectangle, image_shape: tuple[int, int], imgsz: int
) -> Tile | None:
    """Where to look for an object that touches the border of its tile.

    First another tile of the same level, centred better, else the first coarser level
    at which the box, as far as it was seen, keeps clear of the borders. Repeated calls
    come to an end: an object that is cut in two tiles of a level goes to a coarser one.

    Parameters
    ----------
    tile
        The tile the object was seen in.
    box
        What was seen of it: ``x0, y0, x1, y1`` in pixels of the plane.
    image_shape
        Rows and columns of the plane.
    imgsz
        Side of the network's input in pixels.

    Returns
    -------
    Tile or None
        None when no tile would hold it better.
    """
    for level in LEVELS:
        if level > tile.magnification:
            continue
        candidate = tile_for_box(image_shape, imgsz, level, box)
        if candidate != tile and not touches_border(candidate, box, image_shape):
            return candidate
    return None


def read_tile(plane: PlaneSource, tile: Tile, imgsz: int) -> NDArray[np.uint8]:
    """Return what the network sees of a tile.

    Reads only the tile's part of the plane, pads it with zeros where the tile reaches
    beyond, and resamples it (bilinear, with antialiasing when it gets smaller).

    Returns
    -------
    ndarray
        ``(imgsz, imgsz, 3)`` uint8; grey images have three equal channels.
    """
    y0, y1, x0, x1 = tile.crop(plane.shape)
    crop = plane.read(y0, y1, x0, x1)
    if crop.shape[:2] != (tile.size, tile.size):
        padded = np.zeros((tile.size, tile.size, *crop.shape[2:]), dtype=np.uint8)
        padded[: crop.shape[0], : crop.shape[1]] = crop
        crop = padded
    if tile.size != imgsz:
        image = Image.fromarray(np.ascontiguousarray(crop))
        # a copy, since Pillow's array cannot be written to, of which torch warns
        crop = np.array(image.resize((imgsz, imgsz), Image.Resampling.BILINEAR))
    if crop.ndim == 2:
        crop = np.repeat(crop[:, :, np.newaxis], 3, axis=2)
    return np.ascontiguousarray(crop)


def _tile_size(imgsz: int, magnification: float) -> int:
    return round(imgsz / magnification)


def _starts(length: int, size: int) -> list[int]:
    """First pixel of each tile along an axis."""
    if length <= size:
        return [0]
    step = size // 2
    return [*range(0, length - size, step), length - size]


def _nearest(starts: list[int], wanted: float) -> int:
    return min(starts, key=lambda start: abs(start - wanted))
