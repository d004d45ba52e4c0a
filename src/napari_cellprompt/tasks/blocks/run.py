"""Everything on an image larger than memory, from the image to one label file."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.core.images.planes import image_limits
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.masks.labels import smallest_dtype
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import check_grid
from napari_cellprompt.io.ome_zarr import LabelStore
from napari_cellprompt.io.outputs import check_folder, is_same_file
from napari_cellprompt.io.tiled_tiff import write_tiled
from napari_cellprompt.tasks.inputs.reading import contrast_of, valid_channel
from napari_cellprompt.tasks.report import SILENT, Report, counted, duration

from .files import Workspace
from .plan import Block, margin_for, neighbours, plan_blocks
from .seams import choose
from .steps import Sample, Task, draw, find, meet, survey

if TYPE_CHECKING:
    from napari_cellprompt.io.image_files import ImageFile
    from napari_cellprompt.tasks.requests import EverythingRequest

__all__ = ["DEFAULT_SIDE", "Spread", "run"]

DEFAULT_SIDE = 2048
"""Rows and columns of a block."""
_CHUNK = 1024
_SHARE = 50
"""Labels and what is kept between two steps are compressed to such a part of the image."""
_MODEL_BYTES = 700 * 2**20
"""A loaded model and what torch takes."""
_BYTES_A_PIXEL = 24
"""Grey values, logits and labels of a block while it is worked on."""

Spread = Callable[[Callable[[Any, int], Any], Sequence[Any]], Iterator[tuple[Any, Any]]]
"""Calls a function for every item, on whatever there is; yields items and what came back
as it is ready, and raises what went wrong for good."""


@dataclass(frozen=True, slots=True)
class _Result:
    """Where the labels go."""

    target: Path
    work: Path
    """Folder for the files of blocks, beside it."""

    @classmethod
    def at(cls, target: Path) -> _Result:
        return cls(target, target.with_name(f".{target.name}.work"))

    @property
    def is_zarr(self) -> bool:
        return self.target.suffix.lower() == ".zarr"


def run(
    request: EverythingRequest,
    spread: Spread,
    report: Report = SILENT,
    *,
    side: int = DEFAULT_SIDE,
    again: bool = False,
    workers: int = 1,
) -> int:
    """Label all objects of an image that need not fit into memory.

    Parameters
    ----------
    request
        The image and what to look for; ``output`` ends in .zarr or .tif. ``link`` counts
        for nothing: ids are not linked through a stack.
    spread
        Calls functions for many items, on one process or on many.
    report
        Told of the estimate and of each finished block. Where it says to stop, blocks that
        are finished stay for the next run.
    side
        Rows and columns of a block; a multiple of 64.
    again
        Begin anew, whatever is finished.
    workers
        How many work at a time, for the estimate.

    Returns
    -------
    int
        Number of objects.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong.
    concurrent.futures.CancelledError
        Where ``report`` says so.
    """
    image, task = _opened(request, side, report)
    result = _Result.at(request.output)
    if again:
        shutil.rmtree(result.work, ignore_errors=True)
    sample = _remembered(result.work, task, side)
    if sample is None:
        [(_, sample)] = spread(survey, [task])
        if sample.size is None and task.request.mode == "auto":
            report.say("no objects were seen where most is; all blocks are searched alike")
        _remember(result.work, task, side, sample)
    task = replace(task, size=sample.size)
    margin = margin_for(sample.size or 0, side)
    blocks = plan_blocks(image.grid.shape, side, margin)
    left = [item for item in blocks if not task.workspace.found_file(item).is_file()]
    _say_estimate(image, blocks, left, sample.seconds_per_pixel, side, workers, report)
    objects = _search(task, blocks, left, spread, report)
    ids = _decide(task, blocks, spread, report)
    count = max((int(item.max(initial=0)) for item in ids.values()), default=0)
    report.say(f"{counted(count)} of {objects} seen are different ones")
    _draw(task, image, side, blocks, count, result, spread, report)
    shutil.rmtree(result.work, ignore_errors=True)
    report.say(f"{counted(count)} written to {request.output}")
    return count


def _opened(
    request: EverythingRequest, side: int, report: Report
) -> tuple[ImageFile, Task]:
    """The image, and what workers have to know; whatever can be wrong is found here."""
    target = request.output
    suffix = target.suffix.lower()
    if suffix not in (".zarr", ".tif", ".tiff"):
        raise ImageError(f"The labels must go to a .zarr or .tif: got {target}.")
    if is_same_file(target, request.image):
        raise ImageError(f"{target} is the image: choose another name for the labels.")
    if side < 128 or side % 64:
        raise ImageError(f"--block must be a multiple of 64, at least 128: got {side}.")
    if request.compose:
        raise ImageError(
            "Channels cannot be put together in an image that is cut into blocks: choose "
            "one channel, or write an image of the composed channels first."
        )
    if request.size is not None and not request.size > 0:
        raise ImageError(f"The size of the objects must be positive: got {request.size:g}.")
    image = read_image(request.image, request.axes, series=request.series, lazy=True)
    for note in image.notes:
        report.say(note)
    if suffix != ".zarr":
        check_grid(image.grid)
    channel = valid_channel(request.image.name, image, request.channel)
    limits = image_limits(
        image.data, contrast_of(request), axes=image.axes, channel=channel
    )
    result = _Result.at(target)
    pixels = int(np.prod(image.grid.shape))
    if not target.parent.is_dir():
        raise ImageError(f"The folder {target.parent} does not exist.")
    try:
        result.work.mkdir(exist_ok=True)
    except OSError as error:
        raise SaveError(f"Cannot write to {target.parent}: {error.strerror}.") from error
    check_folder(target.parent, 2 * pixels // _SHARE)
    workspace = Workspace(result.work.resolve())
    return image, Task(request, channel, limits, request.size, workspace)


def _say_estimate(
    image: ImageFile,
    blocks: list[Block],
    left: list[Block],
    seconds: float,
    side: int,
    workers: int,
    report: Report,
) -> None:
    """Say what the run takes; a run that goes on says what is left of it."""
    shape = " x ".join(map(str, image.grid.shape))
    largest = max(block.shape[0] * block.shape[1] for block in blocks)
    item = np.dtype(image.data.dtype).itemsize
    memory = (_MODEL_BYTES + largest * (_BYTES_A_PIXEL + item)) / 2**20
    pixels = sum(block.shape[0] * block.shape[1] for block in left)
    needed = 2 * int(np.prod(image.grid.shape)) // _SHARE / 2**20
    report.say(
        f"{shape} pixels in {len(blocks)} blocks of {side}, {len(left)} left: about "
        f"{duration(pixels * seconds / max(workers, 1))} on {workers} worker(s), "
        f"{memory:.0f} MB of memory for each, {needed:.0f} MB on the disk"
    )


def _search(
    task: Task, blocks: list[Block], left: list[Block], spread: Spread, report: Report
) -> int:
    """Find the objects of each block that has no file yet; returns how many all have."""
    done = len(blocks) - len(left)
    for _ in spread(find, [(task, block) for block in left]):
        done += 1
        report.progress(done, len(blocks))
        if report.cancelled():
            break
    if done < len(blocks):
        raise CancelledError
    return sum(len(task.workspace.table(block).area) for block in blocks)


def _decide(
    task: Task, blocks: list[Block], spread: Spread, report: Report
) -> dict[int, Any]:
    """The final id of each object of each block; kept for the workers."""
    pairs = [(task, one, two) for one, two in neighbours(blocks)]
    shared = {
        (one.number, two.number): found
        for (_, one, two), found in spread(meet, pairs)
        if found
    }
    if report.cancelled():
        raise CancelledError
    tables = {block.number: task.workspace.table(block) for block in blocks}
    filters = task.request.filters or FilterSettings()
    ids = choose(blocks, tables, shared, filters.max_overlap)
    for block in blocks:
        task.workspace.save_ids(block, ids[block.number])
    return ids


def _draw(
    task: Task,
    image: ImageFile,
    side: int,
    blocks: list[Block],
    count: int,
    result: _Result,
    spread: Spread,
    report: Report,
) -> None:
    """Let every block draw its part, and move the whole to its name."""
    chunk = next(size for size in (_CHUNK, 512, 256, 128, 64) if side % size == 0)
    store = LabelStore.create(
        result.work / "labels.zarr", image.grid, smallest_dtype(count), chunk
    )
    around: dict[int, list[Block]] = {}
    for one, two in neighbours(blocks):
        around.setdefault(one.number, []).append(two)
        around.setdefault(two.number, []).append(one)
    task = replace(task, store=store)
    work = [
        (task, block, sorted(around.get(block.number, []), key=lambda item: item.number))
        for block in blocks
    ]
    drawn = sum(1 for _ in spread(draw, work))
    if drawn < len(work):
        raise CancelledError
    report.say("writing the labels")
    if result.is_zarr:
        store.finish(result.target, image.grid)
    else:
        write_tiled(result.target, store.array, image.grid)


def _remember(folder: Path, task: Task, side: int, sample: Sample) -> None:
    """Note what the files of blocks there were made for."""
    with replacing(folder / "plan.json") as temporary:
        text = json.dumps(
            {
                "for": _identity(task, side),
                "size": sample.size,
                "seconds_per_pixel": sample.seconds_per_pixel,
                "begun": time.time(),
            }
        )
        temporary.write_text(text, encoding="utf-8")


def _remembered(folder: Path, task: Task, side: int) -> Sample | None:
    """What was found at the beginning of the run that goes on; None where none does.

    Files of another run, with other settings or of an image that was changed since, are
    removed.
    """
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        if plan["for"] == _identity(task, side):
            return Sample(plan["size"], plan["seconds_per_pixel"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return None


def _identity(task: Task, side: int) -> str:
    request = task.request
    changed = request.image.stat().st_mtime_ns
    return f"{request!r} {task.channel} {task.limits} {side} {changed}"
