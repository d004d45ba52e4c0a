"""How well and how fast objects are followed through stacks, as the plugin does it.

``CELLPROMPT_DATA=... python benchmarks/propagation.py [--model M] [--limit N] [--economy]``

What ``cellprompt evaluate`` says of stacks (``evaluation/stacks.py``), for the stacks
with one id an object through all planes, with the settings that this file varies. Prints
a table, writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import history
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.inference.following import TrackSettings
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.evaluation.data import find_sets, read_set
from napari_cellprompt.evaluation.stacks import STARTS, KnownStack, score_tracks, tracks_of

STACKS = (
    "chloroplast_sbfsem_left",
    "mouse_embryo_16cell",
    "arabidopsis_ovule_1135",
    "yeast_phase_left",
    "ecoli_trpL_registered",
    "ecoli_trpL_drift",
    "stardist_img3d",
)
ECONOMY: dict[str, dict[str, Any]] = {
    "7 memories": {},
    "4 memories": {"max_memories": 4},
    "2 memories": {"max_memories": 2},
    "1 memory": {"max_memories": 1},
    "7, older ones pooled": {"pool_older": True},
    "4, stride 2": {"max_memories": 4, "stride": 2},
    "neighbour": {"method": "neighbour"},
}


def load(root: Path, name: str) -> KnownStack:
    """Image and labels of one stack."""
    (entry,) = find_sets(root, {name})
    stack = read_set(entry).stack
    if stack is None:
        raise ValueError(f"{name} is no stack.")
    return stack


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--stacks", nargs="+", default=list(STACKS), choices=STACKS)
    parser.add_argument("--kinds", nargs="+", default=list(STARTS), choices=STARTS)
    parser.add_argument("--limit", type=int, help="at most so many objects of a stack")
    parser.add_argument("--geometry", default="auto", choices=("auto", "roi", "field"))
    methods = ("auto", "memory", "neighbour")
    parser.add_argument("--method", default="auto", choices=methods)
    parser.add_argument("--carry", choices=("on", "off"), help="default: as the model says")
    parser.add_argument("--no-stop", action="store_true", help="without stop criteria")
    parser.add_argument("--economy", action="store_true", help="all economy settings")
    parser.add_argument("--record", action="store_true", help="into benchmarks/history")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    model = load_model(options.model)
    carry = None if options.carry is None else options.carry == "on"
    settings = PropagationSettings(
        geometry=options.geometry,
        method=options.method,
        track=TrackSettings(carry=carry),
    )
    if options.no_stop:
        settings = replace(
            settings,
            stop_object_score=0.0,
            stop_area_ratio=0.0,
            stop_overlap=0.0,
            stop_contrast=0.0,
        )
    variants = ECONOMY if options.economy else {options.method: {}}
    root = Path(os.environ["CELLPROMPT_DATA"])
    rows: list[dict[str, Any]] = []
    print(
        f"{'stack':24} {'start':5} {'setting':21} objects planes   IoU where  copy first "
        "beyond missed  rank  s/plane"
    )
    for name in options.stacks:
        known = load(root, name)
        tracks = tracks_of(known, options.limit)
        for kind in options.kinds:
            for label, economy in variants.items():
                economy = dict(economy)
                method = economy.pop("method", options.method)
                chosen = replace(
                    settings, method=method, track=replace(settings.track, **economy)
                )
                segmenter = PlaneSegmenter(model, cache=FeatureCache(1 << 30))
                found = score_tracks(segmenter, known, tracks, kind, chosen)
                usage = resource.getrusage(resource.RUSAGE_SELF)
                rows.append(
                    {
                        "stack": name,
                        "setting": label,
                        **asdict(found),
                        "peak_rss_mb": usage.ru_maxrss / 1024,
                    }
                )
                rank = found.confidence_rank_correlation
                print(
                    f"{name:24} {kind:5} {label:21} {found.objects:7} {found.planes:6} "
                    f"{found.iou:5.3f} {found.iou_where_it_is:5.3f} "
                    f"{found.copied:5.3f} {found.first:5.3f} "
                    f"{found.beyond:6} {found.missed:6} "
                    f"{float('nan') if rank is None else rank:5.2f} "
                    f"{found.seconds_per_plane:8.3f}",
                    flush=True,
                )
    print(f"peak memory {rows[-1]['peak_rss_mb']:.0f} MB")
    if options.record:
        shown = [
            {
                "stack": row["stack"],
                "start": row["start"],
                "setting": row["setting"],
                "propagated": round(row["iou"], 3),
                "where_it_is": round(row["iou_where_it_is"], 3),
                "copied": round(row["copied"], 3),
                "s_per_plane": round(row["seconds_per_plane"], 3),
            }
            for row in rows
        ]
        print(
            history.record("propagation", shown, limit=options.limit, model=options.model)
        )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "propagation.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
