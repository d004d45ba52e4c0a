"""Masks of finished planes, packed small enough to keep those of a whole stack."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.types import Box, CroppedMask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["PackedMask", "without_overlap"]

_STEP = 0.25
"""Logits are kept in steps of this ..."""
_HIGHEST = 64
"""... up to so many of them: who of two objects gets a pixel is decided by less."""


@dataclass(frozen=True, slots=True, eq=False)
class PackedMask:
    """A mask and coarse logits inside it, compressed."""

    data: bytes
    shape: tuple[int, int]
    """Rows and columns of the rectangle that is stored."""
    origin: tuple[int, int]
    """``(y0, x0)`` of the rectangle in the plane."""
    plane_shape: tuple[int, int]
    area: int
    """Pixels of the object."""

    @classmethod
    def pack(
        cls, mask: CroppedMask, logits: NDArray[np.float32] | None = None, *, rank: int = 0
    ) -> PackedMask:
        """Pack a mask.

        Parameters
        ----------
        mask
            To be kept.
        logits
            ``(h, w)`` over the same rectangle; None makes every pixel sure.
        rank
            0 to 2: a mask of a higher rank wins every pixel from one of a lower.
        """
        box = mask.box
        if box is None:
            return cls(b"", (0, 0), (0, 0), mask.plane_shape, 0)
        x0, y0, x1, y1 = box
        top, left = mask.origin
        part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        if logits is None:
            levels = np.full((y1 - y0, x1 - x0), _HIGHEST, np.uint8)
        else:
            levels = np.clip(np.ceil(logits[part] / _STEP), 1, _HIGHEST).astype(np.uint8)
        levels += np.uint8(rank * _HIGHEST)
        levels[~mask.data[part]] = 0
        return cls(
            zlib.compress(levels.tobytes(), 1),
            (y1 - y0, x1 - x0),
            (y0, x0),
            mask.plane_shape,
            int(np.count_nonzero(levels)),
        )

    @property
    def nbytes(self) -> int:
        """Memory that the packed mask takes, in bytes."""
        return len(self.data)

    @property
    def box(self) -> Box | None:
        """Tight ``x0, y0, x1, y1`` in the plane; None when empty."""
        (y0, x0), (height, width) = self.origin, self.shape
        return Box(x0, y0, x0 + width, y0 + height) if self.area else None

    def levels(self) -> NDArray[np.uint8]:
        """``(h, w)``: 0 outside the object, inside the higher the surer."""
        if not self.data:
            return np.zeros((0, 0), np.uint8)
        flat = np.frombuffer(zlib.decompress(self.data), np.uint8)
        return flat.reshape(self.shape)

    def mask(self) -> CroppedMask:
        """The mask as it was packed."""
        return CroppedMask(self.levels() > 0, self.origin, self.plane_shape)


def without_overlap(
    mask: PackedMask, others: Mapping[int, PackedMask], own: int
) -> CroppedMask:
    """Take away the pixels that other objects of the plane claim more strongly.

    Parameters
    ----------
    mask
        Of the object.
    others
        Masks by id: the higher rank wins, then the higher logit, then the lower id.
    own
        Id of the object.
    """
    levels = mask.levels()
    inside = levels > 0
    box = mask.box
    if box is None:
        return CroppedMask(inside, mask.origin, mask.plane_shape)
    for number, other in others.items():
        theirs = other.box
        if theirs is None:
            continue
        x0, y0 = max(box[0], theirs[0]), max(box[1], theirs[1])
        x1, y1 = min(box[2], theirs[2]), min(box[3], theirs[3])
        if x0 >= x1 or y0 >= y1:
            continue
        mine = np.s_[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]]
        rows = slice(y0 - theirs[1], y1 - theirs[1])
        claim = other.levels()[rows, x0 - theirs[0] : x1 - theirs[0]]
        stronger = claim >= levels[mine] if number < own else claim > levels[mine]
        inside[mine] &= ~(stronger & (claim > 0))
    return CroppedMask(inside, mask.origin, mask.plane_shape)
