"""From which answers on a click is probably on nothing.

``CELLPROMPT_DATA=... python benchmarks/doubt.py [--model M] [--clicks N] [--limit N]``

Clicks in the middle of objects and far from all objects, on training images of every kind.
For each pair of limits it prints how many answers to clicks on nothing are doubted, and of
the answers to clicks on objects how many that are right (IoU of 0.5 and more) and how many
that are wrong: a question about a right answer is one too many. The defaults of
``DoubtSettings`` were taken from it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from data import Plane, load_planes
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL

PRESENCES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TRUSTS = (0.15, 0.25, 0.35, 0.4, 0.45, 0.5, 0.55)
RIGHT = 0.5
"""IoU from which an answer is right."""


def places(
    plane: Plane, count: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """Clicks as y, x and the id of the object there, 0 for nothing."""
    clicks = []
    for number in rng.permutation(plane.ids)[:count]:
        inside = np.pad(plane.labels == number, 1)
        depth = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        clicks.append((int(y), int(x), int(number)))
    # as far from all objects as half of one is wide, and not where labels are missing
    size = float(np.sqrt(np.median(plane.areas)))
    free = np.argwhere(ndimage.distance_transform_edt(plane.labels == 0) > max(size / 2, 5))
    for y, x in rng.permutation(free)[:count]:
        clicks.append((int(y), int(x), 0))
    return clicks


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--clicks", type=int, default=3, help="of each kind on an image")
    parser.add_argument("--limit", type=int, default=4, help="images of a set at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    segmenter = PlaneSegmenter(load_model(options.model))
    rng = np.random.default_rng(options.seed)
    sets: dict[str, list[Plane]] = {}
    for plane in load_planes(os.environ["CELLPROMPT_DATA"], "train"):
        sets.setdefault(plane.dataset, []).append(plane)
    rows = []
    for name, planes in sets.items():
        for number in rng.permutation(len(planes))[: options.limit]:
            plane = planes[number]
            source = PlaneSource.from_image(plane.image)
            for y, x, wanted in places(plane, options.clicks, rng):
                answer = segmenter.predict(source, Prompts(points=((x, y),), labels=(1,)))
                mask = answer.best.mask.to_plane()
                truth = plane.labels == wanted
                iou = (mask & truth).sum() / max((mask | truth).sum(), 1) if wanted else -1
                rows.append((float(iou), answer.object_score, answer.best.score))
        part = np.array(rows[-2 * options.clicks * options.limit :])
        real = part[:, 0] >= 0
        medians = [np.median(part[chosen, 1:], axis=0).round(2) for chosen in (real, ~real)]
        print(f"{name:28} median presence, IoU: {medians[0]} {medians[1]}", flush=True)
    iou, presence, score = np.array(rows).T
    kinds = {"nothing": iou < 0, "right": iou >= RIGHT, "wrong": (iou >= 0) & (iou < RIGHT)}
    print(", ".join(f"{int(chosen.sum())} {kind}" for kind, chosen in kinds.items()))
    print("presence  trust " + " ".join(f"{kind:>8}" for kind in kinds))
    for least in PRESENCES:
        for trust in TRUSTS:
            doubted = (presence < least) | (presence * score < trust)
            shares = " ".join(f"{doubted[chosen].mean():8.3f}" for chosen in kinds.values())
            print(f"{least:8.2f} {trust:6.2f} {shares}")


if __name__ == "__main__":
    main()
