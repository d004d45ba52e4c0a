"""How well and how fast objects are followed through stacks, as the plugin does it.

``CELLPROMPT_DATA=... python benchmarks/propagation.py [--model M] [--limit N] [--economy]``

Every object starts on the plane where it is largest, from its true box and, apart, from
its true mask, and is followed both ways with the stop criteria on; all objects of a
stack run together. The score is the mean IoU over all other planes of the object; a
mask on a plane beyond the object's true ends counts as 0 (such planes are added, so
that going on too long costs as much as stopping too soon). Beside it stands what a
copy of the true first mask on all its planes would reach: it is told where the object
ends, so that the mean over the planes where the object is stands there too. Prints a
table, writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import torch
from scipy import ndimage, stats

from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.images.cache import FeatureCache
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.predictors.propagation import StackPropagator
from napari_cellprompt.core.predictors.propagation_types import PropagationSettings
from napari_cellprompt.core.types import CroppedMask, Prompts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.zoo.load import LoadedModel

STACKS = (
    "chloroplast_sbfsem_left",
    "mouse_embryo_16cell",
    "arabidopsis_ovule_1135",
    "yeast_phase_left",
    "ecoli_trpL_registered",
    "ecoli_trpL_drift",
    "stardist_img3d",
)
SMALLEST = 9
"""Objects that are nowhere larger (pixels) are left out."""

ECONOMY: dict[str, dict[str, Any]] = {
    "7 memories": {},
    "4 memories": {"max_memories": 4},
    "2 memories": {"max_memories": 2},
    "1 memory": {"max_memories": 1},
    "7, older ones pooled": {"pool_older": True},
    "4, stride 2": {"max_memories": 4, "stride": 2},
    "neighbour": {"method": "neighbour"},
}


@dataclass(frozen=True, slots=True)
class Truth:
    """One object."""

    id: int
    areas: NDArray[np.intp]
    start: int
    box: tuple[slice, ...]


def objects_of(labels: NDArray[Any], limit: int | None) -> list[Truth]:
    """The objects of a stack, or so many of them spread over its ids."""
    found = []
    for position, place in enumerate(ndimage.find_objects(labels)):
        if place is None:
            continue
        areas = np.zeros(len(labels), np.intp)
        areas[place[0]] = (labels[place] == position + 1).sum((1, 2))
        if areas.max() >= SMALLEST and (areas > 0).sum() > 1:
            found.append(Truth(position + 1, areas, int(areas.argmax()), place))
    if limit is not None and len(found) > limit:
        found = [
            found[i] for i in np.linspace(0, len(found) - 1, limit).round().astype(int)
        ]
    return found


def iou(mask: CroppedMask | None, truth: NDArray[np.bool_]) -> float:
    """Intersection over union with a mask of the whole plane."""
    if mask is None:
        return 0.0
    y0, x0 = mask.origin
    height, width = mask.data.shape
    both = int((mask.data & truth[y0 : y0 + height, x0 : x0 + width]).sum())
    return both / max(mask.area + int(truth.sum()) - both, 1)


def copied(labels: NDArray[Any], item: Truth) -> list[float]:
    """IoU of the object's first mask with each of its other planes."""
    first = labels[item.start] == item.id
    scores = []
    for plane in np.flatnonzero(item.areas):
        if plane != item.start:
            other = labels[plane] == item.id
            scores.append(float((first & other).sum() / (first | other).sum()))
    return scores


def prompt_of(labels: NDArray[Any], item: Truth, kind: str) -> Prompts:
    """The true box or mask on the plane where the object is largest."""
    mask = labels[item.start] == item.id
    if kind == "mask":
        return Prompts(mask=encode(mask))
    rows, columns = np.nonzero(mask)
    return Prompts(
        box=(
            float(columns.min()),
            float(rows.min()),
            float(columns.max() + 1),
            float(rows.max() + 1),
        )
    )


