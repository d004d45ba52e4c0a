"""The planes of a Labels layer along a stack, read on any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.layers.images import full_resolution

from .commit import LabelsError, find_grid

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_cellprompt.layers.stacks import LayerStack

__all__ = ["LabelPlanes"]


class LabelPlanes:
    """Ids on the planes of an image's stack; one is read when it is asked for.

    Parameters
    ----------
    labels : napari.layers.Labels
        In memory, dask or zarr; it may be a crop of the image's grid.
    stack : LayerStack
        At least two planes of the image.

    Raises
    ------
    LabelsError
        The layer's pixels are not those of the stack.
    """

    def __init__(self, labels: Labels, stack: LayerStack) -> None:
        first, second = (
            find_grid(labels, stack.view_at(number), stack.image) for number in (0, 1)
        )
        moving = [axis for axis, step in first.index.items() if second.index[axis] != step]
        if len(moving) != 1:
            raise LabelsError(
                f"'{labels.name}' has no {stack.axis.plane_word}s of its own along "
                f"{stack.axis.name}."
            )
        # The layer itself belongs to the GUI thread; planes are read on another one.
        self._data: Any = full_resolution(labels)
        self._match = first
        self._axis = moving[0]
        self._start = first.index[moving[0]]
        self._length = min(len(stack), int(self._data.shape[moving[0]]) - self._start)
        self._shape = stack.shape

    def __len__(self) -> int:
        return self._length

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of planes, rows and columns."""
        return (self._length, *self._shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the ids."""
        dtype: np.dtype[Any] = np.dtype(self._data.dtype)
        return dtype

    def __getitem__(self, plane: int) -> NDArray[Any]:
        """The ids of a plane on the grid of the image, ``(H, W)``; not to be written to."""
        key: list[Any] = [slice(None)] * self._data.ndim
        for axis, step in self._match.index.items():
            key[axis] = step
        key[self._axis] = self._start + plane
        found = np.asarray(self._data[tuple(key)])
        rows, columns = self._match.axes
        if rows > columns:
            found = found.T
        dy, dx = self._match.offset
        if (dy, dx) == (0, 0) and found.shape == self._shape:
            return found
        whole = np.zeros(self._shape, found.dtype)
        height, width = self._shape
        part = found[max(dy, 0) : dy + height, max(dx, 0) : dx + width]
        y0, x0 = max(-dy, 0), max(-dx, 0)
        whole[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
        return whole
