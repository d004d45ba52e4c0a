"""How well a few examples tell which cells are wanted.

``CELLPROMPT_DATA=... python benchmarks/fewshot.py [--limit N] [--sweep]``

Three cells of one image are shown; they are looked for in the other images of the set.
Beside it: everything mode, without examples, and as many of its candidates chosen at
random as the examples choose. On the simulated images only one of two kinds is wanted.
A pair counts from an IoU of 0.5. Prints a table, writes JSON. ``--sweep`` prints what
each threshold chooses on training images instead, from which the default one was taken.
Of dsb_fluo_256x320 there is one training image: it is shown, and none is left to look in.
The set scored 0 at every threshold, which pulled the means down and could not change the
choice; sets of one image are left out now, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from scipy import ndimage

from data import load_planes
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.everything.finding import EverythingSettings, label_plane
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.masks.matching import iou_matrix, pair_up
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.tasks.examples.applying import apply_to_plane, choose, label_chosen
from napari_cellprompt.tasks.examples.teaching import empty_bank, teach
from napari_cellprompt.tasks.requests import DEFAULT_THRESHOLD

SETS = (
    "dsb_fluo_256x256",
    "dsb_fluo_256x320",
    "dsb_fluo_360x360",
    "dsb_fluo_520x696",
    "dsb_stained_256x320",
)
SHOWN = 3
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 16))


def two_kinds(seed: int, side: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Smooth round nuclei, which are wanted, among oblong grainy ones of equal area.

    Image ``(side, side)`` uint8 and the labels of the wanted nuclei. Brightness tells
    nothing: both kinds have the same range of it.
    """
    rng = np.random.default_rng(seed)
    image = np.full((side, side), 0.1)
    labels = np.zeros((side, side), np.uint16)
    taken = np.zeros((side, side), bool)
    rows, columns = np.mgrid[:side, :side]
    number = 0
    for _ in range(400):
        if number >= 28:
            break
        y, x = rng.uniform(12, side - 12, 2)
        wanted = number % 2 == 0
        radius, ratio = rng.uniform(9, 13), rng.uniform(1.0, 1.15) if wanted else 2.2
        angle = rng.uniform(0, np.pi)
        u = np.cos(angle) * (columns - x) + np.sin(angle) * (rows - y)
        v = np.cos(angle) * (rows - y) - np.sin(angle) * (columns - x)
        inside = (u / ratio**0.5) ** 2 + (v * ratio**0.5) ** 2 < radius**2
        if (ndimage.binary_dilation(inside, iterations=2) & taken).any():
            continue
        number += 1
        taken |= inside
        grain = 0.0
        if not wanted:
            grain = 2 * ndimage.gaussian_filter(rng.normal(size=(side, side)), 1)
        image = np.where(inside, rng.uniform(0.4, 0.8) * (1 + 0.35 * grain), image)
        if wanted:
            labels[inside] = number
    image = ndimage.gaussian_filter(image, 0.8) + rng.normal(0, 0.03, image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), labels


def forget(segmenter: PlaneSegmenter) -> None:
    """Let no measurement profit from what one before it has computed."""
    cache = getattr(segmenter.model, "cache", None)
    if cache is not None:
        cache.clear()


def compare(labels: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, float]:
    """Number found, true and matched, and the sum of IoU of the matched."""
    iou, found, real = iou_matrix(labels, truth)
    pairs = pair_up(iou, 0.5)
    return len(found), len(real), len(pairs), float(sum(iou[r, c] for r, c in pairs))


def measure(
    segmenter: PlaneSegmenter,
    images: list[tuple[np.ndarray, np.ndarray]],
    threshold: float,
    seed: int,
) -> dict[str, dict[str, float]]:
    """Precision, recall and mean IoU of each way to choose, over all images but one."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    first = next(int(i) for i in order if len(np.unique(images[i][1])) > SHOWN)
    image, truth = images[first]
    ids = rng.choice(np.unique(truth)[1:], SHOWN, replace=False)
    bank = empty_bank(segmenter)
    plane = PlaneSource.from_image(image)
    teach(segmenter, plane, truth, bank, ids=[int(i) for i in ids])
    counts: dict[str, list[tuple[int, int, int, float]]] = {}
    seconds: dict[str, float] = {}
    for number, (image, truth) in enumerate(images):
        if number == first:
            continue
        plane = PlaneSource.from_image(image)
        forget(segmenter)
        started = time.perf_counter()
        scored = apply_to_plane(segmenter, plane, bank, filters=FilterSettings())
        chosen = choose(scored, threshold)
        labels = {"examples": label_chosen(chosen, plane.shape)}
        middle = time.perf_counter()
        forget(segmenter)
        labels["everything"], _ = label_plane(segmenter, plane, EverythingSettings())
        ended = time.perf_counter()
        seconds["examples"] = seconds.get("examples", 0.0) + middle - started
        seconds["everything"] = seconds.get("everything", 0.0) + ended - middle
        labels["all of that size"] = label_chosen(scored, plane.shape)
        picked = rng.permutation(len(scored))[: len(chosen)]
        labels["random"] = label_chosen([scored[i] for i in picked], plane.shape)
        for way, found in labels.items():
            counts.setdefault(way, []).append(compare(found, truth))
    table = {}
    for way, rows in counts.items():
        found, real, matched, total = (sum(column) for column in zip(*rows, strict=True))
        table[way] = {
            "precision": round(matched / max(found, 1), 3),
            "recall": round(matched / max(real, 1), 3),
            "iou": round(total / max(matched, 1), 3),
            "images": len(rows),
            "seconds": round(seconds.get(way, 0.0) / len(rows), 2),
        }
    return table


def images_of(
    name: str, part: str, options: argparse.Namespace
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of one set, one more than are measured."""
    everything = load_planes(os.environ["CELLPROMPT_DATA"], part)
    planes = [plane for plane in everything if plane.dataset == name]
    order = np.random.default_rng(options.seed).permutation(len(planes))
    return [(planes[i].image, planes[i].labels) for i in order[: options.limit + 1]]


