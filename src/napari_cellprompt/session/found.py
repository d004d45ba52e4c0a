"""Candidates of several planes, filtered and named together without the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.everything.linking import PlaneLinker
from napari_cellprompt.core.masks.found import (
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.masks.labels import resolve_overlaps
from napari_cellprompt.core.types import CroppedMask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Arrangement", "arrange"]


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """What the filters leave of the candidates."""

    labels: NDArray[np.uint32]
    """``(N, H, W)``, ids from 1 on, one per object of the stack."""
    count: int
    """Number of objects; one that is linked through planes counts once."""
    removed: dict[str, int]
    """Candidates that each filter removed, on all planes together."""
    candidates: int
    """On all planes together."""

    def masks(self) -> Iterator[tuple[int, int, CroppedMask]]:
        """Plane, id and mask of each object on each plane."""
        from scipy.ndimage import find_objects

        shape = (int(self.labels.shape[1]), int(self.labels.shape[2]))
        for number, plane in enumerate(self.labels):
            for position, part in enumerate(find_objects(plane.astype(np.int64))):
                if part is not None:
                    rows, columns = part
                    data = plane[part] == position + 1
                    mask = CroppedMask(data, (rows.start, columns.start), shape)
                    yield number, position + 1, mask


def arrange(
    planes: Mapping[int, list[FoundObject]],
    shape: tuple[int, int, int],
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
        Number of planes, also of those without candidates, and ``H, W`` of each.
    settings
        The filters.
    min_iou
        See :class:`PlaneLinker`.
    """
    linker = PlaneLinker(min_iou)
    labels: NDArray[np.uint32] = np.zeros(shape, np.uint32)
    removed: dict[str, int] = {}
    largest, last = 0, None
    for number in sorted(planes):
        filtered = filter_candidates(planes[number], settings)
        for name, count in filtered.removed.items():
            removed[name] = removed.get(name, 0) + count
        kept = [item.candidate for item in filtered.kept]
        flat: NDArray[Any] = resolve_overlaps(kept, range(1, len(kept) + 1), shape[1:])
        if last is not None and number != last + 1:
            linker = PlaneLinker(min_iou, first_id=largest + 1)
        labels[number] = linker.add(flat)
        largest, last = max(largest, int(labels[number].max(initial=0))), number
    total = sum(len(found) for found in planes.values())
    return Arrangement(labels, largest, removed, total)
