"""An image, the grid of its labels, and what a file says about both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["ImageFile", "LabelGrid"]


@dataclass(frozen=True, slots=True)
class LabelGrid:
    """Where labels lie: the axes of an image without its channels and samples."""

    shape: tuple[int, ...]
    """Length of each axis."""
    axes: str
    """Letters out of T, Z, Y, X."""
    scale: tuple[float, ...]
    """Step along each axis: ``unit`` for X, Y and Z, seconds for T; 1 if not known."""
    unit: str
    """Unit of X, Y and Z; ``pixel`` if not known."""
    known: str = ""
    """Letters of the axes whose step is known."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image and what its file says about it."""

    data: ArrayData
    """NumPy array, memory map or dask array, with its axes as in ``axes``."""
    axes: str
    """Letters out of T, C, Z, Y, X, S; Y and X, and S where there is one, come last."""
    scale: tuple[float, ...]
    """Step along each axis: ``unit`` for X, Y and Z, seconds for T; 1 if not known."""
    unit: str
    """Unit of X, Y and Z; ``pixel`` if not known."""
    known: str = ""
    """Letters of the axes whose step the file says."""
    notes: tuple[str, ...] = ()
    """Sentences for the user on what of the file was left out."""

    @property
    def grid(self) -> LabelGrid:
        """Where labels of this image lie."""
        kept = [i for i, letter in enumerate(self.axes) if letter not in "CS"]
        return LabelGrid(
            shape=tuple(int(self.data.shape[i]) for i in kept),
            axes="".join(self.axes[i] for i in kept),
            scale=tuple(self.scale[i] for i in kept),
            unit=self.unit,
            known="".join(letter for letter in self.known if letter not in "CS"),
        )