def sweep(
    segmenter: PlaneSegmenter, images: list[tuple[np.ndarray, np.ndarray]], seed: int
) -> dict[float, list[int]]:
    """Objects found, true and matched at each threshold, over all images but one."""
    rng = np.random.default_rng(seed)
    first = next(n for n, (_, truth) in enumerate(images) if len(np.unique(truth)) > SHOWN)
    image, truth = images[first]
    ids = rng.choice(np.unique(truth)[1:], SHOWN, replace=False)
    bank = empty_bank(segmenter)
    plane = PlaneSource.from_image(image)
    teach(segmenter, plane, truth, bank, ids=[int(i) for i in ids])
    counts = {threshold: [0, 0, 0] for threshold in THRESHOLDS}
    for number, (image, truth) in enumerate(images):
        if number == first:
            continue
        plane = PlaneSource.from_image(image)
        forget(segmenter)
        scored = apply_to_plane(segmenter, plane, bank, filters=FilterSettings())
        for threshold, row in counts.items():
            labels = label_chosen(choose(scored, threshold), plane.shape)
            found, real, matched, _ = compare(labels, truth)
            row[:] = row[0] + found, row[1] + real, row[2] + matched
    return counts


def print_sweep(segmenter: PlaneSegmenter, options: argparse.Namespace) -> None:
    """Precision, recall and F2 (recall counts twice) by threshold, on training images."""
    rows: dict[float, list[tuple[float, float, float]]] = {t: [] for t in THRESHOLDS}
    for name in options.sets:
        if name == "two kinds":
            images = [two_kinds(100 + seed) for seed in range(options.limit + 1)]
        else:
            images = images_of(name, "train", options)
        if len(images) < 2:
            print(f"{name:22} left out: nothing to look in beside the image that is shown")
            continue
        counts = sweep(segmenter, images, options.seed)
        for threshold, (found, real, matched) in counts.items():
            # every set counts the same, however many cells its images have
            precision, recall = matched / max(found, 1), matched / max(real, 1)
            f2 = 5 * precision * recall / max(4 * precision + recall, 1e-9)
            rows[threshold].append((precision, recall, f2))
            print(f"{name:22} {threshold:5.2f} {precision:9.3f} {recall:7.3f} {f2:7.3f}")
    for threshold, scores in rows.items():
        if scores:
            means = " ".join(f"{value:7.3f}" for value in np.mean(scores, axis=0))
            print(f"{'all':22} {threshold:5.2f} {means}")


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--limit", type=int, default=8, help="images of a set at most")
    parser.add_argument("--threshold", type=float, default=DEFAULT_THRESHOLD)
    parser.add_argument("--sweep", action="store_true", help="all thresholds, train part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="+", default=[*SETS, "two kinds"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    segmenter = PlaneSegmenter(load_model(options.model))
    if options.sweep:
        print_sweep(segmenter, options)
        return
    results: dict[str, Any] = {}
    print(f"{'':22} {'':18} precision  recall     IoU  seconds")
    for name in options.sets:
        if name == "two kinds":
            images = [two_kinds(seed) for seed in range(options.limit + 1)]
        else:
            images = images_of(name, "val", options)
        results[name] = measure(segmenter, images, options.threshold, options.seed)
        for way, row in results[name].items():
            print(
                f"{name:22} {way:18} {row['precision']:9.3f} {row['recall']:7.3f} "
                f"{row['iou']:7.3f} {row['seconds']:8.2f}",
                flush=True,
            )
    options.out.mkdir(parents=True, exist_ok=True)
    about = {"model": options.model, "threshold": options.threshold, "seed": options.seed}
    (options.out / "fewshot.json").write_text(json.dumps({**about, "sets": results}))


if __name__ == "__main__":
    main()
