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
from train import MEMORY_PARTS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["export"]


def export(
    run: Path,
    target: Path,
    *,
    carry: bool = False,
    after: Sequence[Path] = (),
    image_run: Path | None = None,
    share: float = 0.25,
) -> Path:
    """Export a run in half precision and check that the package can load the file.

    Parameters
    ----------
    run
        The folder that ``train.py`` or ``memory.py`` wrote.
    target
        The file to write.
    carry
        Whether tracking gives the neighbouring frame's logits as a mask prompt: what
        measured better (``benchmarks/propagation.py``).
    after
        Folders of the runs that this one went on from; their steps and minutes are
        added up in the file's metadata.
    image_run
        The run of the image part. What ``memory.py`` did to prompt encoder and mask
        decoder is then taken back in part: it helps tracking and harms clicks.
    share
        Of the change that is kept, 0 to 1.
    """
    saved = _load(run)
    if image_run is not None:
        before = _load(image_run)["average"]
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
    runs = [*(_load(folder) for folder in after), saved]
    training = {
        "steps": sum(one["step"] for one in runs),
        "minutes": round(sum(one["elapsed"] for one in runs) / 60, 1),
    }
    written = save_checkpoint(target, saved["average"], spec, half=True, training=training)
    load_model(written)
    return written


def _load(run: Path) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(
        run / "checkpoint.pt", map_location="cpu", weights_only=True
    )
    return saved


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
    parser.add_argument(
        "--carry",
        action="store_true",
        help="tracking gives the neighbouring frame's logits as a mask prompt",
    )
    parser.add_argument(
        "--after", type=Path, nargs="*", default=[], help="folders of the runs before"
    )
    parser.add_argument(
        "--image-run", type=Path, help="take prompt encoder and decoder back towards it"
    )
    parser.add_argument(
        "--share", type=float, default=0.25, help="of the decoder's change that is kept"
    )
    options = parser.parse_args()
    written = export(
        options.run,
        options.to,
        carry=options.carry,
        after=options.after,
        image_run=options.image_run,
        share=options.share,
    )
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
