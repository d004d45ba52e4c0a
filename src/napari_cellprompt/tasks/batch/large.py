"""One image of a batch that is cut into blocks, because it is larger than memory."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import CellpromptError, ImageError
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.outputs import make_folder
from napari_cellprompt.tasks.blocks.run import DEFAULT_SIDE
from napari_cellprompt.tasks.blocks.run import run as run_blocks
from napari_cellprompt.tasks.report import SILENT, Report

from .cluster import connected, stream
from .job import stem_of
from .outcome import Outcome, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from .cluster import Workers
    from .job import Job
    from .request import BatchRequest

__all__ = ["is_large", "run_large"]

_FILES = (".zarr", ".tif", ".tiff")


def is_large(job: Job, images: list[Path], request: BatchRequest) -> bool:
    """Whether the one image of a batch is to be cut into blocks.

    Raises
    ------
    ImageError
        Where blocks are asked for and cannot be.
    """
    one = len(images) == 1 and images[0] == request.source
    wanted = request.block is not None or request.output.suffix.lower() in _FILES
    if wanted and not (one and job.name == "everything"):
        raise ImageError(
            "Only one image, and only by the task everything, is cut into blocks and "
            "written to one file: give a folder as output, and no --block."
        )
    if not one or job.name != "everything":
        return False
    if wanted:
        return True
    template = job.template
    image = read_image(images[0], template.axes, series=template.series, lazy=True)
    height, width = image.grid.shape[-2:]
    return height * width > DEFAULT_SIDE**2


def run_large(
    request: BatchRequest, job: Job, image: Path, report: Report = SILENT
) -> Summary:
    """Label all objects of one image block by block; see ``tasks.blocks``.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    target = request.output
    if target.suffix.lower() not in _FILES:
        make_folder(target)
        target = target / f"{stem_of(image)}_labels.zarr"
    if target.exists() and not request.again:
        if target.stat().st_mtime_ns >= image.stat().st_mtime_ns:
            report.say(f"{target} is there already")
            return Summary((Outcome(image.stem, image, target, "skipped"),), None, True)
    started = time.perf_counter()
    with (
        connected(request.scheduler, request.workers) as workers,
        report.interruptible(),
    ):
        if workers.dashboard:
            report.say(f"what the workers do: {workers.dashboard}")
        run_blocks(
            replace(job.template, image=image.resolve(), output=target),
            _spread(workers, request.retries, report),
            report,
            side=request.block or DEFAULT_SIDE,
            again=request.again,
            workers=workers.count,
        )
    seconds = time.perf_counter() - started
    outcome = Outcome(image.stem, image, target, "done", seconds=seconds)
    return Summary((outcome,), None, True)


def _spread(workers: Workers, retries: int, report: Report) -> Any:
    def spread(
        function: Callable[[Any, int], Any], items: Sequence[Any]
    ) -> Iterator[tuple[Any, Any]]:
        answers = stream(workers, function, items, retries=retries, stop=report.cancelled)
        for answer in answers:
            if isinstance(answer.error, CellpromptError):
                raise answer.error
            if answer.problem:
                raise ImageError(f"A block could not be worked on. {answer.problem}")
            yield answer.item, answer.value

    return spread
