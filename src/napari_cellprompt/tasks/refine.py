"""Draws the objects of labels anew: each goes to the model as a mask prompt."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.images.planes import PlaneSource, image_limits
from napari_cellprompt.core.segment.refining import refine_plane
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.outputs import check_label_file, save_labels
from napari_cellprompt.io.sources import open_image

from .inputs import loading
from .inputs.composing import read_shown
from .inputs.reading import (
    contrast_of,
    load_model_of,
    model_file,
    say_what_is_read,
    valid_channel,
)
from .report import SILENT, Report, counted
from .resuming import begin, end, name_of, unfinished_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

    from .requests import SegmentRequest

__all__ = ["refine", "run_refine"]


def run_refine(request: SegmentRequest, report: Report = SILENT) -> None:
    """Draw the objects of a label file anew; write a label TIFF with the same ids.

    Parameters
    ----------
    request
        The files; ``refine`` names the labels.
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
    source = request.refine
    if source is None:
        raise ValueError("there are no labels to refine")
    inputs = (request.image, source, model_file(request))
    check_label_file(request.output, inputs)
    limits = contrast_of(request)
    image = read_shown(request, report)
    labels = read_labels(source).labels
    _check(labels, image, source.name)
    say_what_is_read(request.image, image, report)
    check_label_file(request.output, inputs, image.grid)
    channel = valid_channel(request.image.name, image, request.channel)
    segmenter = load_model_of(request, report)
    image_id = fingerprint(image.data)
    unfinished = unfinished_of(request, image_id, segmenter)
    begin(unfinished, report)
    refined = np.zeros(labels.shape, labels.dtype)
    left = []
    for position in _positions(labels):
        part = unfinished.get(name_of(position))
        if part is None:
            left.append(position)
        else:
            refined[position] = part["labels"]
    kept = 0
    for position, plane, lost in _refined(
        segmenter, image, labels, left, channel, limits, report, image_id
    ):
        refined[position] = plane
        kept += lost
        if position:
            unfinished.put(name_of(position), {"labels": plane})
    save_labels(request.output, refined, image.grid)
    end(unfinished, report)
    count = len(np.unique(labels[labels > 0]))
    if kept:
        report.say(f"{counted(kept)} left as given: the model finds nothing there")
    report.say(f"{counted(count)} written to {request.output}")


def refine(
    image: Any,
    labels: Any,
    *,
    axes: str | None = None,
    channel: int | None = None,
    contrast_limits: ContrastLimits = None,
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
) -> NDArray[Any]:
    """Draw the objects of labels anew, such as those of Cellpose or StarDist.

    Each object of each plane goes to the model as a mask prompt. Where two answers overlap
    the surer one wins; an object that the model does not find stays as it was.

    Parameters
    ----------
    image
        ``(H, W)``, ``(H, W, 3)``, a stack, or the path of a file.
    labels
        Integers on the grid of the image without its channels, 0 = background, or the path
        of a label file; never written to.
    axes, channel, contrast_limits, model, device
        Of the image, as in :func:`propagate`.

    Returns
    -------
    ndarray
        Labels of the same shape, type and ids.

    Raises
    ------
    PromptError, ImageError, CheckpointError
        With a sentence on what was wrong.
    """
    opened = open_image(image, axes)
    given = labels
    if isinstance(labels, str | Path):
        given = read_labels(labels).labels
    array = np.asarray(given)
    _check(array, opened, "The label image")
    chosen = valid_channel("The image", opened, channel)
    segmenter = loading.load_segmenter(model, device, keep=True)
    refined = np.zeros(array.shape, array.dtype)
    for position, plane, _ in _refined(
        segmenter,
        opened,
        array,
        _positions(array),
        chosen,
        contrast_limits,
        SILENT,
        fingerprint(opened.data),
    ):
        refined[position] = plane
    return refined


def _check(labels: NDArray[Any], image: ImageFile, name: str) -> None:
    if labels.dtype.kind not in "iu":
        raise ImageError(f"{name} must hold whole numbers: its type is {labels.dtype}.")
    if tuple(labels.shape) != tuple(image.grid.shape):
        raise ImageError(
            f"{name} has the shape {tuple(labels.shape)}, the image without its channels "
            f"{tuple(image.grid.shape)} ({image.grid.axes}): they must be alike."
        )


def _positions(labels: NDArray[Any]) -> list[tuple[int, ...]]:
    """Planes that hold anything."""
    places = itertools.product(*(range(length) for length in labels.shape[:-2]))
    return [place for place in places if (labels[place] > 0).any()]


def _refined(
    segmenter: PlaneSegmenter,
    image: ImageFile,
    labels: NDArray[Any],
    positions: list[tuple[int, ...]],
    channel: int | None,
    limits: ContrastLimits,
    report: Report,
    image_id: str,
) -> Iterator[tuple[tuple[int, ...], NDArray[Any], int]]:
    """Position, new labels, and objects left as they were, plane by plane."""
    letters = image.grid.axes[:-2]
    contrast = image_limits(image.data, limits, axes=image.axes, channel=channel)
    for number, position in enumerate(positions):
        plane = PlaneSource.from_image(
            image.data,
            contrast,
            axes=image.axes,
            at=dict(zip(letters, position, strict=True)),
            channel=channel,
            image_id=image_id,
        )
        steps = refine_plane(segmenter, plane, labels[position], cancelled=report.cancelled)
        for step in steps:
            if len(positions) == 1:
                report.progress(step.done, step.total)
            if step.labels is not None:
                report.progress(number + 1, len(positions))
                yield position, step.labels.astype(labels.dtype), len(step.kept)
