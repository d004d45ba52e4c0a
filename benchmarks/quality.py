"""How well a model segments known objects, as the plugin would run it.

``CELLPROMPT_DATA=... python benchmarks/quality.py [--model M] [--limit N]``

What ``cellprompt evaluate`` measures, on the validation and test parts of
``training/splits.json``, one row for each kind of image. The validation part shows other
images than those that were trained on, the test part other kinds of image.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from data import Plane, load_planes
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.cli.evaluate import format_table
from napari_cellprompt.cli.printing import printed_report
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.evaluation.data import KnownSet
from napari_cellprompt.evaluation.measuring import measure_sets
from napari_cellprompt.evaluation.objects import KnownPlane


def by_kind(planes: list[Plane], part: str) -> list[KnownSet]:
    """The planes of each modality, under a name that says the part too."""
    kinds: dict[str, list[KnownPlane]] = {}
    for number, plane in enumerate(planes):
        name = f"{part}: {plane.modality}"
        source = PlaneSource.from_image(plane.image, image_id=f"{part} {number}")
        kinds.setdefault(name, []).append(KnownPlane(name, source, plane.labels))
    return [KnownSet(members) for members in kinds.values()]


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cellprompt-nano", help="name or checkpoint")
    parser.add_argument("--parts", nargs="+", default=["val", "test"])
    parser.add_argument("--limit", type=int, help="at most so many objects of each kind")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quality"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    segmenter = PlaneSegmenter(load_model(options.model))
    root = os.environ["CELLPROMPT_DATA"]
    evaluation = measure_sets(
        segmenter,
        (kind for part in options.parts for kind in by_kind(load_planes(root, part), part)),
        options.out,
        model=options.model,
        limit=options.limit,
        report=printed_report(),
    )
    print(format_table(evaluation.table))
    print(f"{evaluation.seconds:.0f} s")


if __name__ == "__main__":
    main()
