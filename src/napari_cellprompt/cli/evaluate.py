"""``cellprompt evaluate``: images with known objects in, tables of IoU out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.evaluation.request import PARTS, EvaluateRequest

from .flags import default_of, filled
from .printing import printed_report

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["add_evaluate", "format_table", "run_evaluate"]

_HEADINGS = {
    "click": "1 click",
    "clicks3": "3 clicks",
    "clicks5": "5 clicks",
    "box": "box",
    "loose": "loose box",
    "mask": "mask",
    "ellipse": "ellipse",
    "moved": "moved",
    "below_half": "click <.5",
    "needed": "NoC 85",
    "missed": "missed",
    "click_ece": "ECE click",
    "box_ece": "ECE box",
    "ap50": "AP50",
    "ap": "mean AP",
    "from_box": "from box",
    "from_mask": "from mask",
    "copied": "copied",
}


def add_evaluate(commands: Commands, shared: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        parents=[shared],
        help="measure a model on images whose objects are known",
        description="Predict known objects from clicks, boxes and masks, find them without "
        "a prompt, and follow them through stacks and movies; print the mean of each data "
        "set, and write all figures and a picture.",
    )
    parser.set_defaults(run=run_evaluate)
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="NAME_img.tif and NAME_lab.tif, and perhaps a manifest.json with their axes",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=default_of(EvaluateRequest, "output"),
        metavar="FOLDER",
        help="where figures and picture go (default: %(default)s)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="at most N objects of each data set, and the planes that they are on",
    )
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="only these")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=default_of(EvaluateRequest, "parts"),
        help="objects prompted one by one, planes without a prompt, stacks and movies "
        "(default: all three)",
    )


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit code."""
    from napari_cellprompt.evaluation.measuring import run

    evaluation = run(filled(EvaluateRequest, arguments), printed_report())
    print(format_table(evaluation.table))
    print(f"{evaluation.seconds:.0f} s")
    return 0


def format_table(table: dict[str, dict[str, float]]) -> str:
    """The table as text, one line a data set; a second one for whole planes and stacks."""
    from napari_cellprompt.evaluation.table import PROMPT_FIELDS, WHOLE_FIELDS

    blocks = [
        _block(table, fields)
        for fields in (("objects", *PROMPT_FIELDS), WHOLE_FIELDS)
        if any(field in row for row in table.values() for field in fields)
    ]
    return "\n\n".join(blocks)


def _block(table: dict[str, dict[str, float]], fields: tuple[str, ...]) -> str:
    width = max(len(name) for name in table)
    headings = (f"{_HEADINGS.get(name, name):>9}" for name in fields)
    lines = [" ".join((" " * width, *headings))]
    for name, row in table.items():
        if not any(field in row for field in fields):
            continue
        numbers = (
            f"{row[field]:9.{0 if field == 'objects' else 3}f}"
            if field in row
            else f"{'-':>9}"
            for field in fields
        )
        lines.append(" ".join((name.ljust(width), *numbers)))
    return "\n".join(lines)
