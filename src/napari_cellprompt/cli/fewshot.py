"""``cellprompt fewshot``: a few examples and a folder in, labels of all alike out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.contrast import check_limits
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.outputs import check_output, make_folder
from napari_cellprompt.tasks import loading
from napari_cellprompt.tasks.series import Series

from . import segment
from .segment import counted, say

if TYPE_CHECKING:
    from napari_cellprompt.tasks.fewshot_files import FileLimits

_NO_COLOURS = str.maketrans("", "", "CS")
"""Labels have neither channels nor samples."""

__all__ = ["FewshotRequest", "run_fewshot"]


@dataclass(frozen=True, slots=True)
class FewshotRequest:
    """What the command line asks for."""

    folder: Path
    output: Path
    examples: tuple[tuple[Path, Path], ...] = ()
    """Images and the labels of wanted objects on them."""
    others: tuple[tuple[Path, Path], ...] = ()
    """Images and the labels of objects that are not wanted."""
    bank: Path | None = None
    """Examples that were saved before."""
    save_bank: Path | None = None
    threshold: float = 0.5
    again: bool = False
    """Also images whose labels are there."""
    model: str = DEFAULT_MODEL
    device: str = "auto"
    axes: str | None = None
    channel: int | None = None
    series: int | None = None
    """Which image of files of several, see ``read_image``."""
    contrast: tuple[float, float] | None = None
    """Grey values that become 0 and 255; None takes percentiles of each image."""


def run_fewshot(request: FewshotRequest) -> int:
    """Learn and apply; returns the number of images that could not be labelled.

    One bad image does not keep the others from being labelled.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong with the request or the examples.
    """
    if not request.examples and request.bank is None:
        raise ImageError("Show what to look for: --examples IMG LAB, or --bank FILE.")
    if not 0 <= request.threshold <= 1:
        raise ImageError(f"--threshold must be from 0 to 1: got {request.threshold:g}.")
    limits: FileLimits = (
        "auto" if request.contrast is None else check_limits(request.contrast)
    )
    series = Series.of(request.folder, request.output)
    images = series.images if request.again else series.left
    _check_outputs(request, series, images)
    flat = None if request.axes is None else request.axes.upper().translate(_NO_COLOURS)
    shown = [
        (
            kind,
            image,
            read_image(image, request.axes, series=request.series),
            read_labels(labels, flat),
        )
        for kind, pairs in (("wanted", request.examples), ("other", request.others))
        for image, labels in pairs
    ]
    started = time.perf_counter()
    segmenter = loading.load_segmenter(request.model, request.device)
    say(f"model {request.model} loaded in {time.perf_counter() - started:.1f} s")

    from napari_cellprompt.core.fewshot.examples import ExampleBank
    from napari_cellprompt.tasks.fewshot import teach_stack
    from napari_cellprompt.tasks.fewshot_files import channel_of, label_series

    name = segmenter.model.fingerprint
    bank = (
        ExampleBank(name) if request.bank is None else ExampleBank.load(request.bank, name)
    )
    for kind, path, image, labels in shown:
        count = teach_stack(
            segmenter,
            image.data,
            labels.labels,
            bank,
            axes=image.axes,
            channel=channel_of(request.channel, image.axes),
            limits=limits,
            kind=kind,
            source=path.name,
        )
        say(f"{path.name}: {counted(count)} shown as {kind}")
    if request.save_bank is not None:
        bank.save(request.save_bank)
    if skipped := len(series.images) - len(images):
        say(f"{skipped} of {len(series.images)} images have their labels already")
    failed = 0
    done = label_series(
        segmenter,
        series,
        images,
        bank,
        threshold=request.threshold,
        axes=request.axes,
        channel=request.channel,
        series_number=request.series,
        limits=limits,
    )
    for item in done:
        where = f"image {item.number} of {item.total}, {item.path.name}"
        for note in item.notes:
            say(note)
        if item.problem is None:
            say(f"{where}: {counted(item.objects)} in {item.seconds:.1f} s")
        else:
            failed += 1
            say(f"{where}: {item.problem}")
    return failed


def _check_outputs(
    request: FewshotRequest, series: Series, images: tuple[Path, ...]
) -> None:
    """Refuse before the work what would replace a file that is read here."""
    pairs = (*request.examples, *request.others)
    inputs = [path for pair in pairs for path in pair] + list(series.images)
    inputs += [
        path
        for path in (request.bank, segment.model_file(request.model))
        if path is not None
    ]
    make_folder(request.output)
    for image in images:
        labels = series.labels_of(image)
        for target in (labels, labels.with_name(f"{image.stem}_objects.csv")):
            if target.exists():
                check_output(target, inputs)
    if request.save_bank is not None:
        check_output(request.save_bank, inputs)
