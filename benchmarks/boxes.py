"""How much it costs to draw a box carelessly.

``CELLPROMPT_DATA=... python benchmarks/boxes.py [--model M] [--limit N] [--part val]``

Objects are asked for by their true box, by boxes that are too large by a share of the
object on each side, and by boxes whose edges are each off at random. Prints the mean IoU
of each kind of image, writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from data import load_planes
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.simulated import iou
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.evaluation.objects import Case, KnownPlane, pick_cases

MARGINS = (0.0, 0.05, 0.1, 0.2)
SLIP = 0.05


def drawn(case: Case, margins: np.ndarray) -> Prompts:
    """The box of an object, its edges moved out by shares of its width and height."""
    x0, y0, x1, y1 = case.box
    sides = np.array((x1 - x0, y1 - y0, x1 - x0, y1 - y0))
    box = np.array(case.box) + np.array((-1, -1, 1, 1)) * margins * sides
    height, width = case.plane.labels.shape
    left, top, right, bottom = np.clip(box, 0, (width, height, width, height)).tolist()
    return Prompts(box=(left, top, right, bottom))


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--part", default="val", choices=("val", "test", "train"))
    parser.add_argument("--limit", type=int, help="at most so many objects of each kind")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    segmenter = PlaneSegmenter(load_model(options.model))
    kinds: dict[str, list[KnownPlane]] = defaultdict(list)
    planes = load_planes(os.environ["CELLPROMPT_DATA"], options.part)
    for number, plane in enumerate(planes):
        source = PlaneSource.from_image(plane.image, image_id=str(number))
        kinds[plane.modality].append(KnownPlane(plane.modality, source, plane.labels))
    rng = np.random.default_rng(0)
    names = [*(f"{margin:.0%} larger" for margin in MARGINS), f"off by {SLIP:.0%}"]
    print(f"{'':24}" + "".join(f"{name:>12}" for name in names))
    table: dict[str, dict[str, float]] = {}
    for kind, members in kinds.items():
        scores: dict[str, list[float]] = defaultdict(list)
        for cases in pick_cases(members, options.limit):
            margins = [np.full((len(cases), 4), margin) for margin in MARGINS]
            margins.append(rng.normal(0, SLIP, (len(cases), 4)))
            for name, each in zip(names, margins, strict=True):
                prompts = [drawn(*pair) for pair in zip(cases, each, strict=True)]
                found = segmenter.predict_many(cases[0].plane.source, prompts)
                scores[name] += [
                    iou(item.best.mask, case.truth)
                    for item, case in zip(found, cases, strict=True)
                ]
        table[kind] = {name: float(np.mean(values)) for name, values in scores.items()}
        print(f"{kind:24}" + "".join(f"{table[kind][name]:12.3f}" for name in names))
    means = {name: float(np.mean([row[name] for row in table.values()])) for name in names}
    print(f"{'mean of the above':24}" + "".join(f"{means[name]:12.3f}" for name in names))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "boxes.json").write_text(json.dumps(table | {"mean": means}, indent=1))


if __name__ == "__main__":
    main()
