"""``cellprompt demo``: images that come along are segmented, and how well is printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import ModelRequest

from .flags import filled

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_demo", "run_demo"]


def add_demo(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        parents=[shared],
        help="segment a simulated and a real image that come along",
        description="Segment a simulated and a real image that come along; print how well "
        "and how fast, and write labels and pictures.",
    )
    parser.set_defaults(run=run_demo)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="FOLDER",
        help="where labels and pictures go (default: %(default)s)",
    )


def run_demo(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code."""
    from napari_cellprompt.evaluation.demo import run

    run(filled(ModelRequest, arguments), arguments.output, Report(say=print))
    return 0
