"""The arguments of ``cellprompt evaluate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    import argparse

__all__ = ["PARTS", "EvaluateRequest", "add_evaluate", "evaluate_request"]

PARTS = ("prompts", "everything", "stacks")


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """What the command line asks for."""

    folder: Path
    output: Path
    model: str = DEFAULT_MODEL
    device: str = "auto"
    limit: int | None = None
    """At most so many objects of each data set; None for all."""
    datasets: tuple[str, ...] | None = None
    parts: tuple[str, ...] = PARTS


"""What can be measured."""


def add_evaluate(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
) -> None:
    """Add the command and its arguments."""
    evaluate = commands.add_parser(
        "evaluate",
        parents=[shared],
        help="measure a model on images whose objects are known",
        description="Predict known objects from clicks, boxes and masks, find them without "
        "a prompt, and follow them through stacks and movies; print the mean of each data "
        "set, and write all figures and a picture.",
    )
    evaluate.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="NAME_img.tif and NAME_lab.tif, and perhaps a manifest.json with their axes",
    )
    evaluate.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("evaluation"),
        metavar="FOLDER",
        help="where figures and picture go (default: %(default)s)",
    )
    evaluate.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="at most N objects of each data set, and the planes that they are on",
    )
    evaluate.add_argument("--datasets", nargs="+", metavar="NAME", help="only these")
    evaluate.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        help="objects prompted one by one, planes without a prompt, stacks and movies "
        "(default: all three)",
    )


def evaluate_request(arguments: argparse.Namespace) -> EvaluateRequest:
    """What the arguments ask for."""
    return EvaluateRequest(
        folder=arguments.folder,
        output=arguments.output,
        model=arguments.model,
        device=arguments.device,
        limit=arguments.limit,
        datasets=None if arguments.datasets is None else tuple(arguments.datasets),
        parts=tuple(arguments.parts),
    )
