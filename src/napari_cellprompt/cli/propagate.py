"""``cellprompt propagate``: a stack and prompts in, objects on every plane out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt.tasks.requests import PropagateRequest

from .flags import SettingDefault, add_compose_flag, add_image_flags, default_of, filled
from .printing import INTERRUPTED, printed_report

if TYPE_CHECKING:
    import argparse

    from napari_cellprompt.core.propagate.types import PropagationSettings

    from .flags import Commands

__all__ = ["add_propagate", "run_propagate"]


def add_propagate(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "propagate",
        parents=[shared],
        help="follow objects through a z-stack or a movie",
        description="Follow objects from one plane, or several, through a stack; write a "
        "label TIFF of the stack's shape, without its channels. Ctrl-C ends the run "
        "within a plane and writes what is done.",
    )
    parser.set_defaults(run=run_propagate)
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
        dest="along",
        choices=("z", "t"),
        help="axis to propagate along (default: z where there is one)",
    )
    parser.add_argument(
        "--direction",
        choices=("both", "forward", "backward"),
        default=default_of(PropagateRequest, "direction"),
        help="default: %(default)s",
    )
    parser.add_argument("--start", type=int, help="first plane wanted, from 0")
    parser.add_argument("--stop", type=int, help="last plane wanted, inclusive")
    add_image_flags(parser, "of the whole stack")
    add_compose_flag(parser)
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
        default=_setting("geometry"),
        help="roi: a tile that follows each object, at a scale at which it is resolved; "
        "field: the whole plane squeezed to the model's square, once for all objects; "
        "default: %(default)s",
    )
    looks.add_argument(
        "--no-motion",
        dest="motion",
        default=_setting("motion"),
        action="store_false",
        help="in time: look for each object where it was, not where its grey values have "
        "gone",
    )
    ends = parser.add_argument_group("when an object has ended")
    ends.add_argument(
        "--stop-object-score",
        type=float,
        default=_setting("stop_object_score"),
        help="probability of being there below which it has left (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-area-ratio",
        type=float,
        default=_setting("stop_area_ratio"),
        help="share of its usual area below which it is a remnant (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-overlap",
        type=float,
        default=_setting("stop_overlap"),
        help="share of overlap with the neighbouring plane below which it has jumped to "
        "another object; 0 for objects that move farther than their size "
        "(default: %(default)s)",
    )
    ends.add_argument(
        "--stop-contrast",
        type=float,
        default=_setting("stop_contrast"),
        help="share of its contrast on the prompted plane below which it has faded; 0 for "
        "images where that changes, such as phase contrast (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-regrowth",
        type=float,
        default=_setting("stop_regrowth"),
        help="in z-stacks: an object that had shrunk to less than 0.6 of its area, or "
        "faded to less than 0.7 of its contrast, and has this times the least of it is the "
        "next one; 0 never (default: %(default)s)",
    )
    ends.add_argument(
        "--stop-patience",
        type=int,
        default=_setting("stop_patience"),
        help="planes in a row that must fail (default: %(default)s)",
    )
    economy = parser.add_argument_group(
        "economy", "faster on a CPU, at the price of what is remembered"
    )
    economy.add_argument(
        "--method",
        choices=("auto", "memory", "neighbour"),
        default=_setting("method"),
        help="auto: as the model can; memory: what SAM 2 remembers of several planes; "
        "neighbour: the mask of the plane before is the prompt of the next, without any "
        "memory: fastest, for slow changes only, cannot tell look-alikes apart, also for "
        "SAM 1 (default: %(default)s)",
    )
    economy.add_argument(
        "--memories",
        type=int,
        dest="max_memories",
        default=_memory("max_memories"),
        help="planes remembered, prompted ones counted as one; fewer are faster, and "
        "looks of long ago are forgotten (default: %(default)s)",
    )
    economy.add_argument(
        "--memory-stride",
        type=int,
        dest="stride",
        default=_memory("stride"),
        help="remember every n-th plane: reaches farther back at no cost, but is coarser "
        "(default: %(default)s)",
    )
    economy.add_argument(
        "--pool-memories",
        dest="pool_older",
        default=_memory("pool_older"),
        action="store_true",
        help="attend to older planes at half the resolution, a quarter of the values: "
        "faster, outlines may get coarser",
    )
    economy.add_argument(
        "--disk-cache",
        type=float,
        default=default_of(PropagateRequest, "disk_cache"),
        metavar="MB",
        help="keep features of the image encoder in files of up to so many MB, so that the "
        "next run on the same stack does not compute them again (default: none)",
    )


def run_propagate(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code, 130 where it was interrupted."""
    from napari_cellprompt.tasks.propagate import run

    request = filled(PropagateRequest, arguments, settings=_settings(arguments))
    return 0 if run(request, printed_report(arguments.json)) else INTERRUPTED


def _settings(arguments: argparse.Namespace) -> PropagationSettings:
    """How objects are to be followed."""
    usual = _settings_class()()
    track = filled(_memory_class(), arguments, max_prompted=usual.track.max_prompted)
    return filled(_settings_class(), arguments, track=track)


def _settings_class() -> type[PropagationSettings]:
    from napari_cellprompt.core.propagate.types import PropagationSettings

    return PropagationSettings


def _memory_class() -> type[Any]:
    return type(_settings_class()().track)


def _setting(name: str) -> SettingDefault:
    return SettingDefault(_settings_class, name)


def _memory(name: str) -> SettingDefault:
    return SettingDefault(_memory_class, name)
