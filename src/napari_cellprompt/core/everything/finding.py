"""Finds all objects of a plane and keeps the good ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.found import (
    Filtered,
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.masks.labels import resolve_overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

__all__ = ["EverythingSettings", "find_on_plane", "label_plane", "typical_side"]


@dataclass(frozen=True, slots=True)
class EverythingSettings:
    """How to look for objects, and which to keep."""

    search: SearchSettings = field(default_factory=SearchSettings)
    filters: FilterSettings = field(default_factory=FilterSettings)
    link: bool = True
    """One id per object through a stack, by overlap from plane to plane."""
    link_min_iou: float = 0.3

    def of_size(self, size: float | None) -> EverythingSettings:
        """Look for objects of a size in pixels; None: find out how large they are."""
        return replace(self, search=replace(self.search, size=size))


def label_plane(
    segmenter: PlaneSegmenter,
    plane: PlaneSource,
    settings: EverythingSettings,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[NDArray[Any], Filtered]:
    """Labels ``(H, W)`` of one plane, and the objects they show."""
    found = find_on_plane(segmenter, plane, settings, cancelled=cancelled)
    filtered = filter_candidates(found, settings.filters)
    ids = range(1, len(filtered.kept) + 1)
    candidates = [item.candidate for item in filtered.kept]
    return resolve_overlaps(candidates, ids, plane.shape), filtered


def find_on_plane(
    segmenter: PlaneSegmenter,
    plane: PlaneSource,
    settings: EverythingSettings,
    *,
    region: tuple[int, int, int, int] | None = None,
    progress: Callable[[int, int], None] | None = None,
    arrived: Callable[[Sequence[FoundObject]], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[FoundObject]:
    """Candidates of one plane; see :meth:`Model.find`.

    ``region`` is ``x0, y0, x1, y1`` in pixels, the last two exclusive.
    """
    if region is not None:
        x0, y0, x1, y1 = region
        if not (0 <= x0 < x1 <= plane.shape[1] and 0 <= y0 < y1 <= plane.shape[0]):
            raise ImageError(
                f"The region {region} is not a part of a plane of {plane.shape[1]} x "
                f"{plane.shape[0]} pixels."
            )
    return segmenter.model.find(
        plane,
        settings.search,
        region=region,
        progress=progress,
        arrived=arrived,
        cancelled=cancelled,
    )


def typical_side(kept: Sequence[FoundObject]) -> float | None:
    """Median side of objects in pixels; None where there are none.

    The cells of a stack are of one size: it is found out on the first plane that has
    any, and given to the search on the others.
    """
    return float(np.median([item.mask.side for item in kept])) if kept else None