def measure(
    model: LoadedModel,
    image: NDArray[Any],
    labels: NDArray[Any],
    axes: str,
    items: list[Truth],
    kind: str,
    settings: PropagationSettings,
) -> dict[str, Any]:
    """Follow the objects and score every plane."""
    segmenter = PlaneSegmenter(model, cache=FeatureCache(1 << 30))
    engine = StackPropagator(
        segmenter, ImageStack(image, axes=axes, limits="auto"), settings
    )
    for plane in sorted({item.start for item in items}):
        group = [item for item in items if item.start == plane]
        engine.prompt_many(
            plane, {item.id: prompt_of(labels, item, kind) for item in group}
        )
    started = time.perf_counter()
    for _ in engine.propagate() if engine.ids else ():
        pass
    seconds = time.perf_counter() - started
    scores: list[float] = []
    inside: list[float] = []
    first: list[float] = []
    beyond = missed = 0
    trust: list[tuple[float, float]] = []
    outcomes = engine.outcomes()
    for item in items:
        known = item.id in engine.ids
        rank = {c.plane: c.confidence for c in engine.confidence(item.id)} if known else {}
        for plane, area in enumerate(item.areas):
            outcome = outcomes.get((item.id, plane)) if known else None
            mask = None if outcome is None else outcome.mask
            if plane == item.start:
                first.append(iou(mask, labels[plane] == item.id))
                continue
            if not area and mask is None:
                continue
            score = iou(mask, labels[plane] == item.id)
            scores.append(score)
            if area:
                inside.append(score)
            beyond += not area
            missed += mask is None
            if mask is not None:
                trust.append((rank[plane], score))
    rho = (
        float(stats.spearmanr(*zip(*trust, strict=True)).statistic)
        if len(trust) > 2
        else float("nan")
    )
    return {
        "iou": float(np.mean(scores)),
        "iou_where_it_is": float(np.mean(inside)),
        "first": float(np.mean(first)),
        "planes": len(scores),
        "beyond": beyond,
        "missed": missed,
        "confidence_rank_correlation": rho,
        "seconds_per_plane": seconds / max(engine.tracked, 1),
    }


def load(root: Path, name: str) -> tuple[NDArray[Any], NDArray[Any], str]:
    """Image, labels and axes of one stack."""
    entries = {e["name"]: e for e in json.loads((root / "manifest.json").read_text())}
    entry = entries[name]
    return (
        tifffile.imread(root / entry["img"]),
        tifffile.imread(root / entry["lab"]),
        entry["axes"],
    )


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cellprompt-nano", help="name or checkpoint")
    parser.add_argument("--stacks", nargs="+", default=list(STACKS), choices=STACKS)
    parser.add_argument("--kinds", nargs="+", default=["box", "mask"])
    parser.add_argument("--limit", type=int, help="at most so many objects of a stack")
    parser.add_argument("--geometry", default="auto", choices=("auto", "roi", "field"))
    parser.add_argument("--method", default="memory", choices=("memory", "neighbour"))
    parser.add_argument("--carry", choices=("on", "off"), help="default: as the model says")
    parser.add_argument("--no-stop", action="store_true", help="without stop criteria")
    parser.add_argument("--economy", action="store_true", help="all economy settings")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    model = load_model(options.model)
    if options.carry is not None and model.spec.drawing is not None:
        drawing = replace(model.spec.drawing, carry=options.carry == "on")
        model = replace(model, spec=replace(model.spec, drawing=drawing))
    settings = PropagationSettings(geometry=options.geometry, method=options.method)
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
        image, labels, axes = load(root, name)
        items = objects_of(labels, options.limit)
        copy = float(np.mean([score for item in items for score in copied(labels, item)]))
        for kind in options.kinds:
            for label, economy in variants.items():
                economy = dict(economy)
                method = economy.pop("method", options.method)
                chosen = replace(
                    settings, method=method, track=replace(settings.track, **economy)
                )
                found = measure(model, image, labels, axes, items, kind, chosen)
                usage = resource.getrusage(resource.RUSAGE_SELF)
                peak = usage.ru_maxrss / 1024
                row = {
                    "stack": name,
                    "start": kind,
                    "setting": label,
                    "objects": len(items),
                    "copy": copy,
                    **found,
                    "peak_rss_mb": peak,
                }
                rows.append(row)
                print(
                    f"{name:24} {kind:5} {label:21} {len(items):7} {found['planes']:6} "
                    f"{found['iou']:5.3f} {found['iou_where_it_is']:5.3f} "
                    f"{copy:5.3f} {found['first']:5.3f} "
                    f"{found['beyond']:6} {found['missed']:6} "
                    f"{found['confidence_rank_correlation']:5.2f} "
                    f"{found['seconds_per_plane']:8.3f}",
                    flush=True,
                )
    print(f"peak memory {rows[-1]['peak_rss_mb']:.0f} MB")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "propagation.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
