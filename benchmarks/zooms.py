"""Which rule chooses the zoom of a click best: constants of ``CropSettings``.

``CELLPROMPT_DATA=... python benchmarks/zooms.py [--model M] [--limit N]``

Every training object (of the part ``train`` of ``training/splits.json``) is clicked once
and looked at at all zooms; the rule is then applied with many constants to what was seen.
The figures are means over kinds of image of the IoU at the chosen zoom, before the second
look, and what the best zoom would have given.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from data import load_raw
from napari_cellprompt import load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.crop.looking import Ask, Seen
from napari_cellprompt.core.inference.crop.model import CropModel
from napari_cellprompt.core.inference.crop.settings import CropSettings
from napari_cellprompt.core.inference.crop.zooms import agreements, zoom_scores
from napari_cellprompt.evaluation.objects import Case, KnownPlane, pick_cases
from quality import limits_of


def looked_at(model: CropModel, case: Case) -> tuple[list[Seen], list[float], list[float]]:
    """An object at all zooms, their agreements, and the true IoU of each answer."""
    plane = case.plane.source
    manner, prompts = model.manner(plane), case.first_click
    largest = model.settings.reach * max(plane.shape)
    sides = [side for side in model.settings.zooms if side < largest]
    crops = [manner.at(prompts.points[0], side) for side in sides]
    drawn = {"points": prompts.points, "labels": prompts.labels}
    answers = model.looker.look(plane, [Ask(crop, drawn) for crop in crops])
    truth, true = case.truth, []
    for seen in answers:
        logits, (y0, x0) = seen.window(plane.shape)
        mask = logits > 0
        both = (mask & truth[y0 : y0 + mask.shape[0], x0 : x0 + mask.shape[1]]).sum()
        true.append(float(both / max(mask.sum() + truth.sum() - both, 1)))
    return answers, agreements(answers), true


def main() -> None:
    """Compare rules from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cellprompt-focus", help="name or checkpoint")
    parser.add_argument("--part", default="train")
    parser.add_argument("--limit", type=int, default=24, help="objects of each kind")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    model = CropModel(load_model(options.model))
    root = Path(os.environ["CELLPROMPT_DATA"])
    planes = load_raw(root, options.part)[0]
    kinds: dict[str, list[KnownPlane]] = {}
    for plane, pair in zip(planes, limits_of(planes, root), strict=True):
        source = PlaneSource.from_image(plane.image, pair, image_id=str(id(plane)))
        members = kinds.setdefault(plane.modality, [])
        members.append(KnownPlane(plane.modality, source, plane.labels))
    seen = {
        name: [
            looked_at(model, case)
            for group in pick_cases(members, options.limit)
            for case in group
        ]
        for name, members in kinds.items()
    }

    def chosen(answers: list[Seen], agree: list[float], settings: CropSettings) -> int:
        return int(np.argmax(zoom_scores(answers, agree, settings)))

    def mean(settings: CropSettings) -> float:
        means = [
            np.mean(
                [true[chosen(answers, agree, settings)] for answers, agree, true in group]
            )
            for group in seen.values()
        ]
        return float(np.mean(means))

    best = np.mean(
        [np.mean([max(true) for _, _, true in group]) for group in seen.values()]
    )
    print(f"best zoom {best:.4f}, as it is {mean(model.settings):.4f}")
    grid = product((0.1, 0.3, 0.5), (0.08, 0.14, 0.2), (0.6, 0.72, 0.8), (0.0, 0.3, 0.6))
    rows = []
    for floor, least, most, disagreed in grid:
        settings = replace(
            model.settings,
            floor=floor,
            least_extent=least,
            most_extent=most,
            disagreed=disagreed,
        )
        rows.append((mean(settings), floor, least, most, disagreed))
    print("mean IoU, floor, least_extent, most_extent, disagreed")
    for row in sorted(rows, reverse=True)[:12]:
        print(" ".join(f"{value:.4g}" for value in row))


if __name__ == "__main__":
    main()
