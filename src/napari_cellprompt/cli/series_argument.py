"""The argument ``--series``, which several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_series"]


def add_series(parser: argparse.ArgumentParser) -> None:
    """Add the argument to a command."""
    parser.add_argument(
        "--series",
        type=int,
        metavar="N",
        help="which image of a file that holds several, from 0 (default: planes of one "
        "size are a stack, else the largest image)",
    )
