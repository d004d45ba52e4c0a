"""Where propagation looks: a tile that follows the object, or the whole plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from napari_cellprompt.core.images.tiles import (
    choose_magnification,
    next_tile,
    tile_for_box,
    touches_border,
)
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.types import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.following import Geometry
    from napari_cellprompt.core.types import Box, Candidate, CroppedMask

__all__ = [
    "FieldView",
    "ViewOfPlane",
    "choose_view",
    "follow",
    "from_view",
    "in_view",
    "is_cut",
    "to_view",
]

_LARGE = 0.144
"""An object of this share of the plane is resolved when the whole plane is shown."""
_SQUEEZE = 1.5
"""A plane that is longer than this times its width would be distorted too much."""
_SHARES = (0.08, 0.45)
"""The level changes when an object spans less or more of its tile than this; wider than
what levels are chosen for (0.144 to 0.289), so that it does not change to and fro."""
_MARGIN = 1 / 16
"""The tile changes when the object comes this near to its border (share of its side)."""


@dataclass(frozen=True, slots=True)
class FieldView:
    """The whole plane, squeezed to the model's square."""

    height: int
    width: int

    def read(self, plane: PlaneSource, imgsz: int) -> NDArray[np.uint8]:
        """What the network sees, ``(imgsz, imgsz, 3)`` uint8 (bicubic, as for videos)."""
        pixels = plane.read(0, self.height, 0, self.width)
        image = Image.fromarray(pixels).resize((imgsz, imgsz), Image.Resampling.BICUBIC)
        array = np.array(image)
        return array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)


ViewOfPlane = Tile | FieldView


def choose_view(
    box: Box, shape: tuple[int, int], imgsz: int, geometry: Geometry
) -> ViewOfPlane:
    """Where to follow an object that covers this box (x0, y0, x1, y1)."""
    size = box.side
    large = size >= _LARGE * max(shape) and max(shape) <= _SQUEEZE * min(shape)
    if geometry == "field" or (geometry == "auto" and large):
        return FieldView(*shape)
    level = choose_magnification(size, imgsz)
    tile = tile_for_box(shape, imgsz, level, box)
    if touches_border(tile, box, shape):
        return next_tile(tile, box, shape, imgsz) or tile
    return tile


def follow(view: ViewOfPlane, box: Box, shape: tuple[int, int], imgsz: int) -> ViewOfPlane:
    """The view for the next plane of an object that was found in ``view`` at ``box``.

    The same one unless the object comes near the border of its tile, or has become too
    small or too large for its level.
    """
    if isinstance(view, FieldView):
        return view
    size = box.side
    share = size / view.size
    fits = _SHARES[0] <= share <= _SHARES[1]
    level = view.magnification if fits else choose_magnification(size, imgsz)
    margin = _MARGIN * view.size
    wide = (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin)
    if level == view.magnification and not touches_border(view, wide, shape):
        return view
    tile = tile_for_box(shape, imgsz, level, box)
    if touches_border(tile, box, shape):
        return next_tile(tile, box, shape, imgsz) or tile
    return tile


def is_cut(view: ViewOfPlane, box: Box, shape: tuple[int, int]) -> bool:
    """Whether an object may go on beyond its view."""
    return isinstance(view, Tile) and touches_border(view, box, shape)


def in_view(by: tuple[float, float], view: ViewOfPlane, side: int) -> tuple[int, int]:
    """Rows and columns of a plane as those of a view of ``side`` pixels, rounded."""
    if isinstance(view, Tile):
        return round(by[0] * side / view.size), round(by[1] * side / view.size)
    return round(by[0] * side / view.height), round(by[1] * side / view.width)


def to_view(mask: CroppedMask, view: ViewOfPlane, imgsz: int) -> Tensor:
    """A mask as the network sees it, ``(1, 1, imgsz, imgsz)`` float32 of 0 and 1."""
    if isinstance(view, Tile):
        height = width = view.size
        top, left = view.y0, view.x0
    else:
        height, width, top, left = view.height, view.width, 0, 0
    canvas = np.zeros((height, width), np.float32)
    y0, x0 = mask.origin[0] - top, mask.origin[1] - left
    rows, columns = mask.data.shape
    inside = np.s_[max(y0, 0) : max(y0 + rows, 0), max(x0, 0) : max(x0 + columns, 0)]
    part = canvas[inside]
    part[...] = mask.data[
        max(-y0, 0) : max(-y0, 0) + part.shape[0],
        max(-x0, 0) : max(-x0, 0) + part.shape[1],
    ]
    shown = torch.from_numpy(canvas)[None, None]
    if (height, width) != (imgsz, imgsz):
        shown = F.interpolate(shown, size=(imgsz, imgsz), mode="bilinear", antialias=True)
        shown = (shown >= 0.5).float()
    return shown


def from_view(
    low_res: Tensor, view: ViewOfPlane, shape: tuple[int, int], score: float
) -> Candidate:
    """Logits ``(1, s, s)`` of a view as a mask of the plane."""
    if isinstance(view, Tile):
        size = (view.size, view.size)
        y0, y1, x0, x1 = view.crop(shape)
    else:
        size = shape
        y0, y1, x0, x1 = 0, shape[0], 0, shape[1]
    full = F.interpolate(low_res[None].float(), size=size, mode="bilinear")[0, 0]
    logits = full[: y1 - y0, : x1 - x0].cpu().numpy()
    return cut_candidate(logits, score, origin=(y0, x0), plane_shape=shape)
