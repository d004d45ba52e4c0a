"""Candidates of several planes, filtered and named together without the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.masks.found import (
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.masks.labels import resolve_overlaps
from napari_cellprompt.core.masks.linking import PlaneLinker
from napari_cellprompt.core.types import CroppedMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Arrangement", "arrange"]


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """What the filters leave of the candidates."""

    labels: dict[int, NDArray[np.uint32]]
    """By plane: ``(H, W)``, ids from 1 on, one per object of the stack."""
    removed: dict[str, int]
    """Candidates that each filter removed, on all planes together."""
    candidates: int
    """On all planes together."""

    @property
    def count(self) -> int:
        """Number of objects; one that is linked through planes counts once."""
        return max((int(plane.max(initial=0)) for plane in self.labels.values()), default=0)

    def masks(self) -> list[tuple[int, int, CroppedMask]]:
        """Plane, id and mask of each object on each plane."""
        from scipy.ndimage import find_objects

        found = []
        for number in sorted(self.labels):
            plane = self.labels[number]
            shape = (int(plane.shape[0]), int(plane.shape[1]))
            for position, part in enumerate(find_objects(plane.astype(np.int64))):
                if part is not None:
                    rows, columns = part
                    data = plane[part] == position + 1
                    mask = CroppedMask(data, (rows.start, columns.start), shape)
                    found.append((number, position + 1, mask))
        return found


def arrange(
    planes: Mapping[int, list[FoundObject]],
    shape: tuple[int, int],
    settings: FilterSettings,
    *,
    min_iou: float = 0.3,
) -> Arrangement:
    """Filter each plane, and give objects one id through neighbouring planes.

    Parameters
    ----------
    planes
        Candidates by the number of their plane.
    shape
        ``(H, W)`` of each plane.
    settings
        The filters.
    min_iou
        See :class:`PlaneLinker`.
    """
    linker = PlaneLinker(min_iou)
    labels: dict[int, NDArray[np.uint32]] = {}
    removed: dict[str, int] = {}
    largest, last = 0, None
    for number in sorted(planes):
        filtered = filter_candidates(planes[number], settings)
        for name, count in filtered.removed.items():
            removed[name] = removed.get(name, 0) + count
        kept = [item.candidate for item in filtered.kept]
        flat: NDArray[Any] = resolve_overlaps(kept, range(1, len(kept) + 1), shape)
        if last is not None and number != last + 1:
            linker = PlaneLinker(min_iou, first_id=largest + 1)
        labels[number] = linker.add(flat)
        largest, last = max(largest, int(labels[number].max(initial=0))), number
    total = sum(len(found) for found in planes.values())
    return Arrangement(labels, removed, total)
