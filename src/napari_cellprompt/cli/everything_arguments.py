"""The arguments of ``cellprompt everything``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .series_argument import add_series

if TYPE_CHECKING:
    import argparse

    from .everything import EverythingRequest

__all__ = ["add_everything", "everything_request"]

_FILTERS = (
    ("min_area", "pixels; smaller objects are left out"),
    ("max_area", "pixels; larger objects are left out"),
    ("min_score", "predicted IoU, 0 to 1, below which an object is left out"),
    ("min_stability", "0 to 1: how little an outline may depend on its threshold"),
    ("min_consensus", "0 to 1: share of the clicks in an object that agree on it"),
    ("max_overlap", "0 to 1: of two objects that share more, the worse is left out"),
    ("clean_below", "pixels; smaller holes are filled, smaller islands dropped"),
)


def add_everything(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "everything",
        parents=[shared],
        help="label all objects, without prompts",
        description="Label all objects of an image, plane by plane; write a label TIFF of "
        "the image's shape, without its channels.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="TIFF, PNG or JPEG")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    parser.add_argument(
        "--mode",
        choices=("auto", "grid"),
        default="auto",
        help="auto: tiles that fit the size of the cells; grid: SAM's automatic mask "
        "generator on whole planes (default: %(default)s)",
    )
    parser.add_argument("--axes", help="letters of the axes, such as TZYX")
    add_series(parser)
    parser.add_argument("--channel", type=int, help="channel to look at (default: 0)")
    parser.add_argument(
        "--contrast",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="grey values shown as black and white (default: the percentiles 0.1 and 99.9 "
        "of the whole image)",
    )
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


def everything_request(arguments: argparse.Namespace) -> EverythingRequest:
    """What was asked for."""
    from .everything import EverythingRequest

    given = {name: getattr(arguments, name) for name, _ in _FILTERS}
    filters = {name: value for name, value in given.items() if value is not None}
    return EverythingRequest(
        image=arguments.image,
        output=arguments.output,
        mode=arguments.mode,
        model=arguments.model,
        device=arguments.device,
        axes=arguments.axes,
        channel=arguments.channel,
        series=arguments.series,
        contrast=None if arguments.contrast is None else tuple(arguments.contrast),
        size=arguments.size,
        link=arguments.link,
        filters={**filters, "drop_border": arguments.drop_border},
    )
