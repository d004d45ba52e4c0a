"""How well a model segments known objects, as the plugin would run it.

``CELLPROMPT_DATA=... python benchmarks/quality.py [--model M] [--limit N]``

What ``cellprompt evaluate`` measures, on the validation and test parts of
``training/splits.json``, one row for each kind of image. The validation part shows other
images than those that were trained on, the test part other kinds of image.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import history
from data import load_raw
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.cli.evaluate import format_table
from napari_cellprompt.cli.printing import printed_report
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.training.planes import Plane
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.evaluation.data import KnownSet
from napari_cellprompt.evaluation.measuring import measure_sets
from napari_cellprompt.evaluation.objects import KnownPlane
from napari_cellprompt.evaluation.table import ALL_OBJECTS, MEAN_OF_SETS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def limits_of(planes: list[Plane], root: Path) -> list[tuple[float, float]]:
    """Contrast of each plane, as headless prediction finds it: of a whole stack, or of
    each of unrelated images.
    """
    axes = {e["name"]: e["axes"] for e in json.loads((root / "manifest.json").read_text())}
    found: dict[str, tuple[float, float]] = {}
    limits = []
    for plane in planes:
        name = plane.dataset
        if axes[name].startswith("Q"):
            limits.append(_percentiles([plane.image]))
            continue
        if name not in found:
            found[name] = _percentiles([p.image for p in planes if p.dataset == name])
        limits.append(found[name])
    return limits


def _percentiles(images: list[NDArray[Any]]) -> tuple[float, float]:
    low, high = np.percentile(np.concatenate([i.ravel() for i in images]), (0.1, 99.9))
    return float(low), float(max(high, low + 1e-6))


def by_kind(planes: list[Plane], part: str, root: Path) -> list[KnownSet]:
    """The planes of each modality, under a name that says the part too."""
    kinds: dict[str, list[KnownPlane]] = {}
    limits = limits_of(planes, root)
    for number, (plane, pair) in enumerate(zip(planes, limits, strict=True)):
        name = f"{part}: {plane.modality}"
        source = PlaneSource.from_image(plane.image, pair, image_id=f"{part} {number}")
        kinds.setdefault(name, []).append(KnownPlane(name, source, plane.labels))
    return [KnownSet(members) for members in kinds.values()]


SHOWN = {
    "click": "click",
    "clicks5": "clicks5",
    "box": "box",
    "loose_box": "loose",
    "ellipse": "ellipse",
}
"""Columns of the page of figures, and the fields that they show."""


def shown_rows(table: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """For the history: what the page of figures shows, the mean of the sets at the end."""
    names = [name for name in table if name not in (ALL_OBJECTS, MEAN_OF_SETS)]
    rows = [(name, table[name]) for name in names]
    if MEAN_OF_SETS in table:
        rows.append(("mean", table[MEAN_OF_SETS]))
    return [
        {"images": name, **{shown: round(row[field], 3) for shown, field in SHOWN.items()}}
        for name, row in rows
    ]


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--parts", nargs="+", default=["val", "test"])
    parser.add_argument("--limit", type=int, help="at most so many objects of each kind")
    parser.add_argument("--kinds", nargs="+", help="only these kinds of image")
    parser.add_argument("--noc", action="store_true", help="count the clicks needed")
    parser.add_argument("--record", action="store_true", help="into benchmarks/history")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quality"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    segmenter = PlaneSegmenter(load_model(options.model))
    root = Path(os.environ["CELLPROMPT_DATA"])
    evaluation = measure_sets(
        segmenter,
        (
            kind
            for part in options.parts
            for kind in by_kind(load_raw(root, part)[0], part, root)
            if options.kinds is None
            or kind.planes[0].dataset.split(": ")[1] in options.kinds
        ),
        options.out,
        model=options.model,
        limit=options.limit,
        count_clicks=options.noc,
        report=printed_report(),
    )
    print(format_table(evaluation.table))
    print(f"{evaluation.seconds:.0f} s")
    if options.record:
        print(history.record("quality", shown_rows(evaluation.table), limit=options.limit))


if __name__ == "__main__":
    main()
