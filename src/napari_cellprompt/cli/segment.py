"""``cellprompt segment``: an image and a file of prompts in, a label TIFF out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.tasks.requests import SegmentRequest

from .flags import add_compose_flag, add_image_flags, filled
from .printing import printed_report

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_segment", "run_segment"]


def add_segment(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "segment",
        parents=[shared],
        help="segment the objects that a file of prompts names, or labels hold",
        description="Segment the objects that a file of prompts names, or draw those of "
        "labels anew (--refine); write a label TIFF of the image's shape, without its "
        "channels.",
    )
    parser.set_defaults(run=run_segment)
    parser.add_argument("image", type=Path, metavar="IMAGE", help="TIFF, PNG or JPEG")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--prompts", type=Path, metavar="JSON", help="points, lines, boxes and masks"
    )
    what.add_argument(
        "--refine",
        type=Path,
        metavar="LABELS",
        help="labels of any program on the image's grid: each object goes to the model as "
        "a mask, and keeps its id",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    add_image_flags(parser)
    add_compose_flag(parser)
    parser.add_argument(
        "--along",
        choices=("z", "t"),
        help="axis that 'plane' in the prompts counts (default: z where there is one)",
    )


def run_segment(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code."""
    from napari_cellprompt.tasks.segment import run

    run(filled(SegmentRequest, arguments), printed_report(arguments.json))
    return 0
