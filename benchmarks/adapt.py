"""What a model gains on a kind of image from ten accepted objects of one of its images.

``CELLPROMPT_DATA=... python benchmarks/adapt.py [--seconds 60] [--steps N]``

For each kind of image that the bundled model was never trained on, ten objects of one image
(or frame) are accepted and the model adapts to them; it is measured, before and after, on
objects of *other* images or frames. ``--choose`` takes validation images of kinds that it
was trained on, by which rates and parts are chosen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from data import load_raw
from napari_cellprompt import load_model
from napari_cellprompt.core.adapt.adapting import adapt_model
from napari_cellprompt.core.adapt.judging import judge
from napari_cellprompt.core.adapt.lessons import Case, Lessons, MarkedPlane
from napari_cellprompt.core.adapt.settings import AdaptSettings
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL

if TYPE_CHECKING:
    from napari_cellprompt.core.adapt.judging import Judgement
    from napari_cellprompt.core.training.planes import Plane

ACCEPTED = 10
CHOSEN_ON = ("neurites", "phase contrast mammalian", "stained", "quantitative phase")


def kinds_of(planes: list[Plane], *, choose: bool) -> dict[str, list[Plane]]:
    """Planes by kind: images of one modality, or the frames of one movie."""
    kinds: dict[str, list[Plane]] = {}
    for plane in planes:
        if choose and plane.modality not in CHOSEN_ON:
            continue
        single = plane.dataset.startswith("sbiad634") or choose
        name = plane.modality if single else plane.dataset
        kinds.setdefault(name, []).append(plane)
    return kinds


def divided(planes: list[Plane], limit: int, seed: int) -> tuple[MarkedPlane, list[Case]]:
    """Ten objects of one plane as accepted ones, and objects of the others.

    Where there is one plane only, as in some validation sets, its other objects.
    """
    rng = np.random.default_rng(seed)
    rich = [row for row, plane in enumerate(planes) if len(plane.ids) >= ACCEPTED]
    if not rich:
        rich = [int(np.argmax([len(plane.ids) for plane in planes]))]
    taken = rich[len(rich) // 2]
    plane = planes[taken]
    count = min(ACCEPTED, len(plane.ids))
    accepted = rng.choice(plane.ids, count, replace=False)
    marked = MarkedPlane(
        plane.image, np.where(np.isin(plane.labels, accepted), plane.labels, 0)
    )
    others = [
        (row, int(number))
        for row, plane in enumerate(planes)
        if row != taken
        for number in plane.ids
    ] or [(taken, int(number)) for number in plane.ids if number not in accepted]
    picked = rng.permutation(len(others))[:limit]
    chosen = sorted(others[int(i)] for i in picked)
    return marked, [Case(planes[r].image, planes[r].labels, n) for r, n in chosen]


def row_of(name: str, before: Judgement, after: Judgement, note: str) -> str:
    """One line of the table."""
    cells = [
        f"{getattr(before, key):5.2f} -> {getattr(after, key):5.2f}"
        for key in ("click", "box", "corrections")
    ]
    return f"{name:28} {after.objects:4}  {'  '.join(cells)}  {note}"


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--choose", action="store_true", help="validation images")
    parser.add_argument("--kinds", nargs="+", help="only kinds whose name holds these")
    parser.add_argument("--limit", type=int, default=30, help="objects measured of a kind")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--share", type=float)
    parser.add_argument("--parts", choices=("decoder", "all"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/adapt.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    given = {
        key: getattr(options, key)
        for key in ("seconds", "steps", "rate", "share", "parts", "seed")
        if getattr(options, key) is not None
    }
    settings = AdaptSettings(**given)
    loaded = load_model(options.model, device="cpu")
    root = Path(os.environ["CELLPROMPT_DATA"])
    planes = load_raw(root, "val" if options.choose else "test")[0]
    results = {}
    print(f"{'kind':28} {'n':>4}  {'click':14}  {'box':14}  {'corrections':14}")
    pairs = []
    for name, some in kinds_of(planes, choose=options.choose).items():
        if options.kinds and not any(part in name for part in options.kinds):
            continue
        marked, cases = divided(some, options.limit, options.seed)
        lessons = Lessons.divided([marked], settings)
        before = judge(loaded, cases, settings)
        cpu = time.process_time()
        adapted = adapt_model(loaded, lessons, settings)
        cpu = time.process_time() - cpu
        after = judge(adapted.model, cases, settings)
        note = (
            f"{adapted.steps} steps, {adapted.seconds:.0f} s, {cpu:.0f} s of processor, "
            f"{'offered' if adapted.better else 'not offered'} "
            f"({adapted.before.iou:.2f} -> {adapted.after.iou:.2f}, "
            f"{adapted.before.corrections:.1f} -> {adapted.after.corrections:.1f})"
        )
        print(row_of(name, before, after, note), flush=True)
        pairs.append((before, after))
        results[name] = {
            "before": asdict(before),
            "after": asdict(after),
            "steps": adapted.steps,
            "seconds": adapted.seconds,
            "processor seconds": cpu,
            "offered": adapted.better,
        }
        _write(options, settings, results)
    if len(pairs) > 1:
        mean_before, mean_after = (
            replace(
                pairs[0][which],
                **{
                    key: float(np.mean([getattr(pair[which], key) for pair in pairs]))
                    for key in ("click", "box", "corrections")
                },
            )
            for which in (0, 1)
        )
        print(row_of("mean of the kinds", mean_before, mean_after, ""))


def _write(
    options: argparse.Namespace, settings: AdaptSettings, results: dict[str, object]
) -> None:
    options.out.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg(),
        "model": options.model,
        "settings": {k: v for k, v in asdict(settings).items() if k not in ("kinds",)},
        "kinds": results,
    }
    options.out.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
