"""Label arrays that the steps of a session are written into, as a Labels layer would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.io.session_file import SessionFileError
from napari_cellprompt.io.session_masks import (
    apply_pixels,
    changed_pixels,
    plane_key,
    unpack_mask,
)
from napari_cellprompt.io.session_types import Accept, Change, Propagate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.io.session_types import LayerEntry, Pixels, PlaneOfObject, Step

__all__ = ["Canvas"]


class Canvas:
    """Arrays of ids, one for each Labels layer of a session.

    Memory is taken where something is written only: arrays of zeros cost nothing.

    Parameters
    ----------
    layers
        What the arrays are like.
    """

    def __init__(self, layers: Iterable[LayerEntry] = ()) -> None:
        self.arrays: list[NDArray[Any]] = []
        for layer in layers:
            self.add(layer.shape, layer.dtype)

    def add(self, shape: Sequence[int], dtype: DTypeLike) -> None:
        """Add an empty array.

        Raises
        ------
        SessionFileError
            When ids cannot be of that type.
        """
        try:
            kind = np.dtype(dtype)
            if kind.kind not in "biu":
                raise TypeError(f"{kind} is no type of whole numbers")
            self.arrays.append(np.zeros(tuple(shape), kind))
        except (TypeError, ValueError, MemoryError) as error:
            raise SessionFileError(
                f"The session is damaged: labels of shape {tuple(shape)}: {error}."
            ) from error

    def widen(self, layer: int, dtype: DTypeLike) -> None:
        """Give an array another type of integers."""
        if self.arrays[layer].dtype != np.dtype(dtype):
            self.arrays[layer] = self.arrays[layer].astype(dtype)

    def apply(self, step: Step, masks: Sequence[CroppedMask | None] | None = None) -> None:
        """Do what a step did.

        Parameters
        ----------
        step
            Of a session.
        masks
            Of the objects, or the planes of objects, of the step; those that the session
            has when left out.

        Raises
        ------
        SessionFileError
            When the step does not fit the labels.
        """
        array = self.arrays[step.layer]
        if isinstance(step, Change):
            for pixels in step.pixels:
                apply_pixels(
                    array[plane_key(pixels.index, pixels.axes, array.ndim)], pixels
                )
        elif isinstance(step, Accept):
            plane = array[plane_key(step.place.index, step.place.axes, array.ndim)]
            for number, one in enumerate(step.objects):
                mask = unpack_mask(one.mask) if masks is None else masks[number]
                if mask is not None:
                    _write(plane, mask, step.place.offset, one.id, step.policy)
        else:
            self._follow(array, step, masks)

    def _follow(
        self,
        array: NDArray[Any],
        step: Propagate,
        masks: Sequence[CroppedMask | None] | None,
    ) -> None:
        for number, item in enumerate(step.planes):
            plane = array[plane_key(item.place.index, item.place.axes, array.ndim)]
            if masks is not None:
                mask = masks[number]
            else:
                mask = None if item.mask is None else unpack_mask(item.mask)
            _replace(plane, item, mask, step.policy)

    def differences(self, layer: int, actual: NDArray[Any]) -> list[Pixels]:
        """What has to be changed for an array to be as a layer is; nothing is changed."""
        array = self.arrays[layer]
        axes = (array.ndim - 2, array.ndim - 1)
        found = []
        for index in np.ndindex(array.shape[:-2]):
            pixels = None
            if not np.array_equal(array[index], actual[index]):
                pixels = changed_pixels(array[index], actual[index], index, axes)
            if pixels is not None:
                found.append(pixels)
        return found


def _part(plane: NDArray[Any], mask: CroppedMask, offset: tuple[int, int]) -> NDArray[Any]:
    """The pixels of a plane that lie under the rectangle of a mask."""
    y0, x0 = mask.origin[0] + offset[0], mask.origin[1] + offset[1]
    height, width = mask.data.shape
    if y0 < 0 or x0 < 0 or y0 + height > plane.shape[0] or x0 + width > plane.shape[1]:
        raise SessionFileError(
            "The session is damaged: a mask lies outside of its Labels layer."
        )
    part: NDArray[Any] = plane[y0 : y0 + height, x0 : x0 + width]
    return part


def _allowed(
    part: NDArray[Any], mask: CroppedMask, number: int, policy: str
) -> NDArray[np.bool_]:
    """Pixels of a mask that an object gets."""
    if policy == "replace":
        return mask.data
    # -1 is background as well, in the labels of some programs.
    free: NDArray[np.bool_] = mask.data & ((part <= 0) | (part == number))
    return free


def _write(
    plane: NDArray[Any],
    mask: CroppedMask,
    offset: tuple[int, int],
    number: int,
    policy: str,
) -> None:
    part = _part(plane, mask, offset)
    part[_allowed(part, mask, number, policy)] = number


def _replace(
    plane: NDArray[Any], item: PlaneOfObject, mask: CroppedMask | None, policy: str
) -> None:
    """Write an object of a propagation, which may give up pixels that it had."""
    part = None if mask is None else _part(plane, mask, item.place.offset)
    allowed = None
    if mask is not None and part is not None:
        allowed = _allowed(part, mask, item.id, policy).copy()
    if item.erase:
        plane[plane == item.id] = 0
    if part is not None:
        part[allowed] = item.id
