"""``cellprompt session`` and ``replay``: what a session file holds, and its labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .flags import filled
from .printing import print_line, printed_report

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_replay", "add_session", "run_replay", "run_show"]


def add_session(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "session",
        help="say what a session file holds",
        description="Say what a session file of the Segment widget holds.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser(
        "show",
        parents=[common],
        help="list what is in it, and a paragraph for a methods section",
        description="List what is in a session file, and print a paragraph for a methods "
        "section.",
    )
    show.set_defaults(run=run_show)
    show.add_argument("session", type=Path, metavar="SESSION", help="*.cellprompt.json")


def add_replay(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "replay",
        parents=[common],
        help="make the labels of a session file again",
        description="Do everything in a session file again and write the labels that it "
        "led to. The model is asked again with the saved prompts; where it answers "
        "otherwise today, the accepted mask is taken and told of.",
    )
    parser.set_defaults(run=run_replay)
    parser.add_argument("session", type=Path, metavar="SESSION", help="*.cellprompt.json")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    parser.add_argument(
        "--image", type=Path, help="the image, where it is not where it was"
    )
    parser.add_argument(
        "--layer", help="which Labels layer, where there are several (default: the last)"
    )
    parser.add_argument(
        "--no-model",
        action="store_true",
        help="take the accepted masks: needs neither model nor image",
    )
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or mps")


def run_show(arguments: argparse.Namespace) -> int:
    """Carry out ``session show``; returns the exit code."""
    from napari_cellprompt.io.session_file import read_session
    from napari_cellprompt.session.saved.describe import describe, methods

    session = read_session(arguments.session)
    if arguments.json:
        print_line("session", lines=describe(session), methods=methods(session))
        return 0
    print("\n".join(describe(session)))
    print()
    print(methods(session))
    return 0


def run_replay(arguments: argparse.Namespace) -> int:
    """Carry out ``replay``; returns the exit code."""
    from napari_cellprompt.session.saved.replay import ReplayRequest, run

    run(filled(ReplayRequest, arguments), printed_report(arguments.json))
    return 0
