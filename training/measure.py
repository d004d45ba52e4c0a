"""Measures weights: ``python training/measure.py WEIGHTS --parts val test --limit 60``.

One object at a time and as simply as possible (``asking.py``); the figures of the package
itself come from ``benchmarks/``.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import torch
from safetensors import safe_open

from asking import Asker
from data import load_raw
from measuring import choose, choose_runs, measure, measure_runs, table
from napari_cellprompt.core.inference.precision import computes_bfloat16
from napari_cellprompt.core.networks.focus import FocusNet

__all__ = ["load"]

COLUMNS = (
    "objects",
    "click",
    "best zoom",
    "below half",
    "3 clicks",
    "5 clicks",
    "box",
    "loose box",
    "ellipse",
    "moved mask",
    "score error",
)
FOLLOWING = ("present", "copy", "all", "one", "found")


def load(path: Path) -> FocusNet:
    """The network in an exported file."""
    with safe_open(str(path), "pt") as file:
        config = json.loads(file.metadata()["config"])
        state = {name: file.get_tensor(name).float() for name in file.keys()}
    network = FocusNet(**config["network"])
    network.load_state_dict(state, strict=False)
    network.half_decoder = computes_bfloat16()
    return network.to(memory_format=torch.channels_last)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--parts", nargs="+", default=["val", "test"])
    parser.add_argument("--kinds", nargs="+", help="only these kinds of image")
    parser.add_argument("--limit", type=int, default=60, help="objects of each kind")
    parser.add_argument("--clicks", type=int, default=5)
    parser.add_argument("--runs", type=int, default=8, help="objects of each stack")
    parser.add_argument("--longest", type=int, default=12, help="planes of a run")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    asker = Asker(load(options.weights))
    for part in options.parts:
        planes, stacks = load_raw(os.environ["CELLPROMPT_DATA"], part)
        if options.kinds:
            planes = [plane for plane in planes if plane.modality in options.kinds]
        cases = choose(planes, options.limit) if options.limit else []
        if cases:
            print(part, table(measure(asker, cases, options.clicks), COLUMNS), sep="\n")
        if options.runs:
            runs = choose_runs(stacks, options.runs, options.longest)
            print(part, table(measure_runs(asker, runs), FOLLOWING), sep="\n", flush=True)


if __name__ == "__main__":
    main()
