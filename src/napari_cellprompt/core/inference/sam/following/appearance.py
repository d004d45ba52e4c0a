"""What an object looks like against its surroundings, learnt where it was prompted.

A small network follows outlines poorly when an object shrinks from plane to plane. Grey
values often tell better where it still is: how much more often a value occurs inside the
object than around it, on the prompted plane, is evidence on each pixel of the next ones
(a histogram as a model of foreground and background, as in interactive graph cuts:
Boykov and Jolly 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from napari_cellprompt.core.images.tiles import read_tile
from napari_cellprompt.core.types import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import CroppedMask

    from .views import ViewOfPlane

__all__ = ["Appearance", "learn_appearance"]

_BINS = 32
_SMOOTH = 1.5
"""Bins over which counts are smeared: an object has few pixels."""
_LIMIT = 2.0
"""No grey value tells more than this, as the logarithm of a ratio."""
_BLUR = 1.0
"""Pixels (of a quarter of the model's input) over which evidence is averaged."""


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """Evidence by grey value."""

    table: NDArray[np.float32]
    """``(bins,)``: logarithm of how much more often a value occurs inside than around."""

    def evidence(self, plane: PlaneSource, view: ViewOfPlane, imgsz: int) -> Tensor:
        """What speaks against each pixel, 0 or below, ``(1, imgsz / 4, imgsz / 4)``.

        What speaks for the object is left out: its neighbours look the same, and it
        would grow into them.
        """
        if isinstance(view, Tile):
            pixels = read_tile(plane, view, imgsz)
        else:
            pixels = view.read(plane, imgsz)
        grey = torch.from_numpy(pixels).float().mean(2)[None, None]
        small = F.avg_pool2d(grey, 4)[0, 0].numpy()
        found = self.table[_bins(small)]
        return torch.from_numpy(ndimage.gaussian_filter(found, _BLUR))[None].clamp(max=0.0)


def learn_appearance(plane: PlaneSource, mask: CroppedMask) -> Appearance | None:
    """Grey values of an object against those around it; None where nothing is around."""
    box = mask.box
    if box is None:
        return None
    x0, y0, x1, y1 = box
    margin = max(4, round(0.5 * max(x1 - x0, y1 - y0)))
    height, width = plane.shape
    top, left = max(y0 - margin, 0), max(x0 - margin, 0)
    grey = plane.read_grey(top, min(y1 + margin, height), left, min(x1 + margin, width))
    inside = np.zeros(grey.shape, bool)
    rows, columns = mask.indices()
    inside[rows - top, columns - left] = True
    around = ~ndimage.binary_dilation(inside)
    if not around.any():
        return None
    shares = []
    for where in (inside, around):
        counts = np.bincount(_bins(grey[where]).ravel(), minlength=_BINS).astype(float)
        smooth = ndimage.gaussian_filter1d(counts, _SMOOTH, mode="nearest")
        shares.append((smooth + 0.5) / (smooth.sum() + 0.5 * _BINS))
    table = np.log(shares[0] / shares[1]).clip(-_LIMIT, _LIMIT)
    return Appearance(table.astype(np.float32))


def _bins(grey: NDArray[np.generic]) -> NDArray[np.intp]:
    scaled = grey.astype(np.float32) * (_BINS / 256)
    return scaled.astype(np.intp).clip(0, _BINS - 1)
