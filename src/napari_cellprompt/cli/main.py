"""The command ``cellprompt``: what is asked, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from typing import TYPE_CHECKING

import napari_cellprompt
from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.tasks.requests import ModelRequest

from .adapt import add_adapt
from .batch import add_batch
from .completion import add_completion
from .demo import add_demo
from .doctor import add_doctor
from .evaluate import add_evaluate
from .everything import add_everything
from .examples import add_examples
from .export import add_export, add_import
from .fewshot import add_fewshot
from .fill import add_fill
from .flags import default_of
from .models import add_models
from .printing import INTERRUPTED
from .propagate import add_propagate
from .segment import add_segment
from .session import add_replay, add_session

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main", "make_parser"]

SUCCESS = 0
FAILURE = 1
USER_ERROR = 2

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
        arguments = make_parser().parse_args(argv)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else USER_ERROR
    try:
        code: int = arguments.run(arguments)
        return code
    except KeyboardInterrupt:
        print(
            "cellprompt: interrupted; no result was written. Finished planes are kept "
            "for the same command.",
            file=sys.stderr,
        )
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


class _Version(argparse.Action):
    """Looks the version up only when it is asked for, which reads files."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"cellprompt {napari_cellprompt.__version__}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
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
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--debug", action="store_true", help="show where an error came from"
    )
    common.add_argument(
        "--json",
        action="store_true",
        help="tell what happens in lines of JSON on the standard output, for programs",
    )
    shared = argparse.ArgumentParser(add_help=False, parents=[common])
    shared.add_argument(
        "--model", default=default_of(ModelRequest, "model"), help=_MODEL_HELP
    )
    shared.add_argument(
        "--device", default=default_of(ModelRequest, "device"), help=_DEVICE_HELP
    )

    add_segment(commands, shared)
    add_evaluate(commands, shared)
    add_propagate(commands, shared)
    add_fill(commands, shared)
    add_everything(commands, shared)
    add_fewshot(commands, shared)
    add_adapt(commands, shared)

    add_export(commands, common)
    add_import(commands, common)
    add_batch(commands, common)
    add_replay(commands, common)
    add_session(commands, common)

    add_models(commands, shared)
    add_doctor(commands, shared)

    add_demo(commands, shared)
    add_completion(commands, common, make_parser)
    add_examples(commands.choices)
    return parser
