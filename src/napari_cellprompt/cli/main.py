"""The command ``cellprompt``: what is asked, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import napari_cellprompt
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL

from .doctor import add_doctor, run_doctor
from .evaluate_arguments import add_evaluate, evaluate_request
from .everything_arguments import add_everything, everything_request
from .fewshot_arguments import add_fewshot, fewshot_request
from .models import add_models, run_models
from .propagate_arguments import add_propagate, propagate_request
from .series_argument import add_series

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

SUCCESS = 0
FAILURE = 1
USER_ERROR = 2
INTERRUPTED = 130

_MODEL_HELP = "name of a model, or a file of weights (default: %(default)s)"
_DEVICE_HELP = "auto, cpu, cuda or mps (default: %(default)s)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0 = done, 1 = something failed, 2 = what was asked cannot be done, 130 = interrupted.

    Parameters
    ----------
    argv
        Arguments without the name of the command; default those of the process.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else USER_ERROR
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("cellprompt: interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; what is left must go somewhere when
        # the interpreter flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SUCCESS
    except Exception as error:
        # The last stop of every error: a user gets one sentence, and a traceback only
        # on demand.
        if arguments.debug:
            traceback.print_exc()
        if isinstance(error, CellpromptError):
            print(f"cellprompt: {error}", file=sys.stderr)
            return USER_ERROR if isinstance(error, ValueError) else FAILURE
        print(
            f"cellprompt: this should not have happened: {type(error).__name__}: {error} "
            f"(--debug shows where)",
            file=sys.stderr,
        )
        return FAILURE


def _run(arguments: argparse.Namespace) -> int:
    # Imported here, so that --help and --version answer at once.
    if arguments.command == "demo":
        from .demo import run_demo

        run_demo(arguments.output, model=arguments.model, device=arguments.device)
        return SUCCESS
    if arguments.command == "models":
        return run_models(arguments)
    if arguments.command == "doctor":
        return run_doctor(arguments)
    if arguments.command == "evaluate":
        from .evaluate import run_evaluate

        run_evaluate(evaluate_request(arguments))
        return SUCCESS
    if arguments.command == "everything":
        from .everything import run_everything

        run_everything(everything_request(arguments))
        return SUCCESS
    if arguments.command == "fewshot":
        from .fewshot import run_fewshot

        return FAILURE if run_fewshot(fewshot_request(arguments)) else SUCCESS
    if arguments.command == "propagate":
        from .propagate import run_propagate

        complete = run_propagate(propagate_request(arguments))
        return SUCCESS if complete else INTERRUPTED
    from .segment import SegmentRequest, run_segment

    run_segment(
        SegmentRequest(
            image=arguments.image,
            prompts=arguments.prompts,
            output=arguments.output,
            model=arguments.model,
            device=arguments.device,
            axes=arguments.axes,
            along=arguments.along,
            channel=arguments.channel,
            contrast=None if arguments.contrast is None else tuple(arguments.contrast),
            series=arguments.series,
        )
    )
    return SUCCESS


class _Version(argparse.Action):
    """Looks the version up only when it is asked for, which reads files."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"cellprompt {napari_cellprompt.__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellprompt",
        description="Segment cells from clicks and boxes, without a window.",
    )
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="show the version of the package and exit",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--model", default=DEFAULT_MODEL, help=_MODEL_HELP)
    shared.add_argument("--device", default="auto", help=_DEVICE_HELP)
    shared.add_argument(
        "--debug", action="store_true", help="show where an error came from"
    )

    segment = commands.add_parser(
        "segment",
        parents=[shared],
        help="segment the objects that a file of prompts names",
        description="Segment the objects that a file of prompts names; write a label TIFF "
        "of the image's shape, without its channels.",
    )
    segment.add_argument("image", type=Path, metavar="IMAGE", help="TIFF, PNG or JPEG")
    segment.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="JSON",
        help="points, boxes and masks",
    )
    segment.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    segment.add_argument(
        "--axes", help="letters of the image's axes, such as TZYX, if the file has none"
    )
    add_series(segment)
    segment.add_argument(
        "--along",
        choices=("z", "t"),
        help="axis that 'plane' in the prompts counts (default: z where there is one)",
    )
    segment.add_argument("--channel", type=int, help="channel to look at (default: 0)")
    segment.add_argument(
        "--contrast",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="grey values shown as black and white (default: the percentiles 0.1 and 99.9 "
        "of the whole image)",
    )

    add_evaluate(commands, shared)
    add_propagate(commands, shared)
    add_everything(commands, shared)
    add_fewshot(commands, shared)

    add_models(commands, shared)
    add_doctor(commands, shared)

    demo = commands.add_parser(
        "demo",
        parents=[shared],
        help="segment a simulated and a real image that come along",
        description="Segment a simulated and a real image that come along; print how well "
        "and how fast, and write labels and pictures.",
    )
    demo.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("demo_output"),
        metavar="FOLDER",
        help="where labels and pictures go (default: %(default)s)",
    )
    return parser
