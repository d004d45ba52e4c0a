"""``cellprompt completion``: a script that lets the shell complete commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from .flags import Commands

__all__ = ["add_completion"]


def add_completion(
    commands: Commands,
    common: argparse.ArgumentParser,
    whole: Callable[[], argparse.ArgumentParser],
) -> None:
    """Add the command; ``whole`` makes the parser of all commands."""
    parser = commands.add_parser(
        "completion",
        parents=[common],
        help="print a script that completes commands and options in a shell",
        description="Print a script for a shell, by which the Tab key completes commands, "
        "options and file names.",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))

    def run(arguments: argparse.Namespace) -> int:
        try:
            import shtab
        except ImportError as error:
            raise ImageError("Completion needs shtab: pip install shtab.") from error
        print(shtab.complete(whole(), shell=arguments.shell))
        return 0

    parser.set_defaults(run=run)
