"""Writes the averaged weights of a run as the file that the package ships.

``python training/export.py training/runs/nano`` writes
``src/napari_cellprompt/core/zoo/weights/cellprompt-nano.safetensors``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from napari_cellprompt.core.zoo.load import load_model, save_checkpoint
from napari_cellprompt.core.zoo.registry import DrawingSpec, ModelSpec

__all__ = ["export"]


def export(run: Path, target: Path) -> Path:
    """Export a run in half precision and check that the package can load the file.

    Parameters
    ----------
    run
        The folder that ``train.py`` wrote.
    target
        The file to write.
    """
    saved = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    config = json.loads(saved["config"])
    spec = ModelSpec(
        name=config["name"],
        family="sam2",
        network=config["network"],
        image_size=config["image_size"],
        drawing=DrawingSpec(config["drawing"]["amplitude"], config["drawing"]["sigma"]),
    )
    training = {"steps": saved["step"], "minutes": round(saved["elapsed"] / 60, 1)}
    written = save_checkpoint(target, saved["average"], spec, half=True, training=training)
    load_model(written)
    return written


def main() -> None:
    """Export from the command line."""
    package = Path(__file__).resolve().parents[1] / "src" / "napari_cellprompt"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument(
        "--to",
        type=Path,
        default=package / "core" / "zoo" / "weights" / "cellprompt-nano.safetensors",
        help="the file to write",
    )
    options = parser.parse_args()
    written = export(options.run, options.to)
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
