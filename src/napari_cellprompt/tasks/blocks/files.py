"""What is kept of a block between two steps, in a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .plan import Block

__all__ = ["Found", "Workspace"]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The objects of one block; each array has one row for each, ids count from 1."""

    quality: NDArray[np.float32]
    """0 to 1, see ``FoundObject.quality``."""
    middle: NDArray[np.float64]
    """``(N, 2)`` y, x in pixels of the plane."""
    area: NDArray[np.int64]
    """Pixels."""
    cut: NDArray[np.bool_]
    """Whether the block ends within the object."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with a file for each finished step of each block."""

    folder: Path

    def found_file(self, block: Block) -> Path:
        """Labels and table of a block."""
        return self.folder / f"{block.name}.npz"

    def save_found(self, block: Block, labels: NDArray[Any], found: Found) -> None:
        """Write labels ``(h, w)`` of a block, margin included, with their table."""
        with replacing(self.found_file(block)) as temporary:
            with temporary.open("wb") as file:
                np.savez_compressed(
                    file,
                    labels=labels,
                    quality=found.quality,
                    middle=found.middle,
                    area=found.area,
                    cut=found.cut,
                )

    def labels(self, block: Block) -> NDArray[Any]:
        """Labels ``(h, w)`` of a block, margin included."""
        with np.load(self.found_file(block)) as arrays:
            labels: NDArray[Any] = arrays["labels"]
        return labels

    def table(self, block: Block) -> Found:
        """The objects of a block; its labels are not read."""
        with np.load(self.found_file(block)) as arrays:
            return Found(arrays["quality"], arrays["middle"], arrays["area"], arrays["cut"])

    def save_ids(self, block: Block, ids: NDArray[np.uint32]) -> None:
        """Write the final id of each id of a block ``(N + 1,)``, 0 for what is left out."""
        with replacing(self._ids_file(block)) as temporary:
            with temporary.open("wb") as file:
                np.save(file, ids)

    def ids(self, block: Block) -> NDArray[np.uint32]:
        """The final id of each id of a block."""
        ids: NDArray[np.uint32] = np.load(self._ids_file(block))
        return ids

    def _ids_file(self, block: Block) -> Path:
        return self.folder / f"{block.name}_ids.npy"
