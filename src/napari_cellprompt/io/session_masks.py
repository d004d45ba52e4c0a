"""Masks and changed pixels as a session file holds them, and back."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.packed import PackedMask
from napari_cellprompt.core.masks.rle import decode, encode
from napari_cellprompt.core.types import CroppedMask, MaskRLE

from .session_file import SessionFileError
from .session_types import MaskEntry, PackedEntry, Pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "apply_pixels",
    "changed_pixels",
    "pack_levels",
    "pack_mask",
    "plane_key",
    "unpack_levels",
    "unpack_mask",
]

UNCHANGED = -(2**63)
"""Stands in a box of changed pixels for those that have not changed."""


def pack_mask(mask: CroppedMask) -> MaskEntry:
    """Compress a mask to the box around its object."""
    box = mask.box
    if box is None:
        return MaskEntry(origin=(0, 0), size=(0, 0), counts="")
    top, left = mask.origin
    part = mask.data[box.y0 - top : box.y1 - top, box.x0 - left : box.x1 - left]
    rle = encode(part)
    return MaskEntry(origin=(box.y0, box.x0), size=rle.size, counts=rle.counts)


def unpack_mask(entry: MaskEntry) -> CroppedMask:
    """The mask of an entry; the size of its plane is not known and left at 0.

    Raises
    ------
    SessionFileError
        When it is damaged.
    """
    try:
        data = decode(MaskRLE(entry.size, entry.counts))
    except PromptError as error:
        raise SessionFileError(f"A mask of the session is damaged: {error}") from error
    return CroppedMask(data, entry.origin, (0, 0))


def plane_key(
    index: tuple[int, ...], axes: tuple[int, int], ndim: int
) -> tuple[int | slice, ...]:
    """Index of a plane ``(rows, columns)`` in an array, from the place of its other axes.

    Raises
    ------
    SessionFileError
        When the array has another number of axes.
    """
    others = [axis for axis in range(ndim) if axis not in axes]
    if len(index) != len(others) or not 0 <= axes[0] < axes[1] < ndim:
        raise SessionFileError(
            f"The session is damaged: it names a plane of {len(index) + 2} axes in labels "
            f"of {ndim}."
        )
    key: list[int | slice] = [slice(None)] * ndim
    for axis, step in zip(others, index, strict=True):
        key[axis] = step
    return tuple(key)


def changed_pixels(
    before: NDArray[Any],
    after: NDArray[Any],
    index: tuple[int, ...],
    axes: tuple[int, int],
) -> Pixels | None:
    """What is different on one plane; None where nothing is.

    Parameters
    ----------
    before, after
        ``(H, W)`` ids of the plane.
    index, axes
        Which plane of its array it is.
    """
    different = before != after
    rows = np.flatnonzero(different.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(different.any(axis=0))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    x0, x1 = int(columns[0]), int(columns[-1]) + 1
    part = np.where(
        different[y0:y1, x0:x1], after[y0:y1, x0:x1].astype(np.int64), UNCHANGED
    )
    values = zlib.compress(part.astype("<i8").tobytes(), 1)
    return Pixels(
        index=index,
        axes=axes,
        box=(x0, y0, x1, y1),
        values=base64.b64encode(values).decode("ascii"),
    )


def apply_pixels(plane: NDArray[Any], pixels: Pixels) -> None:
    """Write changed pixels into their plane ``(H, W)``.

    Raises
    ------
    SessionFileError
        When they are damaged, or outside of the plane.
    """
    x0, y0, x1, y1 = pixels.box
    height, width = plane.shape
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise SessionFileError(
            f"The session is damaged: pixels at {pixels.box} lie outside of labels of "
            f"{width} x {height} pixels."
        )
    flat = np.frombuffer(_inflated(pixels.values, 8 * (x1 - x0) * (y1 - y0)), "<i8")
    values = flat.reshape(y1 - y0, x1 - x0)
    part = plane[y0:y1, x0:x1]
    changed = values != UNCHANGED
    part[changed] = values[changed].astype(plane.dtype)


def pack_levels(mask: PackedMask | None) -> PackedEntry | None:
    """A mask of a propagation with the levels inside it."""
    if mask is None:
        return None
    return PackedEntry(
        origin=mask.origin,
        shape=mask.shape,
        plane_shape=mask.plane_shape,
        area=mask.area,
        data=base64.b64encode(mask.data).decode("ascii"),
    )


def unpack_levels(entry: PackedEntry | None) -> PackedMask | None:
    """The mask of an entry.

    Raises
    ------
    SessionFileError
        When it is damaged.
    """
    if entry is None:
        return None
    if entry.data:
        _inflated(entry.data, entry.shape[0] * entry.shape[1])
    data = base64.b64decode(entry.data)
    return PackedMask(data, entry.shape, entry.origin, entry.plane_shape, entry.area)


def _inflated(text: str, nbytes: int) -> bytes:
    """Bytes from base64 of zlib, of which there must be so many and no more."""
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(base64.b64decode(text, validate=True), nbytes + 1)
    except (binascii.Error, zlib.error) as error:
        raise SessionFileError(f"The session is damaged: {error}.") from error
    if len(data) != nbytes:
        raise SessionFileError("The session is damaged: a mask has another size.")
    return data
