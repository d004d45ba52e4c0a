"""The grid of labels, as our files of other formats keep it."""

from __future__ import annotations

from typing import Any

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.image_files import LabelGrid

__all__ = ["grid_from"]


def grid_from(said: Any, name: str) -> LabelGrid:
    """A grid from what JSON holds of it.

    Parameters
    ----------
    said
        ``{"axes": "ZYX", "shape": [...], "scale": [...], "unit": "um", "known": "ZYX"}``.
    name
        Of the file, for messages.

    Raises
    ------
    ImageError
        Where it is not of that form.
    """
    try:
        grid = LabelGrid(
            shape=tuple(int(n) for n in said["shape"]),
            axes=str(said["axes"]),
            scale=tuple(float(step) for step in said["scale"]),
            unit=str(said.get("unit", "pixel")),
            known=str(said.get("known", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImageError(f"{name} does not say of what shape its labels are.") from error
    fits = len(grid.axes) == len(grid.shape) == len(grid.scale)
    if not (fits and grid.axes in ("YX", "ZYX", "TYX", "TZYX") and min(grid.shape) > 0):
        raise ImageError(f"{name} names impossible axes: {grid.axes}, {grid.shape}.")
    return grid
