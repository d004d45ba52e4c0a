"""``cellprompt doctor``: a report on this computer to read or to paste."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_doctor", "run_doctor"]


def add_doctor(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add ``doctor`` to the parser."""
    parser = commands.add_parser(
        "doctor",
        parents=[shared],
        help="report versions, devices and speed of this computer",
        description="Versions, devices, memory, models, and the time of a click; to be "
        "pasted into a bug report.",
    )
    parser.set_defaults(run=run_doctor)


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print the report."""
    from napari_cellprompt.tasks.doctor import measure, report

    print(report(timer=lambda: measure(arguments.model, arguments.device)))
    return 0
