"""What is shown below the ``--help`` of each command, and on the page of the manual."""

from __future__ import annotations

import argparse

__all__ = ["EXAMPLES", "HelpFormatter", "add_examples"]

EXAMPLES: dict[str, tuple[str, ...]] = {
    "segment": (
        "cellprompt segment cells.tif --prompts clicks.json -o labels.tif",
        "cellprompt segment movie.tif --axes TYX --along t --prompts clicks.json -o l.tif",
    ),
    "propagate": (
        "cellprompt propagate stack.tif --prompts clicks.json -o labels.tif",
        "cellprompt propagate movie.tif --seeds first.tif --plane 0 --divisions -o l.tif",
    ),
    "everything": (
        "cellprompt everything cells.tif -o labels.tif",
        "cellprompt everything cells.tif --size 30 --min-area 50 --drop-border -o l.tif",
    ),
    "fewshot": (
        "cellprompt fewshot --examples one.tif three_cells.tif --apply folder -o labels",
    ),
    "fill": (
        "cellprompt fill every_fifth_plane.tif -o filled.tif",
        "cellprompt fill drawn.tif --image stack.tif -o filled.tif",
    ),
    "adapt": (
        "cellprompt adapt folder_with_truth -o my_cells.safetensors",
        "cellprompt adapt folder --partial --seconds 3600 --parts all -o mine.safetensors",
    ),
    "export": (
        "cellprompt export labels.tif --to ctc -o 01_RES",
        "cellprompt export labels.tif --image cells.tif --to csv -o measured.csv",
    ),
    "import": ("cellprompt import cells_seg.npy -o labels.tif",),
    "evaluate": ("cellprompt evaluate folder_with_truth",),
    "batch": (
        "cellprompt batch folder job.yaml -o labels --workers 4",
        "cellprompt batch list.txt job.yaml -o labels --scheduler tcp://host:8786",
        "cellprompt batch slide.zarr job.yaml -o slide_labels.zarr --block 2048",
    ),
    "replay": (
        "cellprompt replay cells.tif.cellprompt.json -o labels.tif",
        "cellprompt replay cells.tif.cellprompt.json --image moved.tif -o labels.tif",
    ),
    "session": ("cellprompt session show cells.tif.cellprompt.json",),
    "models": ("cellprompt models list", "cellprompt models download sam2.1_hiera_tiny"),
    "doctor": ("cellprompt doctor > report.txt",),
    "demo": ("cellprompt demo",),
    "completion": ("cellprompt completion bash > ~/.bash_completion.d/cellprompt",),
}


class HelpFormatter(argparse.HelpFormatter):
    """Leaves lines of examples as they are; wraps the rest."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)


def add_examples(parsers: dict[str, argparse.ArgumentParser]) -> None:
    """Show its examples below the help of each command."""
    for name, parser in parsers.items():
        lines = EXAMPLES.get(name, ())
        if lines:
            parser.formatter_class = HelpFormatter
            parser.epilog = "\n".join(["examples:", *(f"  {line}" for line in lines)])
