"""Our predictors beside Meta's ``sam2`` package on the same weights, in one run.

``python benchmarks/speed.py [--runs N] [--threads N]``; needs the extra ``parity``, but
for ``--widget-only``, which times clicks and boxes of both bundled models alone.

Both sides run in turn, so that a machine whose speed drifts slows both: the ratios hold
where the seconds do not. SAM 2.1 tiny has random weights; the bundled model its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "parity"))

from napari_cellprompt import PlaneSegmenter, SAM2Predictor, load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.networks.sam.sam2 import FrameMemory
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.registry import MODELS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def in_turn(runs: int, *functions: Callable[[], object]) -> list[float]:
    """Median seconds of each function over interleaved runs, after one warm-up."""
    times: list[list[float]] = [[] for _ in functions]
    for run in range(runs + 1):
        for number, function in enumerate(functions):
            started = time.perf_counter()
            function()
            if run:
                times[number].append(time.perf_counter() - started)
    return [statistics.median(values) for values in times]


def compare(
    name: str, ours: SAM2Predictor, theirs: Any, runs: int, rows: dict[str, Any]
) -> None:
    """Time encoding and one click of both sides on the same image."""
    image = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), dtype=np.uint8)
    point, label = np.array([[500.0, 400.0]]), np.array([1])

    def our_click() -> None:
        ours(points=point)

    def their_click() -> None:
        theirs.predict(point, label, multimask_output=False)

    steps: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "set image": (lambda: ours.set_image(image), lambda: theirs.set_image(image)),
        "one click": (our_click, their_click),
    }
    for step, pair in steps.items():
        mine, reference = in_turn(runs, *pair)
        rows[f"{name}, {step}"] = {
            "ours": mine,
            "sam2": reference,
            "ratio": mine / reference,
        }


def plugin_clicks(name: str, runs: int, rows: dict[str, Any]) -> None:
    """Time what the widget asks for, with one model."""
    started = time.perf_counter()
    model = load_model(name)
    rows[f"{name}: loading"] = {"ours": time.perf_counter() - started}
    image = cells(1024)
    x, y = 480.0, 416.0
    click = Prompts(points=((x, y),), labels=(1,))
    more = Prompts(points=((x, y), (x + 9, y)), labels=(1, 1))
    boxes = [
        Prompts(
            box=(32.0 + 64 * column, 32.0 + 64 * row, 64.0 + 64 * column, 64.0 + 64 * row)
        )
        for row in range(10)
        for column in range(10)
    ]

    def cold() -> None:
        PlaneSegmenter(model).predict(PlaneSource.from_image(image), click)

    warm = PlaneSegmenter(model)
    plane = PlaneSource.from_image(image)
    steps: dict[str, Callable[[], object]] = {
        "first click on 1024 x 1024": cold,
        "another first click": lambda: warm.predict(plane, click),
        "first click, size known": lambda: warm.predict(plane, click, size_hint=40),
        "corrective click": lambda: warm.predict(plane, more),
        "box": lambda: warm.predict(plane, boxes[44]),
        "100 boxes": lambda: warm.predict_many(plane, boxes),
    }
    for step, run in steps.items():
        [seconds] = in_turn(runs, run)
        rows[f"{name}: {step}"] = {"ours": seconds}


def cells(side: int) -> NDArray[np.uint8]:
    """Bright disks of 32 pixels, 64 apart, on noise."""
    rng = np.random.default_rng(0)
    ticks = (np.arange(side) - 16) % 64 - 32
    away = np.abs(ticks)[:, None] ** 2 + np.abs(ticks)[None] ** 2
    image = rng.normal(60, 10, (side, side)) + 90 * (away < 16**2)
    pixels: NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return pixels


@torch.no_grad()
def edgetam_beside_tiny(runs: int, rows: dict[str, Any]) -> None:
    """Time what tracking does on a frame, of two of our own networks."""
    names = ("edgetam", "sam2.1_hiera_tiny")
    networks = [
        build_sam2(image_size=1024, **dict(MODELS[name].network)).eval() for name in names
    ]
    frame = torch.randn(1, 3, 1024, 1024)
    seconds = in_turn(
        runs,
        *(lambda network=network: network.frame_features(frame) for network in networks),
    )
    rows["EdgeTAM beside SAM 2.1 tiny, encoding a frame"] = _beside(seconds)
    steps: list[Callable[[], object]] = []
    for network in networks:
        features = network.frame_features(frame)
        memory, place = network.encode_memory(
            features.embed, torch.randn(1, 1, 1024, 1024), torch.ones(1, 1), binarize=False
        )
        memories = [FrameMemory(memory, place, distance) for distance in range(7)]
        steps.append(
            lambda network=network, features=features, memories=memories: network.condition(
                features, memories, [], max_distance=1, count=1
            )
        )
    rows["EdgeTAM beside SAM 2.1 tiny, seven memories"] = _beside(in_turn(runs, *steps))


def _beside(seconds: list[float]) -> dict[str, float]:
    ours, other = seconds
    return {"ours": ours, "other": other, "ratio": ours / other}


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--models", nargs="+", default=["cellprompt-focus", "cellprompt-nano"]
    )
    parser.add_argument(
        "--widget-only", action="store_true", help="leave out what needs the extra parity"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: dict[str, Any] = {}
    for name in options.models:
        plugin_clicks(name, options.runs, rows)
    if not options.widget_only:
        beside_reference(options.runs, rows)
    print(
        f"{torch.get_num_threads()} threads, medians of {options.runs} interleaved runs\n"
    )
    for name, row in rows.items():
        beside = "".join(
            f"   {side} {row[side]:7.3f} s   ratio {row['ratio']:.2f}"
            for side in ("sam2", "other")
            if side in row
        )
        print(f"{name:52} {row['ours']:7.3f} s{beside}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "speed.json").write_text(json.dumps(rows, indent=1))


def beside_reference(runs: int, rows: dict[str, Any]) -> None:
    """Time our networks beside the reference package's, and beside each other."""
    from reference import build_reference, random_reference, reference_predictor, save_meta

    edgetam_beside_tiny(runs, rows)
    with tempfile.TemporaryDirectory() as folder:
        tiny = random_reference("sam2.1_hiera_tiny", image_size=1024)
        path = save_meta(tiny, Path(folder) / "tiny.pt")
        ours = SAM2Predictor(overrides={"model": path, "device": "cpu"})
        compare("SAM 2.1 tiny 1024", ours, reference_predictor(tiny), runs, rows)
        nano = load_model("cellprompt-nano", device="cpu")
        path = save_meta(nano.network, Path(folder) / "nano.pt")
        theirs = build_reference("cellprompt-nano", image_size=512, checkpoint=path)
        ours = SAM2Predictor(overrides={"device": "cpu"})
        compare("cellprompt-nano 512", ours, reference_predictor(theirs), runs, rows)


if __name__ == "__main__":
    main()
