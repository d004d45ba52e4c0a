"""Labels all objects that look like a few examples: for a notebook, or for a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.fewshot.examples import OTHER, ExampleBank
from napari_cellprompt.core.images.planes import planes_last
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.outputs import check_output, make_folder
from napari_cellprompt.io.sources import as_given, open_image
from napari_cellprompt.tasks.examples.applying import apply_to_image
from napari_cellprompt.tasks.examples.files import channel_of, label_series
from napari_cellprompt.tasks.examples.teaching import WANTED, empty_bank, teach_stack
from napari_cellprompt.tasks.inputs.reading import contrast_of, load_model_of, model_file

from .inputs import loading
from .report import SILENT, Report, counted
from .requests import DEFAULT_THRESHOLD
from .series import Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.io.label_tiff import LabelFile
    from napari_cellprompt.tasks.inputs.reading import ContrastLimits

    from .requests import FewshotRequest

__all__ = ["fewshot", "run"]

_NO_COLOURS = str.maketrans("", "", "CS")
"""Labels have neither channels nor samples."""


def run(request: FewshotRequest, report: Report = SILENT) -> int:
    """Learn from examples, and label the images of a folder that have no labels yet.

    Asked again after an interruption, it goes on where it was. One bad image does not
    keep the others from being labelled.

    Parameters
    ----------
    request
        The examples, the folder, and how to look at them.
    report
        Told image by image. Where it says to stop finished images stay.

    Returns
    -------
    int
        Number of images that could not be labelled.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong with the request or the examples.
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    if not request.examples and request.bank is None:
        raise ImageError("Show what to look for: --examples IMG LAB, or --bank FILE.")
    if not 0 <= request.threshold <= 1:
        raise ImageError(f"--threshold must be from 0 to 1: got {request.threshold:g}.")
    limits = contrast_of(request)
    series = Series.of(request.folder, request.output)
    images = series.images if request.again else series.left
    _check_outputs(request, series, images)
    shown = _examples(request)
    segmenter = load_model_of(request, report)
    bank = _taught(request, segmenter, shown, limits, report)
    if request.save_bank is not None:
        bank.save(request.save_bank)
    if skipped := len(series.images) - len(images):
        report.say(f"{skipped} of {len(series.images)} images have their labels already")
    failed = 0
    labelled = label_series(
        segmenter,
        series,
        images,
        bank,
        threshold=request.threshold,
        axes=request.axes,
        channel=request.channel,
        series_number=request.series,
        limits=limits,
        cancelled=report.cancelled,
    )
    for item in labelled:
        where = f"image {item.number} of {item.total}, {item.path.name}"
        for note in item.notes:
            report.say(note)
        if item.problem is None:
            report.say(f"{where}: {counted(item.objects)} in {item.seconds:.1f} s")
        else:
            failed += 1
            report.say(f"{where}: {item.problem}")
        report.progress(item.number, item.total)
    return failed


def fewshot(
    examples: Sequence[tuple[ArrayData | str | Path, Any]],
    images: Iterable[ArrayData | str | Path],
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    *,
    others: Sequence[tuple[ArrayData | str | Path, Any]] = (),
    threshold: float = DEFAULT_THRESHOLD,
    axes: str | None = None,
    channel: int | None = None,
    contrast_limits: ContrastLimits = None,
) -> Iterator[NDArray[Any]]:
    """Label all objects that look like a few examples, image by image.

    Parameters
    ----------
    examples
        Images and the labels of wanted objects on them, 0 = background. A few objects of
        one image are enough.
    images
        Where to look, each read when its turn comes: planes or stacks of any type, or
        paths of files of them.
    model
        Name of a model or path of a checkpoint.
    device
        "cpu", "cuda", "mps"; default the best there is.
    others
        Like ``examples``: objects that are not wanted.
    threshold
        Score from which on an object is taken, 0 to 1.
    axes
        Letters of the axes of all images, such as TZYX; see :func:`axes_of`.
    channel
        Needed where there is an axis C of more than one channel.
    contrast_limits
        Grey values that become 0 and 255; default: uint8 as it is, else the
        percentiles 0.1 and 99.9 of each image.

    Yields
    ------
    ndarray
        Labels of each image, of its shape without channels and samples, 0 = background,
        in the smallest unsigned type that holds the ids.

    Raises
    ------
    PromptError
        Where there are no examples.
    ImageError, CheckpointError
        With a sentence on what was wrong.

    Examples
    --------
    >>> for labels in fewshot([(image, three_cells)], other_images):
    ...     print(labels.max())
    """
    segmenter = loading.load_segmenter(model, device, keep=True)
    bank = empty_bank(segmenter)
    for kind, pairs in ((WANTED, examples), (OTHER, others)):
        for image, labels in pairs:
            file = open_image(image, axes)
            flat = None if axes is None else "".join(x for x in axes.upper() if x in "TZYX")
            truth, _ = planes_last(np.asarray(labels), flat)
            teach_stack(
                segmenter,
                file.data,
                np.asarray(truth),
                bank,
                axes=file.axes,
                channel=channel,
                limits=contrast_limits,
                kind=kind,
            )
    for image in images:
        file = open_image(image, axes)
        labelled = apply_to_image(
            segmenter,
            file,
            bank,
            channel=channel,
            limits=contrast_limits,
            threshold=threshold,
        )
        yield as_given(labelled.smallest(), file, image, axes)


def _check_outputs(
    request: FewshotRequest, series: Series, images: tuple[Path, ...]
) -> None:
    """Refuse before the work what would replace a file that is read here."""
    pairs = (*request.examples, *request.others)
    inputs = [path for pair in pairs for path in pair] + list(series.images)
    inputs += [path for path in (request.bank, model_file(request)) if path is not None]
    make_folder(request.output)
    for image in images:
        labels = series.labels_of(image)
        for target in (labels, labels.with_name(f"{image.stem}_objects.csv")):
            if target.exists():
                check_output(target, inputs)
    if request.save_bank is not None:
        check_output(request.save_bank, inputs)


def _examples(request: FewshotRequest) -> list[tuple[str, str, ImageFile, LabelFile]]:
    """Kind, name, image and labels of each pair of files."""
    flat = None if request.axes is None else request.axes.upper().translate(_NO_COLOURS)
    return [
        (
            kind,
            image.name,
            read_image(image, request.axes, series=request.series),
            read_labels(labels, flat),
        )
        for kind, pairs in ((WANTED, request.examples), (OTHER, request.others))
        for image, labels in pairs
    ]


def _taught(
    request: FewshotRequest,
    segmenter: PlaneSegmenter,
    shown: list[tuple[str, str, ImageFile, LabelFile]],
    limits: ContrastLimits,
    report: Report,
) -> ExampleBank:
    """The bank that was saved before, or an empty one, with the examples added."""
    bank = empty_bank(segmenter)
    if request.bank is not None:
        bank = ExampleBank.load(request.bank, bank.model)
    for kind, name, image, labels in shown:
        count = teach_stack(
            segmenter,
            image.data,
            labels.labels,
            bank,
            axes=image.axes,
            channel=channel_of(request.channel, image.axes),
            limits=limits,
            kind=kind,
            source=name,
        )
        report.say(f"{name}: {counted(count)} shown as {kind}")
    return bank
