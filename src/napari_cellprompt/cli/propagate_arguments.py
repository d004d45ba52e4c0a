"""The arguments of ``cellprompt propagate``, with what each economy costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .series_argument import add_series

if TYPE_CHECKING:
    import argparse

    from .propagate import PropagateRequest

__all__ = ["add_propagate", "propagate_request"]


def add_propagate(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "propagate",
        parents=[shared],
        help="follow objects through a z-stack or a movie",
        description="Follow objects from one plane, or several, through a stack; write a "
        "label TIFF of the stack's shape, without its channels. Ctrl-C ends the run "
        "within a plane and writes what is done.",
    )
    parser.add_argument(
        "image", type=Path, metavar="STACK", help="TIFF with an axis Z or T"
    )
    seeds = parser.add_mutually_exclusive_group(required=True)
    seeds.add_argument(
        "--prompts", type=Path, metavar="JSON", help="points, boxes and masks on planes"
    )
    seeds.add_argument(
        "--seeds",
        type=Path,
        metavar="TIFF",
        help="labels of one plane (--plane says which); their ids are kept",
    )
    parser.add_argument("--plane", type=int, help="plane of the seeds, from 0")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    parser.add_argument(
        "--axis",
        choices=("z", "t"),
        help="axis to propagate along (default: z where there is one)",
    )
    parser.add_argument(
        "--direction",
        choices=("both", "forward", "backward"),
        default="both",
        help="default: %(default)s",
    )
    parser.add_argument("--start", type=int, help="first plane wanted, from 0")
    parser.add_argument("--stop", type=int, help="last plane wanted, inclusive")
    parser.add_argument("--axes", help="letters of the axes, such as TZYX")
    add_series(parser)
    parser.add_argument("--channel", type=int, help="channel to look at (default: 0)")
    parser.add_argument(
        "--contrast",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="grey values shown as black and white (default: the percentiles 0.1 and 99.9 "
        "of the whole stack)",
    )
    parser.add_argument(
        "--divisions",
        action="store_true",
        help="in time: an object that stays in two parts ends, its parts go on with new "
        "ids; writes OUTPUT_tracks.csv (label, first, last, parent)",
    )
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    looks = parser.add_argument_group("where to look")
    looks.add_argument(
        "--geometry",
        choices=("auto", "roi", "field"),
        default="auto",
        help="roi: a tile that follows each object, at a scale at which it is resolved; "
        "field: the whole plane squeezed to the model's square, once for all objects; "
        "default: %(default)s",
    )
    looks.add_argument(
        "--no-motion",
        action="store_true",
        help="in time: look for each object where it was, not where its grey values have "
        "gone",
    )
    ends = parser.add_argument_group("when an object has ended")
    ends.add_argument(
        "--stop-object-score",
        type=float,
        default=0.5,
        help="probability of being there below which it has left (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-area-ratio",
        type=float,
        default=0.1,
        help="share of its usual area below which it is a remnant (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-overlap",
        type=float,
        default=0.1,
        help="share of overlap with the neighbouring plane below which it has jumped to "
        "another object; 0 for objects that move farther than their size "
        "(default: %(default)s)",
    )
    ends.add_argument(
        "--stop-contrast",
        type=float,
        default=0.25,
        help="share of its contrast on the prompted plane below which it has faded; 0 for "
        "images where that changes, such as phase contrast (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-regrowth",
        type=float,
        default=1.2,
        help="in z-stacks: an object that had shrunk to less than 0.6 of its area, or "
        "faded to less than 0.7 of its contrast, and has this times the least of it is the "
        "next one; 0 never (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-patience",
        type=int,
        default=1,
        help="planes in a row that must fail (default: %(default)s)",
    )
    economy = parser.add_argument_group(
        "economy", "faster on a CPU, at the price of what is remembered"
    )
    economy.add_argument(
        "--method",
        choices=("memory", "neighbour"),
        default="memory",
        help="memory: what SAM 2 remembers of several planes; neighbour: the mask of the "
        "plane before is the prompt of the next, without any memory: fastest, for slow "
        "changes only, cannot tell look-alikes apart, also for SAM 1 "
        "(default: %(default)s)",
    )
    economy.add_argument(
        "--memories",
        type=int,
        default=7,
        help="planes remembered, prompted ones counted as one; fewer are faster, and "
        "looks of long ago are forgotten (default: %(default)s)",
    )
    economy.add_argument(
        "--memory-stride",
        type=int,
        default=1,
        help="remember every n-th plane: reaches farther back at no cost, but is coarser "
        "(default: %(default)s)",
    )
    economy.add_argument(
        "--pool-memories",
        action="store_true",
        help="attend to older planes at half the resolution, a quarter of the values: "
        "faster, outlines may get coarser",
    )
    economy.add_argument(
        "--disk-cache",
        type=float,
        default=0,
        metavar="MB",
        help="keep features of the image encoder in files of up to so many MB, so that the "
        "next run on the same stack does not compute them again (default: none)",
    )


def propagate_request(arguments: argparse.Namespace) -> PropagateRequest:
    """What was asked, from parsed arguments."""
    from .propagate import PropagateRequest

    return PropagateRequest(
        image=arguments.image,
        output=arguments.output,
        prompts=arguments.prompts,
        seeds=arguments.seeds,
        plane=arguments.plane,
        along=arguments.axis,
        direction=arguments.direction,
        start=arguments.start,
        stop=arguments.stop,
        model=arguments.model,
        device=arguments.device,
        axes=arguments.axes,
        channel=arguments.channel,
        series=arguments.series,
        contrast=None if arguments.contrast is None else tuple(arguments.contrast),
        divisions=arguments.divisions,
        disk_cache=arguments.disk_cache,
        settings={
            "geometry": arguments.geometry,
            "method": arguments.method,
            "motion": not arguments.no_motion,
            "stop_object_score": arguments.stop_object_score,
            "stop_area_ratio": arguments.stop_area_ratio,
            "stop_overlap": arguments.stop_overlap,
            "stop_contrast": arguments.stop_contrast,
            "stop_regrowth": arguments.stop_regrowth,
            "stop_patience": arguments.stop_patience,
        },
        memory={
            "max_memories": arguments.memories,
            "stride": arguments.memory_stride,
            "pool_older": arguments.pool_memories,
        },
    )
