"""``cellprompt export`` and ``cellprompt import``: labels in the formats of others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellprompt.tasks.requests import ExportRequest, ImportRequest

from .flags import filled
from .printing import printed_report

if TYPE_CHECKING:
    import argparse

    from .flags import Commands

__all__ = ["EXPORTS", "add_export", "add_import", "run_export", "run_import"]

# Written here too, since the formats themselves take a second to import; a test compares.
EXPORTS = (
    "tiff",
    "planes",
    "ome-zarr",
    "ctc",
    "geff",
    "coco",
    "roi",
    "cellpose",
    "train-cellpose",
    "train-stardist",
    "train-micro-sam",
    "csv",
)
IMPORTS = ("tiff", "planes", "ome-zarr", "ctc", "coco", "roi", "cellpose", "train")


def add_export(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add ``export`` to the parser."""
    parser = commands.add_parser(
        "export",
        parents=[common],
        help="write labels for other programs",
        description="Write labels in a format of other programs. What the format cannot "
        "hold is said before anything is written.",
    )
    parser.set_defaults(run=run_export)
    parser.add_argument(
        "labels", type=Path, metavar="LABELS", help="label TIFF, or what 'import' reads"
    )
    parser.add_argument(
        "--to", required=True, choices=EXPORTS, help="format; see docs/how/exchange.md"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="file or folder"
    )
    parser.add_argument(
        "--image",
        type=Path,
        metavar="IMAGE",
        help="for grey values, training folders, and a voxel size if the labels have none",
    )
    parser.add_argument(
        "--objects",
        type=Path,
        metavar="TABLE",
        help="CSV or GEFF with class, state, trust and parent by label, such as the "
        "tracks that 'propagate' writes",
    )
    parser.add_argument("--axes", help="letters of the labels' axes, such as TYX")
    parser.add_argument("--image-axes", help="letters of the image's axes, such as TCYX")


def add_import(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add ``import`` to the parser."""
    parser = commands.add_parser(
        "import",
        parents=[common],
        help="read labels of other programs",
        description="Write labels of other programs as a label TIFF, and what they say of "
        "objects (class, parent, ...) as a table beside it.",
    )
    parser.set_defaults(run=run_import)
    parser.add_argument("source", type=Path, metavar="SOURCE", help="file or folder")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="TIFF", help="labels to write"
    )
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=IMPORTS,
        help="format (default: by name and content)",
    )
    parser.add_argument(
        "--like",
        type=Path,
        metavar="IMAGE",
        help="the image, for the size and voxel size that a format does not hold",
    )
    parser.add_argument("--axes", help="letters of the axes, such as TYX")


def run_export(arguments: argparse.Namespace) -> int:
    """Carry out ``export``; returns the exit code."""
    from napari_cellprompt.tasks.exporting import run_export as run

    run(filled(ExportRequest, arguments), printed_report(arguments.json))
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Carry out ``import``; returns the exit code."""
    from napari_cellprompt.tasks.exporting import run_import as run

    run(filled(ImportRequest, arguments), printed_report(arguments.json))
    return 0
