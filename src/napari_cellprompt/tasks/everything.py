"""Segments everything on a plane or on all planes of an image, without a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.searching import Mode, SearchSettings
from napari_cellprompt.core.masks.found import (
    Filtered,
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.masks.labels import resolve_overlaps, smallest_dtype
from napari_cellprompt.core.masks.linking import PlaneLinker
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.sources import as_given, open_image

from .walk import walk_planes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter

__all__ = [
    "EverythingSettings",
    "everything",
    "find_on_plane",
    "label_plane",
    "label_stack",
]

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class EverythingSettings:
    """How to look for objects, and which to keep."""

    search: SearchSettings = field(default_factory=SearchSettings)
    filters: FilterSettings = field(default_factory=FilterSettings)
    link: bool = True
    """One id per object through a stack, by overlap from plane to plane."""
    link_min_iou: float = 0.3


def everything(
    image: ArrayData | str | Path,
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    *,
    mode: Mode = "auto",
    size: float | None = None,
    filters: FilterSettings | None = None,
    link: bool = True,
    axes: str | None = None,
    channel: int | None = None,
    series: int | None = None,
    contrast_limits: tuple[float, float] | Literal["auto"] | None = None,
) -> NDArray[Any]:
    """Label everything in an image, without a prompt.

    Parameters
    ----------
    image
        A plane or a stack of any type, or the path of a file of one.
    model
        Name of a model or path of a checkpoint.
    device
        "cpu", "cuda", "mps"; default the best there is.
    mode
        ``auto`` or ``grid``, see :class:`SearchSettings`.
    size
        Longer side of the objects in pixels; default: found from the image.
    filters
        Which objects to keep.
    link
        One id per object through a stack; otherwise ids count up from plane to plane.
    axes
        Letters of the axes, such as TZYX; see :func:`axes_of`.
    channel
        Needed where there is an axis C of more than one channel.
    series
        Which image of a file that holds several, see :func:`read_image`.
    contrast_limits
        Grey values that become 0 and 255; default: uint8 as it is, else the
        percentiles 0.1 and 99.9 of the whole image.

    Returns
    -------
    ndarray
        Labels of the image's shape without channels and samples, 0 = background, in the
        smallest unsigned type that holds the ids. Of a file that does not store Y and X
        last, they are the last axes.

    Raises
    ------
    ImageError, CheckpointError
        With a sentence on what was wrong.
    """
    from . import loading

    file = open_image(image, axes, series=series)
    settings = EverythingSettings(
        search=SearchSettings(mode=mode, size=size),
        filters=FilterSettings() if filters is None else filters,
        link=link,
    )
    planes = label_stack(
        loading.load_segmenter(model, device, keep=True),
        file.data,
        settings,
        axes=file.axes,
        channel=channel,
        limits=contrast_limits,
    )
    labels = np.stack([plane for _, plane in planes]).reshape(file.grid.shape)
    labels = labels.astype(smallest_dtype(int(labels.max(initial=0))))
    return as_given(labels, file, image, axes)


def label_stack(
    segmenter: PlaneSegmenter,
    data: ArrayData,
    settings: EverythingSettings,
    *,
    axes: str | None = None,
    channel: int | None = None,
    limits: tuple[float, float] | Literal["auto"] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[tuple[tuple[int, ...], NDArray[np.uint32]]]:
    """Label the planes of an image one after the other.

    Objects are linked along the last axis before the plane: through z within each time
    point of a movie of stacks.

    Yields
    ------
    tuple
        Position along the axes T and Z, in array order, and labels ``(H, W)``.
    """
    largest = 0
    linker: PlaneLinker | None = None
    size = settings.search.size
    for position, plane in walk_planes(data, axes=axes, channel=channel, limits=limits):
        if cancelled is not None and cancelled():
            raise CancelledError
        wanted = replace(settings, search=replace(settings.search, size=size))
        labels, kept = label_plane(segmenter, plane, wanted, cancelled=cancelled)
        if size is None and kept.kept:
            # the cells of a stack are of one size: look for it once
            size = float(np.median([_longer_side(item) for item in kept.kept]))
        if not position or position[-1] == 0 or linker is None or not settings.link:
            linker = PlaneLinker(settings.link_min_iou, first_id=largest + 1)
        linked = linker.add(labels)
        largest = max(largest, int(linked.max(initial=0)))
        yield position, linked


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
    region: Box | None = None,
    progress: Callable[[int, int], None] | None = None,
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
        plane, settings.search, region=region, progress=progress, cancelled=cancelled
    )


def _longer_side(item: FoundObject) -> float:
    x0, y0, x1, y1 = item.mask.box or (0, 0, 0, 0)
    return max(x1 - x0, y1 - y0)
