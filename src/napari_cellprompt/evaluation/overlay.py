"""Pictures of results: outlines of labels and prompts over the image."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Prompts

__all__ = ["draw_overlay", "save_png"]

_CLICK = {1: (60, 230, 80), 0: (240, 60, 60)}
_BOX = (255, 220, 60)
_GOLDEN = 0.618034


def draw_overlay(
    image: NDArray[np.uint8], labels: NDArray[Any], prompts: Iterable[Prompts] = ()
) -> NDArray[np.uint8]:
    """Draw the outline of each object in a colour of its own, and the prompts.

    Parameters
    ----------
    image
        ``(H, W)`` or ``(H, W, 3)`` uint8.
    labels
        ``(H, W)`` integer, 0 = background.
    prompts
        Clicks become green (on the object) or red crosses, boxes yellow rectangles.

    Returns
    -------
    ndarray
        ``(H, W, 3)`` uint8, a new array.
    """
    picture = np.array(image if image.ndim == 3 else np.stack([image] * 3, axis=-1))
    outline = _outlines(labels)
    ids = labels[outline]
    for object_id in np.unique(ids):
        rows, columns = (axis[ids == object_id] for axis in np.nonzero(outline))
        # Steps of the golden ratio keep neighbouring ids apart in hue.
        colour = colorsys.hsv_to_rgb((int(object_id) * _GOLDEN) % 1.0, 0.75, 1.0)
        picture[rows, columns] = np.rint(np.array(colour) * 255)
    for item in prompts:
        for (x, y), label in zip(item.points, item.labels, strict=True):
            _cross(picture, round(x), round(y), _CLICK[label])
        if item.box is not None:
            _rectangle(picture, item.box)
    return picture


def save_png(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Write a picture as PNG, completely or not at all.

    Raises
    ------
    SaveError
        When the file cannot be written.
    """
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return path


def _outlines(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels of objects beside a pixel of another object or of the background."""
    edge = np.zeros(labels.shape, dtype=bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    edge &= labels != 0
    return edge


def _cross(
    picture: NDArray[np.uint8], x: int, y: int, colour: tuple[int, int, int]
) -> None:
    picture[max(y - 2, 0) : y + 3, max(x, 0) : x + 1] = colour
    picture[max(y, 0) : y + 1, max(x - 2, 0) : x + 3] = colour


def _rectangle(picture: NDArray[np.uint8], box: tuple[float, float, float, float]) -> None:
    height, width = picture.shape[:2]
    x0, x1 = (int(np.clip(value, 0, width - 1)) for value in (box[0], box[2] - 1))
    y0, y1 = (int(np.clip(value, 0, height - 1)) for value in (box[1], box[3] - 1))
    picture[[y0, y1], x0 : x1 + 1] = _BOX
    picture[y0 : y1 + 1, [x0, x1]] = _BOX
