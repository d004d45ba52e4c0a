"""Label stacks whose planes are made one by one, when they are looked at."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["stacked"]

# Up to this size a stack is made at once; a larger one plane by plane when needed.
_EAGER_BYTES = 512 * 2**20


def stacked(
    draw: Callable[[tuple[int, ...]], NDArray[Any]],
    outer: Sequence[int],
    plane_shape: Sequence[int],
    dtype: np.dtype[Any],
) -> ArrayData:
    """One array of many planes.

    Parameters
    ----------
    draw
        Gives the plane at a place along the outer axes, of ``plane_shape``.
    outer
        Lengths of these axes; may be empty.
    plane_shape
        Of what ``draw`` gives.
    dtype
        Of the array.

    Returns
    -------
    ndarray or dask array
        A dask array when all planes together are larger than 512 MB.
    """
    shape = (*outer, *plane_shape)
    places = list(itertools.product(*(range(length) for length in outer)))
    if math.prod(shape) * dtype.itemsize <= _EAGER_BYTES:
        whole = np.zeros(shape, dtype)
        for place in places:
            whole[place] = draw(place)
        return whole

    import dask.array as da
    from dask.delayed import delayed

    def part(place: tuple[int, ...]) -> NDArray[Any]:
        return draw(place).astype(dtype, copy=False)

    # Not pure: making a name from what the function holds would read all of it.
    lazy = delayed(part, pure=False)
    planes = [
        da.from_delayed(lazy(place), shape=tuple(plane_shape), dtype=dtype)
        for place in places
    ]
    stack: ArrayData = da.stack(planes).reshape(shape)
    return stack
