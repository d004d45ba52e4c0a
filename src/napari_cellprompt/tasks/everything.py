"""Segments everything on a plane or on all planes of an image, without a prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.everything.finding import (
    EverythingSettings,
    label_plane,
    typical_side,
)
from napari_cellprompt.core.everything.linking import PlaneLinker
from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.inference.searching import Mode, SearchSettings
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.outputs import check_label_file, save_labels
from napari_cellprompt.io.sources import as_given, open_image
from napari_cellprompt.tasks.inputs.composing import read_shown
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
from .resuming import begin, end, name_of, unfinished_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.io.unfinished import Unfinished
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

    from .requests import EverythingRequest

__all__ = ["everything", "label_image", "label_stack", "run"]


def run(request: EverythingRequest, report: Report = SILENT) -> None:
    """Label all objects of an image file; write a label TIFF.

    Everything that can be wrong with the files is found before the model is loaded.

    Parameters
    ----------
    request
        The files, and what to look for.
    report
        Told plane by plane. Where it says to stop no labels are written; asked again, it
        goes on after the planes that were finished.

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
    image = read_shown(request, report)
    channel = valid_channel(request.image.name, image, request.channel)
    say_what_is_read(request.image, image, report)
    check_label_file(request.output, inputs, image.grid)
    segmenter = load_model_of(request, report)
    settings = EverythingSettings(
        search=SearchSettings(mode=request.mode, size=request.size),
        filters=request.filters or FilterSettings(),
        link=request.link,
    )
    unfinished = unfinished_of(request, fingerprint(image.data), segmenter)
    begin(unfinished, report)
    labels = label_image(
        segmenter,
        image,
        settings,
        channel=channel,
        limits=limits,
        report=report,
        unfinished=unfinished,
    )
    save_labels(request.output, labels, image.grid)
    end(unfinished, report)
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
    unfinished: Unfinished | None = None,
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
    unfinished
        Planes that were labelled before, and where those of now are kept.

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
        unfinished=unfinished,
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
    unfinished: Unfinished | None = None,
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
        if not position or position[-1] == 0 or linker is None or not settings.link:
            linker = PlaneLinker(settings.link_min_iou, first_id=largest + 1)
        name = name_of(position)
        part = None if unfinished is None else unfinished.get(name)
        if part is not None:
            linked = part["labels"]
            linker.go_on_after(linked)
            size = float(part["size"]) if part["size"] > 0 else None
        else:
            labels, filtered = label_plane(
                segmenter, plane, settings.of_size(size), cancelled=cancelled
            )
            if size is None:
                size = typical_side(filtered.kept)
            linked = linker.add(labels)
            if unfinished is not None and position:
                unfinished.put(name, {"labels": linked, "size": np.array(size or 0.0)})
        largest = max(largest, int(linked.max(initial=0)))
        yield position, linked
