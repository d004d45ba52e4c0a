"""How many clicks an object takes: NoC at an IoU of 0.80, 0.85 and 0.90.

``CELLPROMPT_DATA=... python benchmarks/noc.py [--models M ...] [--limit N] [--plot FILE]``

Number of clicks as in interactive segmentation (Sofiiuk et al. 2021, arXiv:2102.06583): the
first click at the innermost pixel, each next one into the middle of the largest error; at
most 20, and an object that does not get there counts as 20 and as a failure. One row for
each kind of image and model; every model that is on the machine is measured.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import history
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.masks.simulated import correction, iou
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.user_models import models_here
from napari_cellprompt.evaluation.objects import Case, pick_cases
from quality import by_kind, load_raw

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVELS = (0.80, 0.85, 0.90)
CAP = 20


def clicks_needed(segmenter: Any, cases: Sequence[Case]) -> list[list[int]]:
    """For each object of a plane, clicks to each level; ``CAP + 1`` where that failed."""
    source = cases[0].plane.source
    masks = [case.truth for case in cases]
    needed = [[CAP + 1] * len(LEVELS) for _ in cases]
    asked = {row: case.first_click for row, case in enumerate(cases)}
    for count in range(1, CAP + 1):
        found = segmenter.predict_many(source, list(asked.values()))
        rows = list(asked)
        for row, answer in zip(rows, found, strict=True):
            reached = iou(answer.best.mask, masks[row])
            for place, level in enumerate(LEVELS):
                if reached >= level:
                    needed[row][place] = min(needed[row][place], count)
            if max(needed[row]) <= CAP:
                del asked[row]
                continue
            added = correction(answer.best.mask, masks[row])
            if added is not None:
                click, label = added
                old = asked[row]
                asked[row] = Prompts(
                    points=(*old.points, click), labels=(*old.labels, label)
                )
        if not asked:
            break
    return needed


def summary(needed: list[list[int]]) -> dict[str, float]:
    """Mean clicks and share of failures at each level."""
    counts = np.array(needed)
    row: dict[str, float] = {"objects": len(counts)}
    for place, level in enumerate(LEVELS):
        column = counts[:, place]
        row[f"noc{level * 100:.0f}"] = round(float(np.minimum(column, CAP).mean()), 2)
        row[f"failed{level * 100:.0f}"] = round(float((column > CAP).mean()), 3)
    return row


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Bars of the clicks to 0.85, by kind of image and model."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure, axes = pyplot.subplots(figsize=(8, 0.4 * len(kinds) + 1.5))
    for number, model in enumerate(models):
        values = {row["kind"]: row["noc85"] for row in rows if row["model"] == model}
        places = np.arange(len(kinds)) + (number - (len(models) - 1) / 2) * 0.8 / len(
            models
        )
        axes.barh(places, [values.get(k, 0) for k in kinds], 0.8 / len(models), label=model)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set_xlabel(f"clicks to an IoU of 0.85 (at most {CAP})")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", help="default: all on this machine")
    parser.add_argument("--parts", nargs="+", default=["val", "test"])
    parser.add_argument("--limit", type=int, default=20, help="objects of each kind")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    root = Path(os.environ["CELLPROMPT_DATA"])
    sets = [
        kind
        for part in options.parts
        for kind in by_kind(load_raw(root, part)[0], part, root)
    ]
    rows: list[dict[str, Any]] = []
    for model in options.models or models_here():
        segmenter = PlaneSegmenter(load_model(model))
        for known in sets:
            groups = pick_cases(known.planes, options.limit)
            needed = [item for cases in groups for item in clicks_needed(segmenter, cases)]
            if not needed:
                continue
            kind = known.planes[0].dataset
            rows.append({"model": model, "kind": kind, **summary(needed)})
            print(" ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    print(history.record("noc", rows, limit=options.limit))
    if options.plot is not None:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
