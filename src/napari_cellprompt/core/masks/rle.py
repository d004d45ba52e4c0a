"""Run lengths of binary masks in COCO's compressed form.

Runs alternate between 0 and 1, start with 0 and go down the columns. From the third
on, each is stored as the difference to the run two before; numbers are written in
groups of five bits, lowest first, a sixth bit says that more follow, and 48 is added
to make them printable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.types import CroppedMask, MaskRLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["area", "decode", "decode_part", "encode", "encode_part"]

# Longest number that can occur has 64 bits; more groups are no mask.
_MAX_GROUPS = 13


def encode(mask: NDArray[Any]) -> MaskRLE:
    """Compress a mask.

    Parameters
    ----------
    mask
        ``(H, W)``, nonzero = object.

    Raises
    ------
    PromptError
        When the mask does not have two axes.
    """
    if mask.ndim != 2:
        raise PromptError(f"A mask must have two axes: got the shape {mask.shape}.")
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    borders = np.concatenate([[0], changes, [flat.size]])
    runs = np.diff(borders).tolist() if flat.size else []
    if flat.size and flat[0]:
        runs.insert(0, 0)
    return _packed(runs, (int(mask.shape[0]), int(mask.shape[1])))


def encode_part(
    part: NDArray[Any], origin: tuple[int, int], plane_shape: tuple[int, int]
) -> MaskRLE:
    """Compress a mask that is empty outside a box, in a time that only the box counts for.

    Parameters
    ----------
    part
        ``(h, w)``, nonzero = object.
    origin
        Row and column of its first pixel in the plane.
    plane_shape
        Rows and columns of the plane, in which the part lies.
    """
    height, width = plane_shape
    padded = np.zeros((part.shape[1], part.shape[0] + 2), np.int8)
    padded[:, 1:-1] = np.asarray(part, dtype=bool).T
    steps = np.diff(padded, axis=1)
    starts, ends = (
        (columns + origin[1]) * height + rows + origin[0]
        for columns, rows in (np.nonzero(steps == 1), np.nonzero(steps == -1))
    )
    # Where a run reaches the last row and the next one starts in the first, they are one.
    apart = starts[1:] != ends[:-1]
    starts = starts[np.concatenate([[True], apart])] if starts.size else starts
    ends = ends[np.concatenate([apart, [True]])] if ends.size else ends
    borders = np.column_stack([starts, ends]).ravel()
    runs = np.diff(np.concatenate([[0], borders, [height * width]])).tolist()
    if len(runs) > 1 and runs[-1] == 0:
        runs.pop()
    return _packed(runs, plane_shape)


def decode(rle: MaskRLE) -> NDArray[np.bool_]:
    """Return the mask, ``(H, W)`` bool.

    Raises
    ------
    PromptError
        When the string is no run-length code or does not fill the size.
    """
    height, width = rle.size
    runs = _runs(rle.counts)
    if height < 0 or width < 0 or sum(runs) != height * width:
        raise PromptError(
            f"The run lengths of a mask add up to {sum(runs)} pixels, but its size is "
            f"{height} x {width}."
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def decode_part(rle: MaskRLE) -> CroppedMask | None:
    """The rectangle that a mask takes, in a time that only its columns count for.

    Returns
    -------
    CroppedMask or None
        Tight; None where the mask is empty.

    Raises
    ------
    PromptError
        As for :func:`decode`.
    """
    height, width = rle.size
    runs = np.asarray(_runs(rle.counts), dtype=np.int64)
    ends = np.cumsum(runs)
    if height < 0 or width < 0 or int(ends[-1] if len(ends) else 0) != height * width:
        return CroppedMask(decode(rle), (0, 0), rle.size)  # which says what is wrong
    stops = ends[1::2]
    starts = stops - runs[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not starts.size:
        return None
    first, last = int(starts[0] // height), int((stops[-1] - 1) // height)
    steps = np.zeros((last - first + 1) * height + 1, dtype=np.int8)
    steps[starts - first * height] = 1
    np.subtract.at(steps, stops - first * height, 1)
    columns = np.cumsum(steps[:-1], dtype=np.int8).reshape(-1, height).astype(bool)
    rows = np.flatnonzero(columns.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    part = np.ascontiguousarray(columns[:, top:bottom].T)
    return CroppedMask(part, (top, first), rle.size)


def area(rle: MaskRLE) -> int:
    """Number of pixels of a mask, which is not unpacked for that."""
    return sum(_runs(rle.counts)[1::2])


def _packed(runs: list[int], plane_shape: tuple[int, int]) -> MaskRLE:
    numbers = [run - runs[i - 2] if i > 2 else run for i, run in enumerate(runs)]
    return MaskRLE(size=plane_shape, counts="".join(map(_pack, numbers)))


def _pack(number: int) -> str:
    characters = []
    while True:
        group = number & 0x1F
        number >>= 5
        # The top bit of the last group is the sign.
        done = number == (-1 if group & 0x10 else 0)
        characters.append(chr(48 + (group if done else group | 0x20)))
        if done:
            return "".join(characters)


def _runs(counts: str) -> list[int]:
    runs: list[int] = []
    number = groups = 0
    for character in counts:
        code = ord(character) - 48
        if not 0 <= code < 64 or groups >= _MAX_GROUPS:
            raise PromptError(f"A mask's run lengths hold {character!r} at a wrong place.")
        number |= (code & 0x1F) << (5 * groups)
        groups += 1
        if code & 0x20:
            continue
        if code & 0x10:
            number -= 1 << (5 * groups)
        if len(runs) > 2:
            number += runs[-2]
        if number < 0:
            raise PromptError("A mask's run lengths hold a negative length.")
        runs.append(number)
        number = groups = 0
    if groups:
        raise PromptError("A mask's run lengths end in the middle of a number.")
    return runs
