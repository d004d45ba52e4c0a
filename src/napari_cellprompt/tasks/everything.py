"""Segments everything on a plane or on all planes of an image, without a prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

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
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.outputs import check_label_file, save_labels
from napari_cellprompt.io.sources import as_given, open_image
from napari_cellprompt.tasks.inputs.reading import (
    contrast_of,
    load_model_of,
    model_file,
    say_what_is_read,
    valid_channel,
)
from napari_cellprompt.tasks.inputs.walk import walk_planes

from .inputs import loading
from .report import SILENT, Report, counted

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

    from .requests import EverythingRequest

__all__ = [
    "EverythingSettings",
    "everything",
    "find_on_plane",
    "label_image",
    "label_plane",
    "label_stack",
    "run",
]


@dataclass(frozen=True, slots=True)
class EverythingSettings:
    """How to look for objects, and which to keep."""

    search: SearchSettings = field(default_factory=SearchSettings)
    filters: FilterSettings = field(default_factory=FilterSettings)
    link: bool = True
    """One id per object through a stack, by overlap from plane to plane."""
    link_min_iou: float = 0.3


def run(request: EverythingRequest, report: Report = SILENT) -> None:
    """Label all objects of an image file; write a label TIFF.

    Everything that can be wrong with the files is found before the model is loaded.

    Parameters
    ----------
    request
        The files, and what to look for.
    report
        Told plane by plane. Where it says to stop nothing is written.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    inputs = (request.image, model_file(request))
    check_label_file(request.output, inputs)
    if request.size is not None and not request.size > 0:
        raise ImageError(f"The size of the objects must be positive: got {request.size:g}.")
    limits = contrast_of(request)
    image = read_image(request.image, request.axes, series=request.series)
    channel = valid_channel(request.image.name, image, request.channel)
    say_what_is_read(request.image, image, report)
    check_label_file(request.output, inputs, image.grid)
    segmenter = load_model_of(request, report)
    settings = EverythingSettings(
        search=SearchSettings(mode=request.mode, size=request.size),
        filters=request.filters or FilterSettings(),
        link=request.link,
    )
    labels = label_image(
        segmenter, image, settings, channel=channel, limits=limits, report=report
    )
    save_labels(request.output, labels, image.grid)
    count = len(np.unique(labels[labels > 0]))
    report.say(f"{counted(count)} written to {request.output}")


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
    contrast_limits: ContrastLimits = None,
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
    file = open_image(image, axes, series=series)
    settings = EverythingSettings(
        search=SearchSettings(mode=mode, size=size),
        filters=filters or FilterSettings(),
        link=link,
    )
    labels = label_image(
        loading.load_segmenter(model, device, keep=True),
        file,
        settings,
        channel=channel,
        limits=contrast_limits,
    )
    return as_given(labels, file, image, axes)


def label_image(
    segmenter: PlaneSegmenter,
    image: ImageFile,
    settings: EverythingSettings,
    *,
    channel: int | None = None,
    limits: ContrastLimits = None,
    report: Report = SILENT,
) -> NDArray[Any]:
    """Label all planes of an opened image.

    Parameters
    ----------
    segmenter
        The model.
    image
        As ``read_image`` and ``open_image`` give it.
    settings
        What to look for, and which objects to keep.
    channel
        Needed where there is an axis C of more than one channel.
    limits
        Contrast, see ``image_limits``.
    report
        Told after each plane.

    Returns
    -------
    ndarray
        Labels on the grid of the image, 0 = background, in the smallest unsigned type that
        holds the ids.

    Raises
    ------
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    count = int(np.prod(image.grid.shape[:-2]))
    labels: NDArray[np.uint32] = np.zeros(image.grid.shape, np.uint32)
    planes = label_stack(
        segmenter,
        image.data,
        settings,
        axes=image.axes,
        channel=channel,
        limits=limits,
        cancelled=report.cancelled,
    )
    started = time.perf_counter()
    for number, (position, plane) in enumerate(planes, start=1):
        labels[position] = plane
        now = time.perf_counter()
        there = len(np.unique(plane[plane > 0]))
        report.say(f"plane {number} of {count}: {counted(there)} in {now - started:.1f} s")
        report.progress(number, count)
        started = now
    return labels.astype(smallest_dtype(int(labels.max(initial=0))))


def label_stack(
    segmenter: PlaneSegmenter,
    data: ArrayData,
    settings: EverythingSettings,
    *,
    axes: str | None = None,
    channel: int | None = None,
    limits: ContrastLimits = None,
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
            size = float(np.median([item.mask.side for item in kept.kept]))
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
