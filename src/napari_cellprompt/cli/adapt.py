"""``cellprompt adapt``: labelled objects in, a model that suits them out."""

from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.adapt.settings import AdaptSettings
from napari_cellprompt.tasks.requests import AdaptRequest

from .flags import default_of, filled
from .printing import INTERRUPTED, printed_report, say

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_adapt", "run_adapt"]


def add_adapt(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "adapt",
        parents=[shared],
        help="train a crop-wise model on your own objects",
        description="Train a copy of a crop-wise model on the objects of a folder and "
        "measure it on some that are held out. It is written and imported if it is better. "
        "An interrupted run goes on when the same command is given again.",
    )
    parser.set_defaults(run=run_adapt)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="holds NAME_img.tif and NAME_lab.tif"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="MODEL.safetensors",
        help="the new model; its file name is its name",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=default_of(AdaptSettings, "seconds"),
        help="time for all of it (default: %(default)g)",
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="at most (default: two a second)"
    )
    parser.add_argument(
        "--parts",
        choices=("decoder", "all"),
        default=default_of(AdaptSettings, "parts"),
        help="what learns (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=default_of(AdaptSettings, "seed"),
        metavar="N",
        help="chooses what is held out and what is drawn (default: %(default)d)",
    )
    parser.add_argument(
        "--partial", action="store_true", help="there are objects that are not labelled"
    )
    parser.add_argument(
        "--always", action="store_true", help="write the model also if it is no better"
    )


def run_adapt(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code."""
    from napari_cellprompt.tasks.adapt.adapting import run

    settings = filled(AdaptSettings, arguments)
    try:
        run(filled(AdaptRequest, arguments, settings=settings), printed_report())
    except CancelledError:
        say("stopped; the same command goes on from here")
        return INTERRUPTED
    return 0
