"""``cellprompt fill``: labels of some planes in, labels of all planes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.tasks.requests import FillRequest

from .flags import add_image_flags, filled
from .printing import INTERRUPTED, printed_report

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_fill", "run_fill"]


def add_fill(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "fill",
        parents=[shared],
        help="fill objects in between the planes on which they are drawn",
        description="Fill each object of a label stack in between the planes on which it "
        "is drawn; write a label TIFF of the same shape. Only empty pixels change. Needs "
        "no model, unless --image is given.",
    )
    parser.set_defaults(run=run_fill)
    parser.add_argument(
        "labels", type=Path, metavar="SEEDS", help="label TIFF with an axis Z or T"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    parser.add_argument(
        "--axis",
        dest="along",
        choices=("z", "t"),
        help="axis to fill along (default: z where there is one)",
    )
    parser.add_argument(
        "--ids", type=int, nargs="+", metavar="ID", help="only these objects"
    )
    parser.add_argument(
        "--largest-gap",
        type=int,
        metavar="N",
        help="leave objects alone where more than N planes in a row lack them",
    )
    parser.add_argument(
        "--image",
        type=Path,
        metavar="STACK",
        help="look at this image: each filled outline is shown to the model, which may "
        "pull it where it proves right on the drawn planes",
    )
    add_image_flags(parser, "of the whole stack")


def run_fill(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code, 130 where it was interrupted."""
    from napari_cellprompt.tasks.fill import run

    request = filled(FillRequest, arguments)
    return 0 if run(request, printed_report(arguments.json)) else INTERRUPTED
