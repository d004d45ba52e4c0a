"""Objects of Labels layers as shapes that can be drawn: what is inside is the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import find_contours

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.rle import decode_part
from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.layers.coordinates import plane_shape, plane_to_layer
from napari_cellprompt.layers.grids import match_grid
from napari_cellprompt.layers.images import full_resolution

from .prompts import set_signs
from .shapes import signs_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image, Labels, Shapes
    from numpy.typing import ArrayLike, NDArray

    from napari_cellprompt.core.types import Prompts
    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = [
    "add_shapes",
    "labels_of_plane",
    "object_outline",
    "outline_of",
    "plane_reader",
]


def outline_of(mask: CroppedMask) -> NDArray[np.float64]:
    """One closed polygon of which just the mask's pixels lie inside.

    Holes and further parts are joined to the first outline by an edge that is gone along
    twice, which changes nothing of what is inside.

    Returns
    -------
    ndarray
        ``(K, 2)`` x, y in pixels of the plane, pixel centres at integers.
    """
    padded = np.pad(mask.data, 1).astype(np.float32)
    rings = find_contours(padded, 0.5)
    if not rings:
        raise PromptError("The object is empty.")
    rings.sort(key=len, reverse=True)
    joined = [rings[0]]
    for ring in rings[1:]:
        joined += [ring, rings[0][:1]]
    y0, x0 = mask.origin
    corners = np.concatenate(joined)[:, ::-1] - 1 + (x0, y0)
    return np.asarray(corners, dtype=np.float64)


def add_shapes(boxes: Shapes, image: Image, view: PlaneView, prompts: Prompts) -> None:
    """Draw the box, the mask and the lines of prompts, as they were read from shapes."""
    signs = signs_of(boxes)
    drawn: list[tuple[ArrayLike, str, int]] = []
    if prompts.box is not None:
        x0, y0, x1, y1 = (value - 0.5 for value in prompts.box)
        drawn.append((((x0, y0), (x1, y0), (x1, y1), (x0, y1)), "rectangle", 1))
    mask = None if prompts.mask is None else decode_part(prompts.mask)
    if mask is not None:
        drawn.append((outline_of(mask), "polygon", 1))
    for path, sign in prompts.strokes:
        drawn.append((path, "line" if len(path) == 2 else "path", sign))
    if drawn:
        boxes.add(
            [plane_to_layer(image, boxes, view, corners) for corners, _, _ in drawn],
            shape_type=[kind for _, kind, _ in drawn],
        )
        set_signs(boxes, [*signs, *(sign for _, _, sign in drawn)])


def plane_reader(
    labels: Labels, image: Image, view: PlaneView
) -> Callable[[], NDArray[np.integer]]:
    """What reads a Labels layer on a plane of an image, on any thread.

    Returns
    -------
    callable
        Gives ``(H, W)`` ids; 0 beyond the layer.

    Raises
    ------
    PromptError
        The pixels of both do not coincide; the message says why.
    """
    match = match_grid(image, labels, view)
    if isinstance(match, str):
        raise PromptError(match)
    shape = plane_shape(image, view)
    spans = []
    data = full_resolution(labels)
    for axis, offset, length in zip(match.axes, match.offset, shape, strict=True):
        first, stop = max(-offset, 0), min(data.shape[axis] - offset, length)
        spans.append((first, max(stop, first), offset))
    index: dict[int, int | slice] = dict(match.index)
    for axis, (first, stop, offset) in zip(match.axes, spans, strict=True):
        index[axis] = slice(first + offset, stop + offset)
    inside = all(0 <= position < data.shape[axis] for axis, position in match.index.items())

    def read() -> NDArray[np.integer]:
        plane = np.zeros(shape, dtype=data.dtype)
        if inside:
            part = data[tuple(index[axis] for axis in range(data.ndim))]
            (top, bottom, _), (left, right, _) = spans
            plane[top:bottom, left:right] = np.asarray(part)
        return plane

    return read


def labels_of_plane(labels: Labels, image: Image, view: PlaneView) -> NDArray[np.integer]:
    """What a Labels layer holds on a plane of an image, ``(H, W)``; 0 beyond the layer.

    Raises
    ------
    PromptError
        The pixels of both do not coincide; the message says why.
    """
    return plane_reader(labels, image, view)()


def object_outline(
    plane: NDArray[np.integer], number: int, name: str
) -> NDArray[np.float64]:
    """Outline of one object of a Labels layer on a plane, as ``outline_of`` gives it.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
        The ids.
    number : int
        The object's.
    name : str
        Of the layer.

    Raises
    ------
    PromptError
        It is not there; the message says what to do.
    """
    inside = plane == number
    box = CroppedMask(inside, (0, 0), inside.shape).box
    if number <= 0 or box is None:
        raise PromptError(
            f"'{name}' has no object {number} on this plane: choose one with the layer's "
            "picker (5) or its number."
        )
    part = inside[box.y0 : box.y1, box.x0 : box.x1]
    return outline_of(CroppedMask(part, (box.y0, box.x0), inside.shape))
