"""How well objects are filled in between planes, and how fast.

``CELLPROMPT_DATA=... python benchmarks/fill.py [--gaps 2 4 8] [--look N] [--follow N]``

Of each object with a known truth every (gap + 1)th plane is known, from its first one on.
The planes between are filled in (``core/fill``), and compared with the truth: mean IoU
over object-planes, beside the nearest known mask copied there. Planes on which the object
is not, and gaps at whose ends it is not, are left out. Two more rows need the model and
are taken over fewer objects of a stack (0 leaves them out): filled and looked at, and
propagation from both sides, with every known mask as a prompt; beside them stand filling
and copying of the same objects. Milliseconds are of the processor, whatever else runs on
the machine. Prints a table, writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.fill.between import Between
from napari_cellprompt.core.fill.labels import mask_of, places_of
from napari_cellprompt.core.fill.looking import LookedAt, overlap
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.evaluation.data import find_sets, read_set
from napari_cellprompt.evaluation.stacks import tracks_of
from napari_cellprompt.tasks.following import Seed, follow_objects, prompt_seeds

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.evaluation.stacks import KnownStack

GAIN, BELOW, GAP = 0.10, 0.85, 4
"""At this gap, better than copying by so much wherever that is below so much."""
MOST_MS = 50.0


@dataclass(frozen=True, slots=True)
class Case:
    """One object, and which of its planes are given away."""

    id: int
    truth: dict[int, CroppedMask]
    known: tuple[int, ...]
    asked: tuple[int, ...]

    def copied(self, plane: int) -> CroppedMask:
        """Its nearest known mask, the earlier of two."""
        return self.truth[min(self.known, key=lambda z: (abs(z - plane), z))]

    def filled(self) -> Between:
        """From what is given away."""
        return Between({z: self.truth[z] for z in self.known})


@dataclass(frozen=True, slots=True)
class Row:
    stack: str
    gap: int
    method: str
    objects: int
    planes: int
    iou: float
    copied: float
    filled: float
    """Of the same objects, without looking."""
    ms: float
    """For each object-plane that was filled."""


def cases_of(known: KnownStack, gap: int, limit: int | None) -> list[Case]:
    """The objects that are long enough, or so many of them spread over the ids."""
    places = places_of(known.labels)
    found = []
    for track in tracks_of(known):
        truth = {
            z: mask_of(known.labels[z], track.id, at) for z, at in places[track.id].items()
        }
        given = range(min(truth), max(truth) + 1, gap + 1)
        ends = [
            (first, first + gap + 1)
            for first in given[:-1]
            if first in truth and first + gap + 1 in truth
        ]
        if ends:
            found.append(
                Case(
                    track.id,
                    truth,
                    tuple(z for z in given if z in truth),
                    tuple(
                        z
                        for one, other in ends
                        for z in range(one + 1, other)
                        if z in truth
                    ),
                )
            )
    if limit is not None and len(found) > limit:
        rows = np.linspace(0, len(found) - 1, limit).round().astype(int)
        found = [found[row] for row in rows]
    return found


def measured(
    name: str,
    gap: int,
    method: str,
    cases: list[Case],
    fill: Callable[[Case, int], CroppedMask | None],
    seconds: float = 0.0,
) -> Row:
    """Fill every plane that is asked for; ``seconds`` were spent before."""
    scores, copied, plain, spent = [], [], [], seconds
    for case in cases:
        filled = case.filled()
        for z in case.asked:
            started = time.process_time()
            mask = fill(case, z)
            spent += time.process_time() - started
            scores.append(0.0 if mask is None else overlap(mask, case.truth[z]))
            copied.append(overlap(case.copied(z), case.truth[z]))
            plain.append(overlap(filled.at(z), case.truth[z]))
    means = [float(np.mean(values)) for values in (scores, copied, plain)]
    count = len(scores)
    return Row(name, gap, method, len(cases), count, *means, 1e3 * spent / count)


def filling() -> Callable[[Case, int], CroppedMask]:
    """Without a model."""
    last: dict[int, Between] = {}

    def fill(case: Case, z: int) -> CroppedMask:
        if case.id not in last:
            last.clear()
            last[case.id] = case.filled()
        return last[case.id].at(z)

    return fill


def looking(
    segmenter: PlaneSegmenter, known: KnownStack
) -> Callable[[Case, int], CroppedMask]:
    """Filled and looked at."""
    last: dict[int, LookedAt] = {}

    def fill(case: Case, z: int) -> CroppedMask:
        if case.id not in last:
            last.clear()
            last[case.id] = LookedAt(case.filled(), segmenter, known.stack)
        return last[case.id].at(z)

    return fill


def followed(
    segmenter: PlaneSegmenter, known: KnownStack, gap: int, cases: list[Case]
) -> Row:
    """Propagation with every known mask as a prompt, all objects together."""
    started = time.process_time()
    engine = StackPropagator(segmenter, known.stack)
    seeds = [
        Seed(case.id, z, Prompts(mask=encode(case.truth[z].to_plane())))
        for case in cases
        for z in case.known
    ]
    for _ in prompt_seeds(engine, seeds):
        pass
    follow_objects(engine)

    def fill(case: Case, z: int) -> CroppedMask | None:
        outcome = engine.outcome(case.id, z)
        return None if outcome is None else outcome.mask

    spent = time.process_time() - started
    return measured(known.dataset, gap, "propagated", cases, fill, spent)


def verdict(row: Row) -> str:
    """Whether a row of filling keeps what was promised of it."""
    if row.ms > MOST_MS:
        return "too slow"
    if row.gap != GAP or row.copied >= BELOW:
        return ""
    gain = row.iou - row.copied
    return "good" if gain >= GAIN else f"short by {GAIN - gain:.3f}"


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--stacks", nargs="+", help="default: all")
    parser.add_argument("--gaps", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--limit", type=int, help="at most so many objects of a stack")
    parser.add_argument("--look", type=int, default=6, metavar="N", help="objects")
    parser.add_argument("--follow", type=int, default=6, metavar="N", help="objects")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    segmenter = None
    if options.look or options.follow:
        segmenter = PlaneSegmenter(load_model(options.model))
    rows: list[Row] = []

    def show(row: Row) -> None:
        rows.append(row)
        note = "" if row.method == "propagated" else verdict(row)
        print(
            f"{row.stack:24} {row.gap:3} {row.method:10} {row.objects:7} {row.planes:6} "
            f"{row.iou:5.3f} {row.copied:6.3f} {row.filled:6.3f} {row.ms:8.1f}  {note}",
            flush=True,
        )

    print(f"{'stack':24} gap {'method':10} objects planes   IoU copied filled ms/plane")
    names = None if options.stacks is None else set(options.stacks)
    for item in find_sets(Path(os.environ["CELLPROMPT_DATA"]), names):
        # unrelated images are no stack
        if item.axes is not None and not set("ZT") & set(item.axes):
            continue
        known = read_set(item).stack
        if known is None:
            continue
        for gap in options.gaps:
            cases = cases_of(known, gap, options.limit)
            if not cases:
                print(f"{item.name:24} {gap:3} no object is long enough")
                continue
            show(measured(item.name, gap, "filled", cases, filling()))
            if segmenter is not None and options.look:
                few = cases_of(known, gap, options.look)
                show(measured(item.name, gap, "looked at", few, looking(segmenter, known)))
            if segmenter is not None and options.follow:
                few = cases_of(known, gap, options.follow)
                show(followed(segmenter, known, gap, few))
    write(options.out / "fill.json", options.model, rows)


def write(path: Path, model: str, rows: list[Row]) -> None:
    """Keep what was measured, with date and machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "model": model,
        "rows": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
