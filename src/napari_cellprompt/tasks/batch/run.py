"""One task for many images: what is finished is left alone, one bad image stops nothing."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.io.outputs import (
    check_folder,
    check_output,
    make_folder,
    write_or_keep,
)
from napari_cellprompt.tasks.report import SILENT, Report, counted, duration

from .cluster import connected, stream
from .job import Job, images_of, items_of, read_job
from .large import is_large, run_large
from .outcome import Outcome, Summary, write_report
from .work import work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .cluster import Answer
    from .job import Item
    from .request import BatchRequest

__all__ = ["Summary", "run"]

# labels are compressed to a hundredth of their image, or less
_SHARE = 100
_FOLDER = ".batch"
"""In the output folder: the job as it was run, and a lock."""


def run(
    request: BatchRequest,
    report: Report = SILENT,
    told: Callable[[Outcome], object] = lambda _: None,
) -> Summary:
    """Carry out a job for every image of a folder or list.

    Parameters
    ----------
    request
        The images, the job, and where to work.
    report
        Told what is estimated and how far it is. Where it says to stop, items on their
        way are finished, and no others are begun.
    told
        Called with each outcome as it is there.

    Raises
    ------
    CellpromptError
        With a sentence on what was wrong with the job, before anything is done.
    """
    job = read_job(request.job)
    images = images_of(request.source)
    if request.retries < 0:
        raise ImageError(f"--retries must not be negative: got {request.retries}.")
    if is_large(job, images, request):
        return run_large(request, job, images[0], report)
    make_folder(request.output)
    items = items_of(job, images, request.output)
    table = request.output / "report.csv"
    check_output(table, (request.job, *images))
    for item in items:
        if item.output.exists():
            check_output(item.output, images)
    with _locked(request.output):
        since = _remember(job, request)
        _sweep(request.output)
        wanted = [item for item in items if not item.is_finished(since)]
        left = {item.name for item in wanted}
        outcomes = {
            item.name: Outcome(item.name, item.image, item.output, "skipped")
            for item in items
            if item.name not in left
        }
        if outcomes:
            report.say(f"{len(outcomes)} of {len(items)} images have their labels already")
        try:
            if wanted:
                _work(request, wanted, outcomes, report, told)
        finally:
            for item in wanted:
                outcomes.setdefault(item.name, _not_started(item))
            ordered = tuple(outcomes[item.name] for item in items)
            _save_table(table, ordered, report)
    complete = all(item.state != "not started" for item in ordered)
    return Summary(ordered, table, complete)


def _work(
    request: BatchRequest,
    items: list[Item],
    outcomes: dict[str, Outcome],
    report: Report,
    told: Callable[[Outcome], object],
) -> None:
    """Fill in outcomes as they come."""
    _estimate(request, items, report)
    full = False

    def stop() -> bool:
        return full or report.cancelled()

    with (
        connected(request.scheduler, request.workers) as workers,
        report.interruptible(),
    ):
        report.say(f"{len(items)} images on {workers.count} worker(s)")
        if workers.dashboard:
            report.say(f"what the workers do: {workers.dashboard}")
        started = time.perf_counter()
        for answer in stream(workers, work, items, retries=request.retries, stop=stop):
            outcome = _outcome(answer)
            outcomes[outcome.name] = outcome
            if outcome.disk_full and not full:
                full = True
                report.say("the disk is full: no further image is begun")
            told(outcome)
            done = sum(item.name in outcomes for item in items)
            report.progress(done, len(items))
            if done == 1 and len(items) > 1:
                seconds = time.perf_counter() - started
                rounds = -(-len(items) // workers.count) - 1
                report.say(
                    f"the first took {duration(seconds)}: about "
                    f"{duration(seconds * rounds)} for the others"
                )


def _outcome(answer: Answer) -> Outcome:
    if isinstance(answer.value, Outcome):
        return answer.value
    item: Item = answer.item
    return Outcome(
        item.name,
        item.image,
        item.output,
        "failed",
        reason=answer.problem,
        attempts=answer.attempts,
    )


def _not_started(item: Item) -> Outcome:
    return Outcome(item.name, item.image, item.output, "not started", attempts=0)


def _save_table(path: Path, outcomes: tuple[Outcome, ...], report: Report) -> None:
    """Write the table; where the disk is full, say where it went instead."""
    try:
        write_or_keep(path, lambda target: write_report(target, outcomes))
    except SaveError as error:
        report.say(str(error))


def _estimate(request: BatchRequest, items: list[Item], report: Report) -> None:
    """Say what a batch will take, and refuse it where there is no room for its labels."""
    sizes = [_size(item.image) for item in items]
    labels = sum(sizes) // _SHARE
    check_folder(request.output, labels)
    report.say(
        f"{counted_images(len(items))} of {sum(sizes) / 2**20:.0f} MB to be read, the "
        f"largest {max(sizes) / 2**20:.1f} MB; labels of about {labels / 2**20:.1f} MB"
    )


def counted_images(number: int) -> str:
    """Return ``1 image``, ``2 images``, ..."""
    return counted(number).replace("object", "image")


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a second batch out of a folder."""
    inner = folder / _FOLDER
    make_folder(inner)
    lock = FileLock(inner / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ImageError(
            f"Another batch is writing to {folder}: wait for it, or choose another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _remember(job: Job, request: BatchRequest) -> int:
    """Note which job a folder is of, and refuse another one: labels would be mixed.

    Returns the time, in nanoseconds, before which labels there do not count.
    """
    path = request.output / _FOLDER / "job.json"
    written = job.written()
    before: dict[str, Any] = {}
    since = time.time_ns() if request.again else 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        before, since = kept["job"], max(since, int(kept["since"]))
    if before and before != written and not request.again:
        names = sorted({*before, *written})
        changed = [name for name in names if before.get(name) != written.get(name)]
        raise ImageError(
            f"The labels in {request.output} were made with other settings "
            f"({', '.join(changed)}): choose another folder, or --again to make all of "
            f"them anew."
        )
    with replacing(path) as temporary:
        text = json.dumps({"job": written, "since": since}, indent=1)
        temporary.write_text(text, encoding="utf-8")
    return since


def _sweep(folder: Path) -> None:
    """Remove what workers that died have left half written."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()
