"""``cellprompt everything``: an image in, labels of all its objects out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.tasks.requests import EverythingRequest

from .flags import add_compose_flag, add_image_flags, default_of, filled
from .printing import printed_report

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_everything", "run_everything"]

_FILTERS = (
    ("min_area", "pixels; smaller objects are left out"),
    ("max_area", "pixels; larger objects are left out"),
    ("min_score", "predicted IoU, 0 to 1, below which an object is left out"),
    ("min_stability", "0 to 1: how little an outline may depend on its threshold"),
    ("min_consensus", "0 to 1: share of the clicks in an object that agree on it"),
    ("max_overlap", "0 to 1: of two objects that share more, the worse is left out"),
    ("clean_below", "pixels; smaller holes are filled, smaller islands dropped"),
)


def add_everything(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "everything",
        parents=[shared],
        help="label all objects, without prompts",
        description="Label all objects of an image, plane by plane; write a label TIFF of "
        "the image's shape, without its channels.",
    )
    parser.set_defaults(run=run_everything)
    parser.add_argument("image", type=Path, metavar="IMAGE", help="TIFF, PNG or JPEG")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    parser.add_argument(
        "--mode",
        choices=("auto", "grid"),
        default=default_of(EverythingRequest, "mode"),
        help="auto: tiles that fit the size of the cells; grid: SAM's automatic mask "
        "generator on whole planes (default: %(default)s)",
    )
    add_image_flags(parser)
    add_compose_flag(parser)
    parser.add_argument(
        "--size",
        type=float,
        metavar="PIXELS",
        help="longer side of the objects, for auto (default: found from the image)",
    )
    parser.add_argument(
        "--no-link",
        dest="link",
        action="store_false",
        help="give every plane of a stack ids of its own, instead of one id per object",
    )
    for name, text in _FILTERS:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=float, metavar="N", help=text
        )
    parser.add_argument(
        "--drop-border", action="store_true", help="leave out what the border cuts"
    )


def run_everything(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code."""
    from napari_cellprompt.core.masks.found import FilterSettings
    from napari_cellprompt.tasks.everything import run

    filters = filled(FilterSettings, arguments)
    run(
        filled(EverythingRequest, arguments, filters=filters),
        printed_report(arguments.json),
    )
    return 0
