"""How far a prompt reaches: IoU against the distance from the nearest prompted plane.

``CELLPROMPT_DATA=... python benchmarks/curves.py [--model M] [--limit N] [--plot FILE]``

Objects are followed from a true mask on the plane where they are largest. For each
distance in planes: mean IoU where the object is, the share of objects that were lost, and
the leak, pixels taken from other objects as a share of the object's own. One row each.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import history
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.masks.simulated import iou
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.evaluation.stacks import KnownStack, prompt_of, tracks_of
from napari_cellprompt.tasks.following import Seed, follow_objects, prompt_seeds
from propagation import STACKS, load


def curve(segmenter: PlaneSegmenter, known: KnownStack, limit: int) -> list[dict[str, Any]]:
    """One row for each distance from the prompted plane."""
    labels = known.labels
    tracks = tracks_of(known, limit)
    engine = StackPropagator(segmenter, known.stack)
    seeds = [
        Seed(track.id, track.start, prompt_of(labels[track.start] == track.id, "mask"))
        for track in tracks
    ]
    for _ in prompt_seeds(engine, seeds):
        pass
    follow_objects(engine)
    found: dict[int, list[tuple[float, bool, float]]] = defaultdict(list)
    for track in tracks:
        for plane in track.others:
            truth = labels[plane] == track.id
            outcome = engine.outcome(track.id, plane) if track.id in engine.ids else None
            mask = None if outcome is None else outcome.mask
            if mask is None:
                found[abs(plane - track.start)].append((0.0, True, 0.0))
                continue
            others = (labels[plane] > 0) & ~truth
            leak = float((mask.to_plane() & others).sum() / truth.sum())
            found[abs(plane - track.start)].append((iou(mask, truth), False, leak))
    rows = []
    for distance, values in sorted(found.items()):
        score, lost, leak = np.array(values, float).mean(axis=0)
        rows.append(
            {
                "stack": known.dataset,
                "distance": distance,
                "planes": len(values),
                "iou": round(float(score), 3),
                "lost": round(float(lost), 3),
                "leak": round(float(leak), 3),
            }
        )
    return rows


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """IoU and leak by distance, a line a stack."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4))
    for stack in dict.fromkeys(row["stack"] for row in rows):
        mine = [row for row in rows if row["stack"] == stack]
        for panel, name in zip(panels, ("iou", "leak"), strict=True):
            panel.plot([r["distance"] for r in mine], [r[name] for r in mine], label=stack)
            panel.set_xlabel("planes from the prompted one")
            panel.set_ylabel(name)
    panels[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--stacks", nargs="+", default=list(STACKS), choices=STACKS)
    parser.add_argument("--limit", type=int, default=8, help="objects of a stack")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    model = load_model(options.model)
    root = Path(os.environ["CELLPROMPT_DATA"])
    rows: list[dict[str, Any]] = []
    for name in options.stacks:
        segmenter = PlaneSegmenter(model, cache=FeatureCache(1 << 30))
        for row in curve(segmenter, load(root, name), options.limit):
            rows.append({"model": options.model, **row})
            print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    print(history.record("curves", rows, limit=options.limit))
    if options.plot is not None:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
