"""What files say of objects beside their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_cellprompt.core.images.sampling import ArrayData

    from .image_files import LabelGrid

__all__ = ["ImportedLabels", "ObjectFacts"]


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What is said of one object."""

    name: str = ""
    """Given by the user; empty: none."""
    class_name: str = ""
    """Empty: none."""
    state: str = ""
    """Such as ``accepted``, ``verified``, ``needs work``; empty: nobody has told."""
    trust: float | None = None
    """How far its outlines can be trusted, 0 to 1; None: nobody has told."""
    parent: int | None = None
    """Id of the object that divided into this one and a sister."""

    @property
    def verified(self) -> bool:
        """Whether a person found it right."""
        return self.state == "verified"


@dataclass(frozen=True, slots=True, eq=False)
class ImportedLabels:
    """Labels from a file, with what it says of them."""

    labels: ArrayData
    """Integers, 0 = background; axes as ``grid`` says. NumPy, dask or zarr."""
    grid: LabelGrid
    objects: Mapping[int, ObjectFacts]
    """By id; objects of which nothing is said may be missing."""
    notes: tuple[str, ...] = ()
    """Sentences for the user on what was left out or assumed."""
