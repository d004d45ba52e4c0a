"""The arguments of ``cellprompt fewshot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError

from .series_argument import add_series

if TYPE_CHECKING:
    import argparse

    from .fewshot import FewshotRequest

__all__ = ["add_fewshot", "fewshot_request"]


def add_fewshot(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "fewshot",
        parents=[shared],
        help="find all objects that look like a few examples",
        description="Learn from a few labelled objects what to look for, and label all "
        "objects like them in every image of a folder. Images whose labels are there "
        "already are skipped, so that an interrupted run goes on where it was.",
    )
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
        "--apply", type=Path, required=True, metavar="FOLDER", help="images to label"
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
        default=0.5,
        help="score from which on an object is taken, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--again", action="store_true", help="also images whose labels are there"
    )
    parser.add_argument("--axes", help="letters of the images' axes, such as TZYX")
    parser.add_argument("--channel", type=int, help="channel to look at (default: 0)")
    add_series(parser)
    parser.add_argument(
        "--contrast",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="grey values shown as black and white, of all images (default: the "
        "percentiles 0.1 and 99.9 of each)",
    )


def fewshot_request(arguments: argparse.Namespace) -> FewshotRequest:
    """What was asked for.

    Raises
    ------
    ImageError
        Where images and labels do not pair up.
    """
    from .fewshot import FewshotRequest

    return FewshotRequest(
        folder=arguments.apply,
        output=arguments.output,
        examples=_pairs(arguments.examples, "--examples"),
        others=_pairs(arguments.others, "--others"),
        bank=arguments.bank,
        save_bank=arguments.save_bank,
        threshold=arguments.threshold,
        again=arguments.again,
        model=arguments.model,
        device=arguments.device,
        axes=arguments.axes,
        channel=arguments.channel,
        series=arguments.series,
        contrast=None if arguments.contrast is None else tuple(arguments.contrast),
    )


def _pairs(files: list[Path], option: str) -> tuple[tuple[Path, Path], ...]:
    if len(files) % 2:
        raise ImageError(
            f"{option} takes pairs of an image and its labels: got {len(files)} files."
        )
    return tuple(zip(files[::2], files[1::2], strict=True))
