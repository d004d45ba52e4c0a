"""Writes the averaged weights of a run as the file that the package ships.

``python training/export.py training/runs/memory --after training/runs/nano`` writes
``src/napari_cellprompt/core/zoo/weights/cellprompt-nano.safetensors``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_cellprompt.core.zoo.load import load_model, save_checkpoint
from napari_cellprompt.core.zoo.registry import DrawingSpec, ModelSpec
from train import MEMORY_PARTS, mean_of_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["export"]

CHECKPOINT = "checkpoint.pt"


def export(
    runs: Sequence[Path],
    target: Path,
    *,
    carry: bool = False,
    after: Sequence[Path] = (),
    image_runs: Sequence[Path] = (),
    share: float = 0.25,
) -> Path:
    """Export a run in half precision and check that the package can load the file.

    Parameters
    ----------
    runs
        The folder that ``train.py`` or ``memory.py`` wrote; of several, the mean of their
        weights is taken.
    target
        The file to write.
    carry
        Whether tracking gives the neighbouring frame's logits as a mask prompt: what
        measured better (``benchmarks/propagation.py``).
    after
        Folders of the runs that these went on from; all steps and minutes are added up
        in the file's metadata.
    image_runs
        The runs of the image part. What ``memory.py`` did to prompt encoder and mask
        decoder is then taken back in part: it helps tracking and harms clicks.
    share
        Of the change that is kept, 0 to 1.
    """
    saved = _mean(runs)
    if image_runs:
        before = _mean(image_runs)["average"]
        for name, tensor in saved["average"].items():
            if not name.startswith(MEMORY_PARTS):
                tensor.lerp_(before[name], 1 - share)
    config = json.loads(saved["config"])
    drawing = config["drawing"]
    spec = ModelSpec(
        name=config["name"],
        family="sam2",
        network=config["network"],
        image_size=config["image_size"],
        drawing=DrawingSpec(drawing["amplitude"], drawing["sigma"], carry),
    )
    all_runs = [_load(folder) for folder in (*after, *runs)]
    training = {
        "steps": sum(one["step"] for one in all_runs),
        "minutes": round(sum(one["elapsed"] for one in all_runs) / 60, 1),
    }
    written = save_checkpoint(target, saved["average"], spec, half=True, training=training)
    load_model(written)
    return written


def _mean(runs: Sequence[Path]) -> dict[str, Any]:
    return mean_of_runs([run / CHECKPOINT for run in runs], torch.device("cpu"))


def _load(run: Path) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(
        run / CHECKPOINT, map_location="cpu", weights_only=True
    )
    return saved


def main() -> None:
    """Export from the command line."""
    package = Path(__file__).resolve().parents[1] / "src" / "napari_cellprompt"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "runs", type=Path, nargs="+", help="folder of the run; the mean of several"
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=package / "core" / "zoo" / "weights" / "cellprompt-nano.safetensors",
        help="the file to write",
    )
    parser.add_argument(
        "--carry",
        action="store_true",
        help="tracking gives the neighbouring frame's logits as a mask prompt",
    )
    parser.add_argument(
        "--after", type=Path, nargs="*", default=[], help="folders of the runs before"
    )
    parser.add_argument(
        "--image-runs",
        type=Path,
        nargs="+",
        default=[],
        help="take prompt encoder and decoder back towards their mean",
    )
    parser.add_argument(
        "--share", type=float, default=0.25, help="of the decoder's change that is kept"
    )
    options = parser.parse_args()
    written = export(
        options.runs,
        options.to,
        carry=options.carry,
        after=options.after,
        image_runs=options.image_runs,
        share=options.share,
    )
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
