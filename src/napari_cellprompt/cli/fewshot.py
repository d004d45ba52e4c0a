"""``cellprompt fewshot``: a few examples and a folder in, labels of all alike out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.tasks.requests import FewshotRequest

from .flags import add_image_flags, default_of, filled
from .printing import printed_report

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_fewshot", "run_fewshot"]


def add_fewshot(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "fewshot",
        parents=[shared],
        help="find all objects that look like a few examples",
        description="Learn from a few labelled objects what to look for, and label all "
        "objects like them in every image of a folder. Images whose labels are there "
        "already are skipped, so that an interrupted run goes on where it was.",
    )
    parser.set_defaults(run=run_fewshot)
    parser.add_argument(
        "--examples",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="image and labels of wanted objects, again and again: IMG LAB [IMG LAB ...]",
    )
    parser.add_argument(
        "--others",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="image and labels of objects that are not wanted: IMG LAB [IMG LAB ...]",
    )
    parser.add_argument(
        "--bank", type=Path, metavar="FILE", help="examples that were saved before"
    )
    parser.add_argument(
        "--save-bank", type=Path, metavar="FILE", help="where to save the examples"
    )
    parser.add_argument(
        "--apply",
        dest="folder",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="images to label",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where NAME_labels.tif and NAME_objects.csv go",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=default_of(FewshotRequest, "threshold"),
        help="score from which on an object is taken, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--again", action="store_true", help="also images whose labels are there"
    )
    add_image_flags(parser, "of each")


def run_fewshot(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code, 1 where an image failed."""
    request = filled(
        FewshotRequest,
        arguments,
        examples=_pairs(arguments.examples, "--examples"),
        others=_pairs(arguments.others, "--others"),
    )
    from napari_cellprompt.tasks.fewshot import run

    return 1 if run(request, printed_report(arguments.json)) else 0


def _pairs(files: list[Path], option: str) -> tuple[tuple[Path, Path], ...]:
    if len(files) % 2:
        raise ImageError(
            f"{option} takes pairs of an image and its labels: got {len(files)} files."
        )
    return tuple(zip(files[::2], files[1::2], strict=True))
