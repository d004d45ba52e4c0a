"""``cellprompt batch``: one task for many images, or for one larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.tasks.batch.request import BatchRequest

from .flags import default_of, filled
from .printing import INTERRUPTED, print_line, printed_report, say

if TYPE_CHECKING:
    import argparse

    from napari_cellprompt.tasks.batch.outcome import Outcome, Summary

    from .flags import Commands

__all__ = ["add_batch", "run_batch"]

_SHOWN = 20
"""Failures that are printed; the table has all of them."""


def add_batch(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "batch",
        parents=[shared],
        help="one task for many images, on several processes or computers",
        description="Carry out the task of a job file for every image of a folder or list, "
        "and write NAME_labels.tif for each and report.csv. Images whose labels are there "
        "are left out, so that a batch that was interrupted goes on where it was. One "
        "image is cut into blocks where it is large; of those that are finished none is "
        "done again.",
    )
    parser.set_defaults(run=run_batch)
    parser.add_argument(
        "source",
        type=Path,
        metavar="IMAGES",
        help="folder, text file with a path a line, or one image, such as an OME-Zarr",
    )
    parser.add_argument(
        "job", type=Path, metavar="JOB.yaml", help="the task and its settings"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="folder for labels; for one large image an OME-Zarr (.zarr) or a TIFF",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="a Dask scheduler that runs, such as tcp://host:8786; its workers need this "
        "package, and the files under the same names",
    )
    where.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes on this computer (default: as cores and memory allow)",
    )
    parser.add_argument(
        "--retries",
        type=int,
        default=default_of(BatchRequest, "retries"),
        metavar="N",
        help="how often what failed unexpectedly is tried again (default: %(default)s)",
    )
    parser.add_argument(
        "--again", action="store_true", help="also images whose labels are there"
    )
    parser.add_argument(
        "--block",
        type=int,
        metavar="PIXELS",
        help="side of the blocks that one large image is cut into (default: 2048)",
    )


def run_batch(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code, 1 where an image failed."""
    from napari_cellprompt.tasks.batch.run import run

    request = filled(BatchRequest, arguments)

    def tell(outcome: Outcome) -> None:
        if arguments.json:
            print_line(
                "image",
                image=outcome.image,
                labels=outcome.output,
                state=outcome.state,
                reason=outcome.reason,
                seconds=round(outcome.seconds, 2),
            )

    summary = run(request, printed_report(arguments.json), tell)
    return _conclude(summary, arguments.json)


def _conclude(summary: Summary, json_lines: bool) -> int:
    """Say how it ended; returns the exit code."""
    counts = {
        state: sum(item.state == state for item in summary.outcomes)
        for state in ("done", "skipped", "failed", "not started")
    }
    if json_lines:
        print_line("end", table=summary.table, **counts)
    else:
        for item in summary.failed[:_SHOWN]:
            say(f"{item.image.name}: {item.reason}")
        if len(summary.failed) > _SHOWN:
            say(f"... and {len(summary.failed) - _SHOWN} more")
        words = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        say(words if summary.table is None else f"{words}; see {summary.table}")
    if summary.failed:
        return 1
    return 0 if summary.complete else INTERRUPTED
