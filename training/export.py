"""Writes the averaged weights of a run as the file that the package ships.

``python training/export.py training/runs/one`` writes
``src/napari_cellprompt/core/zoo/weights/cellprompt-focus.safetensors``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch

from measure import load

__all__ = ["ship"]

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "napari_cellprompt"
LARGEST = 8_000_000
"""Bytes that were promised."""


def ship(weights: Path, target: Path) -> Path:
    """Copy exported weights to where the package takes them from, if they are sound.

    Parameters
    ----------
    weights
        A file that ``train.py`` exported, or the folder of a run for its last one.
    target
        The file to write.

    Raises
    ------
    ValueError
        When a weight is not finite or the file is too large.
    """
    if weights.is_dir():
        weights = weights / "cellprompt-focus.safetensors"
    network = load(weights)
    for name, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} in {weights} is not finite")
    if weights.stat().st_size > LARGEST:
        raise ValueError(f"{weights} is larger than {LARGEST} bytes")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    shutil.copyfile(weights, temporary)
    temporary.replace(target)
    return target


def main() -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="a file of weights or a run's folder")
    parser.add_argument(
        "--to",
        type=Path,
        default=PACKAGE / "core" / "zoo" / "weights" / "cellprompt-focus.safetensors",
    )
    options = parser.parse_args()
    written = ship(options.weights, options.to)
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
