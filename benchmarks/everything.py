"""How well and how fast a model finds all objects without prompts.

``CELLPROMPT_DATA=... python benchmarks/everything.py [--model M] [--limit N]``

Both modes label the same images, planes of the validation part, which no weights were
trained on. AP is TP / (TP + FP + FN) at an IoU of 0.5, and its
mean over 0.50, 0.55, ..., 0.95. Features are computed anew for each mode. Prints a table,
writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

import history
from data import load_raw
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.everything.finding import EverythingSettings
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.searching import GridSettings, SearchSettings
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.training.planes import Plane
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.evaluation.everything import PlaneScore, find_all
from napari_cellprompt.evaluation.objects import KnownPlane
from quality import limits_of

NUCLEI = (
    "dsb_fluo_256x256",
    "dsb_fluo_256x320",
    "dsb_fluo_360x360",
    "dsb_fluo_512x640",
    "dsb_fluo_520x696",
    "dsb_stained_256x320",
    "dsb_brightfield_1024x1024",
)
SPLIT_OF = {
    **dict.fromkeys(NUCLEI, "val"),
    "maize_clsm": "val",
    "chloroplast_sbfsem_left": "val",
}


@dataclass(frozen=True, slots=True)
class Row(PlaneScore):
    """One image in one mode."""

    modality: str
    number: int
    """Of the image within its data set."""
    mode: str


def measure(
    segmenter: PlaneSegmenter,
    plane: Plane,
    source: PlaneSource,
    number: int,
    settings: EverythingSettings,
) -> Row:
    """Label one image and compare."""
    known = KnownPlane(plane.dataset, source, plane.labels)
    score = find_all(segmenter, known, settings)
    return Row(
        **asdict(score), modality=plane.modality, number=number, mode=settings.search.mode
    )


def table(rows: list[Row]) -> dict[str, dict[str, Any]]:
    """Means per data set, modality and mode."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.modality, row.mode].append(row)
        groups[f"{row.modality} / {row.dataset}", row.mode].append(row)
    return {
        f"{name} [{mode}]": {
            "images": len(members),
            **{
                field: round(float(np.mean([getattr(m, field) for m in members])), 3)
                for field in ("ap50", "ap", "seconds", "found", "true")
            },
        }
        for (name, mode), members in sorted(groups.items())
    }


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--modes", nargs="+", default=["auto", "grid"])
    parser.add_argument("--datasets", nargs="+", default=list(SPLIT_OF))
    parser.add_argument(
        "--part",
        choices=("val", "train"),
        help="default: the part that no weights were trained on; train is for tuning",
    )
    parser.add_argument("--limit", type=int, help="at most so many images of a data set")
    parser.add_argument("--threads", type=int, help="of torch; default its own choice")
    parser.add_argument(
        "--conf", type=float, default=GridSettings().conf_thres, help="of the grid"
    )
    parser.add_argument(
        "--stability",
        type=float,
        default=GridSettings().stability_score_thresh,
        help="of the grid",
    )
    parser.add_argument("--record", action="store_true", help="into benchmarks/history")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    if options.threads:
        torch.set_num_threads(options.threads)
    segmenter = PlaneSegmenter(load_model(options.model))
    grid = GridSettings(conf_thres=options.conf, stability_score_thresh=options.stability)
    rows: list[Row] = []
    root = Path(os.environ["CELLPROMPT_DATA"])
    wanted = {options.part or SPLIT_OF[name] for name in options.datasets}
    parts = {part: load_raw(root, part)[0] for part in wanted}
    for name in options.datasets:
        part = options.part or SPLIT_OF[name]
        planes = [p for p in parts[part] if p.dataset == name]
        limits = limits_of(planes, root)
        order = np.random.default_rng(0).permutation(len(planes))[: options.limit]
        for number in sorted(order.tolist()):
            for mode in options.modes:
                settings = EverythingSettings(
                    search=SearchSettings(mode=mode, grid=grid), filters=FilterSettings()
                )
                # an image of its own each time: no features are there already
                source = PlaneSource.from_image(
                    planes[number].image, limits[number], image_id=f"{name} {number} {mode}"
                )
                rows.append(measure(segmenter, planes[number], source, number, settings))
                print(rows[-1], file=sys.stderr, flush=True)
    means = table(rows)
    print(f"{'':52} images   AP50  mean AP  seconds   found    true")
    for name, row in means.items():
        print(
            f"{name:52} {row['images']:6} {row['ap50']:6.3f} {row['ap']:8.3f} "
            f"{row['seconds']:8.2f} {row['found']:7.1f} {row['true']:7.1f}"
        )
    if options.record:
        shown = [
            {
                "images": f"{name.removesuffix(' [auto]')}, {row['images']} images",
                "ap50": round(row["ap50"], 3),
                "seconds": round(row["seconds"], 2),
            }
            for name, row in means.items()
            if " / " not in name  # kinds of image, not each data set of them
        ]
        print(history.record("everything", shown, limit=options.limit, model=options.model))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "everything.json").write_text(
        json.dumps(
            {
                "model": str(options.model),
                "threads": torch.get_num_threads(),
                "grid": {"conf": options.conf, "stability": options.stability},
                "table": means,
                "rows": [asdict(row) for row in rows],
            }
        )
    )


if __name__ == "__main__":
    main()
