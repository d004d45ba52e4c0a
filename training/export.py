"""Writes the averaged weights of a run as the file that the package ships.

``python training/export.py training/runs/one`` writes
``src/napari_cellprompt/core/zoo/weights/cellprompt-focus.safetensors``; of several states,
of one run or of runs that began with one another, it writes the mean.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from measure import load
from weights import export

__all__ = ["mean_of", "ship"]

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


def mean_of(states: list[Path], target: Path) -> Path:
    """Write the mean of weights; what is said of the training is the last one's.

    The states have to be of one run, or of runs that began with one another. Of the third
    run's, early ones followed objects better and late ones answered clicks better: the mean
    does both.
    """
    loaded = [load_file(path) for path in states]
    with safe_open(str(states[-1]), "pt") as file:
        config = json.loads(file.metadata()["config"])
    mean = {
        name: torch.stack([state[name].float() for state in loaded]).mean(dim=0)
        for name in loaded[-1]
    }
    training = {**config["training"], "states": len(states)}
    return export(
        mean,
        target,
        network=config["network"],
        size=config["image_size"],
        training=training,
    )


def main() -> None:
    """Export from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "weights", type=Path, nargs="+", help="files of weights, or a run's folder"
    )
    parser.add_argument(
        "--to",
        type=Path,
        default=PACKAGE / "core" / "zoo" / "weights" / "cellprompt-focus.safetensors",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights[0]
        if len(options.weights) > 1:
            weights = mean_of(options.weights, Path(folder) / "mean.safetensors")
        written = ship(weights, options.to)
    print(f"{written}: {written.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
