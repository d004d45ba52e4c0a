"""Applies examples to image files: a folder of images in, labels and tables out."""

from __future__ import annotations

import csv
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.outputs import check_label_file, save_labels, write_or_keep
from napari_cellprompt.tasks.inputs.placing import outer_axes
from napari_cellprompt.tasks.requests import DEFAULT_THRESHOLD

from .applying import apply_to_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_cellprompt.core.fewshot.examples import ExampleBank
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits
    from napari_cellprompt.tasks.series import Series

    from .applying import ScoredObject

__all__ = ["LabelledFile", "channel_of", "label_file", "label_series"]


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """How it went with one image."""

    path: Path
    number: int
    """Of those to be labelled, from 1."""
    total: int
    objects: int
    """How many were found."""
    seconds: float
    problem: str | None = None
    """A sentence on why there are no labels."""
    notes: tuple[str, ...] = ()
    """Sentences on what of the file was left out."""


def label_series(
    segmenter: PlaneSegmenter,
    series: Series,
    images: Sequence[Path],
    bank: ExampleBank,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    axes: str | None = None,
    channel: int | None = None,
    series_number: int | None = None,
    limits: ContrastLimits = "auto",
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[LabelledFile]:
    """Label images one after the other; a bad one does not keep the others from it.

    Parameters
    ----------
    segmenter
        The model that the examples were made with.
    series
        Says where labels go.
    images
        Those of the series to be labelled.
    bank
        The examples.
    threshold
        Score from which on an object is taken.
    axes, channel, series_number, limits
        See :func:`label_file`.
    cancelled
        Asked before each slow step.

    Yields
    ------
    LabelledFile
        After each image.

    Raises
    ------
    concurrent.futures.CancelledError
        Where ``cancelled`` said so; images that are finished stay.
    """
    for number, path in enumerate(images, start=1):
        started = time.perf_counter()
        found, problem = 0, None
        notes: tuple[str, ...] = ()
        try:
            found, notes = label_file(
                segmenter,
                path,
                series.labels_of(path),
                bank,
                threshold=threshold,
                axes=axes,
                channel=channel,
                series_number=series_number,
                limits=limits,
                cancelled=cancelled,
            )
        except CellpromptError as error:
            problem = str(error)
        seconds = time.perf_counter() - started
        yield LabelledFile(path, number, len(images), found, seconds, problem, notes)


def label_file(
    segmenter: PlaneSegmenter,
    path: Path,
    target: Path,
    bank: ExampleBank,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    axes: str | None = None,
    channel: int | None = None,
    series_number: int | None = None,
    limits: ContrastLimits = "auto",
    cancelled: Callable[[], bool] | None = None,
) -> tuple[int, tuple[str, ...]]:
    """Label one image file.

    Parameters
    ----------
    segmenter, bank, threshold, cancelled
        As in :func:`label_series`.
    path
        The image.
    target
        The label TIFF; a table of the objects, ``NAME_objects.csv``, goes beside it.
    axes
        Letters of the axes where the file does not say, such as TZYX.
    channel
        What to look at where there is an axis C; default the first one.
    series_number
        Which image of a file that holds several, see :func:`read_image`.
    limits
        Grey values that become 0 and 255, as for the examples: a pair, "auto" for the
        percentiles 0.1 and 99.9 of the image, None for uint8 as it is.

    Returns
    -------
    objects, notes
        How many were found, and sentences on what of the file was left out.

    Raises
    ------
    CellpromptError
        Where the image cannot be read or the labels not be written.
    """
    image = read_image(path, axes, series=series_number)
    check_label_file(target, (path,), image.grid)
    labelled = apply_to_image(
        segmenter,
        image,
        bank,
        channel=channel_of(channel, image.axes),
        limits=limits,
        threshold=threshold,
        cancelled=cancelled,
    )
    objects = labelled.objects
    # the labels last: they say that the image is finished
    outer = outer_axes(image.axes)
    write_or_keep(
        target.with_name(f"{path.stem}_objects.csv"),
        lambda table: _write_table(table, outer, objects),
    )
    save_labels(target, labelled.smallest(), image.grid)
    return len(objects), image.notes


def channel_of(channel: int | None, axes: str) -> int | None:
    """The channel to look at: the first one by default, none where there are none."""
    if "C" not in axes:
        return None
    return 0 if channel is None else channel


def _write_table(
    path: Path,
    outer: str,
    objects: Sequence[tuple[tuple[int, ...], ScoredObject]],
) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", *(name.lower() for name in outer), "kind", "score", "area"))
        for number, (position, item) in enumerate(objects, start=1):
            rows.writerow(
                (number, *position, item.kind, f"{item.score:.4f}", item.found.area)
            )
