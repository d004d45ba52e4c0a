"""What each tuned constant of the engine buys: it is set to neutral, one at a time.

``CELLPROMPT_DATA=... python benchmarks/ablate.py [--model M] [--limit N] [--only NAME]``

A constant that buys nothing is to be deleted, one that only helps one model belongs to
its traits. The table of constants is ``constants.py``. Measured are objects from prompts
(mean IoU of one, three and five clicks, box, loose box and mask), whole planes without
prompts (mean AP over 0.50 to 0.95), and stacks (IoU over the object-planes), on parts of
images of the validation part: pieces of ``--side`` pixels, ``--planes`` planes of a stack.

What a constant buys is the mean over objects, planes and stacks of what is lost without
it; beside it stands twice its standard error. ``noise`` is less than that, and less than
0.002. With few objects that is *not* a reason to delete a constant: raise ``--limit``.
``time`` is how much longer the same takes without it.

With the defaults this runs for about an hour on two cores. A table of JSON is written
after each constant; the same command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from constants import PARTS, Constant, Part, constants_of, without_trait
from data import Plane, load_raw
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.everything.finding import EverythingSettings
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.zoo.registry import DEFAULT_MODEL
from napari_cellprompt.evaluation.everything import find_all
from napari_cellprompt.evaluation.objects import KnownPlane, evaluate, pick_cases
from napari_cellprompt.evaluation.stacks import STARTS, KnownStack, score_tracks, tracks_of
from quality import limits_of

if TYPE_CHECKING:
    from napari_cellprompt.core.zoo.load import LoadedModel

PACKAGE = "napari_cellprompt"
ASKED = ("click", "clicks3", "clicks5", "box", "loose", "mask")
LITTLE = 0.002
"""Of IoU or AP; less than this is noise however many objects there are."""

Scores = dict[Part, list[float]]
"""One figure for each object, plane or stack, in the same order each time."""
Measure = Callable[[Part, Constant | None], list[float]]


@contextmanager
def neutral(constant: Constant) -> Iterator[None]:
    """The package with one of its constants set to neutral; a trait stays as it is."""
    where, name = constant.name.split(":")
    if where == "traits":
        yield
        return
    module = importlib.import_module(f"{PACKAGE}.{where}")
    owner, _, attribute = name.rpartition(".")
    if owner:
        settings = getattr(module, owner)
        put = _default_of(settings, attribute)
    else:
        put = _value_in(module, attribute)
    put(constant.neutral)
    try:
        yield
    finally:
        put(None, back=True)


def _default_of(settings: type, name: str) -> Callable[..., None]:
    """Sets the default of a field of a dataclass, for all that are made from now on."""
    make: Any = vars(settings)["__init__"]
    before = make.__defaults__
    fields = list(inspect.signature(make).parameters)[-len(before) :]
    place = fields.index(name)

    def put(value: Any, *, back: bool = False) -> None:
        changed = (*before[:place], value, *before[place + 1 :])
        make.__defaults__ = before if back else changed

    return put


def _value_in(module: Any, name: str) -> Callable[..., None]:
    """Sets a constant of a module, and of those that have imported it by its name."""
    before = getattr(module, name)
    holders = [module]
    if not name.startswith("_"):
        holders += [
            other
            for known, other in list(sys.modules.items())
            if known.startswith(PACKAGE) and vars(other).get(name) is before
        ]

    def put(value: Any, *, back: bool = False) -> None:
        for holder in holders:
            setattr(holder, name, before if back else value)

    return put


@dataclass(frozen=True, slots=True)
class Row:
    """What one constant buys on one part."""

    name: str
    part: Part
    neutral: str
    means: str
    items: int
    """Objects, planes or stacks that were compared."""
    with_it: float
    without: float
    buys: float
    """Mean of the differences; above 0 the constant helps."""
    spread: float
    """Twice the standard error of that."""
    longer: float
    """Time without it over time with it."""

    @property
    def verdict(self) -> str:
        """Whether it helps, harms, or is within noise."""
        if abs(self.buys) <= max(self.spread, LITTLE):
            return "same" if self.buys == 0 and self.spread == 0 else "noise"
        return "helps" if self.buys > 0 else "harms"


def compare(
    constant: Constant,
    part: Part,
    tuned: tuple[list[float], float],
    bare: tuple[list[float], float],
) -> Row:
    """Compare the same objects with and without a constant, ``(scores, seconds)`` each."""
    lost = np.array(tuned[0]) - np.array(bare[0])
    error = float(lost.std(ddof=1) / np.sqrt(len(lost))) if len(lost) > 1 else 0.0
    return Row(
        constant.name,
        part,
        str(constant.neutral),
        constant.means,
        len(lost),
        float(np.mean(tuned[0])),
        float(np.mean(bare[0])),
        float(lost.mean()),
        2 * error,
        bare[1] / max(tuned[1], 1e-9),
    )


def ablate(
    constants: Sequence[Constant],
    parts: Sequence[Part],
    measure: Measure,
    *,
    known: Sequence[Row] = (),
    seconds: float = float("inf"),
    told: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Measure what constants buy.

    Parameters
    ----------
    constants
        Which ones, in this order.
    parts
        What is measured, of what each constant can change.
    measure
        ``measure(part, constant)`` gives a figure for each object, plane or stack; it is
        called with the constant set to neutral, and with None as the package is.
    known
        Rows of an earlier run, which are not measured again.
    seconds
        After these no other constant is begun.
    told
        Called with all rows after each constant.
    """
    rows, started = list(known), time.perf_counter()
    done = {(row.name, row.part) for row in rows}
    tuned: dict[Part, tuple[list[float], float]] = {}
    for constant in constants:
        wanted = [
            part
            for part in parts
            if part in constant.parts and (constant.name, part) not in done
        ]
        for part in wanted:
            if time.perf_counter() - started > seconds:
                return rows
            if part not in tuned:
                measure(part, None)  # what is read and encoded once is not timed
                tuned[part] = timed(measure, part, None)
            with neutral(constant):
                bare = timed(measure, part, constant)
            rows.append(compare(constant, part, tuned[part], bare))
        if wanted:
            told(rows)
    return rows


def timed(
    measure: Measure, part: Part, constant: Constant | None
) -> tuple[list[float], float]:
    """Figures, and the seconds that they took."""
    started = time.perf_counter()
    return measure(part, constant), time.perf_counter() - started


@dataclass
class Bench:
    """The images, read once, and the model."""

    model: LoadedModel
    limit: int
    side: int
    planes: int
    root: Path
    pieces: list[KnownPlane] = field(default_factory=list)
    stacks: list[KnownStack] = field(default_factory=list)
    cache: FeatureCache[Any] = field(default_factory=lambda: FeatureCache(1 << 30))

    def read(self) -> None:
        """Read the pieces of planes and stacks that are measured."""
        planes, stacks = load_raw(self.root, "val")
        limits = dict(zip(map(id, planes), limits_of(planes, self.root), strict=True))
        names: dict[str, list[Plane]] = {}
        for plane in planes:
            names.setdefault(plane.dataset, []).append(plane)
        for name, members in names.items():
            order = np.random.default_rng(0).permutation(len(members))
            for number in order[: max(1, self.limit // 4)]:
                plane = members[number]
                image, labels = piece(plane.image, plane.labels, self.side)
                key = f"ablate {name} {number}"
                source = PlaneSource.from_image(image, limits[id(plane)], image_id=key)
                self.pieces.append(KnownPlane(name, source, labels))
        axes = {
            e["name"]: e["axes"]
            for e in json.loads((self.root / "manifest.json").read_text())
        }
        for stack in stacks:
            along = axes[stack.dataset][0].lower()
            if along not in "zt":
                continue
            middle = max((len(stack.planes) - self.planes) // 2, 0)
            part = stack.planes[middle : middle + self.planes]
            image = np.stack([plane.image for plane in part])
            labels = np.stack([plane.labels for plane in part])
            source = ImageStack(image, along=along, axes=f"{along.upper()}YX")
            self.stacks.append(KnownStack(stack.dataset, source, labels))

    def measure(self, part: Part, constant: Constant | None) -> list[float]:
        """Figures of one part, by a model that is opened anew."""
        model = self.model
        if constant is not None and constant.name.startswith("traits:"):
            model = replace(model, spec=without_trait(model.spec, constant))
        segmenter = PlaneSegmenter(model, cache=self.cache)
        if part == "quality":
            return self._asked(segmenter)
        if part == "propagation":
            return self._followed(segmenter)
        mode = "grid" if part == "grid" else "auto"
        settings = EverythingSettings(search=SearchSettings(mode=mode))
        pieces = self.pieces[::4] if part == "grid" else self.pieces
        return [find_all(segmenter, plane, settings).ap for plane in pieces]

    def _asked(self, segmenter: PlaneSegmenter) -> list[float]:
        groups = [g for plane in self.pieces for g in pick_cases([plane], self.limit)]
        return [
            float(np.mean([getattr(score, name) for name in ASKED]))
            for score in evaluate(segmenter, groups)
        ]

    def _followed(self, segmenter: PlaneSegmenter) -> list[float]:
        scores = []
        for known in self.stacks:
            tracks = tracks_of(known, self.limit)
            if tracks:
                scores += [
                    score_tracks(segmenter, known, tracks, start).iou for start in STARTS
                ]
        return scores


def piece(
    image: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], side: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The square of a plane, no larger than ``side``, that holds most of its objects."""
    height, width = labels.shape
    best, most = (0, 0), -1
    for y in range(0, max(height - side, 0) + 1, max(side // 2, 1)):
        for x in range(0, max(width - side, 0) + 1, max(side // 2, 1)):
            count = len(np.unique(labels[y : y + side, x : x + side]))
            if count > most:
                best, most = (y, x), count
    part = np.s_[best[0] : best[0] + side, best[1] : best[1] + side]
    return np.ascontiguousarray(image[part]), np.ascontiguousarray(labels[part])


def printed(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        f"{'constant':58} {'part':11} items  with it  without     buys  +- 2 se   time"
    ]
    lines += [
        f"{row.name:58} {row.part:11} {row.items:5} {row.with_it:8.4f} {row.without:8.4f} "
        f"{row.buys:+8.4f} {row.spread:8.4f} {row.longer:6.2f}  {row.verdict}: {row.means}"
        for row in sorted(rows, key=lambda row: (row.part, -row.buys))
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name or checkpoint")
    parser.add_argument("--limit", type=int, default=4, help="objects of a plane or stack")
    parser.add_argument("--only", nargs="+", help="constants whose name holds one of these")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--side", type=int, default=256, help="pixels of a piece")
    parser.add_argument("--planes", type=int, default=9, help="of a stack")
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    model = load_model(options.model)
    constants = constants_of(model.spec)
    if options.only is not None:
        constants = [c for c in constants if any(name in c.name for name in options.only)]
    if not constants:
        parser.error(f"no constant of {options.model} has such a name")
    path = options.out / f"ablate-{model.spec.name}.json"
    options.out.mkdir(parents=True, exist_ok=True)
    asked = {"model": model.spec.name, "limit": options.limit, "side": options.side}
    asked |= {"planes": options.planes}
    known: list[Row] = []
    if path.is_file() and (earlier := json.loads(path.read_text()))["asked"] == asked:
        known = [Row(**row) for row in earlier["rows"]]
        print(f"going on after {len(known)} rows of {path}", file=sys.stderr)
    bench = Bench(
        model,
        options.limit,
        options.side,
        options.planes,
        Path(os.environ["CELLPROMPT_DATA"]),
    )
    bench.read()

    def told(rows: list[Row]) -> None:
        print(printed(rows[-1:]).splitlines()[1], file=sys.stderr, flush=True)
        verdicts = [{**asdict(row), "verdict": row.verdict} for row in rows]
        content = {"asked": asked, "rows": [asdict(row) for row in rows]}
        content["verdicts"] = {f"{v['name']} {v['part']}": v["verdict"] for v in verdicts}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1))

    rows = ablate(
        constants,
        options.parts,
        bench.measure,
        known=known,
        seconds=60 * options.minutes,
        told=told,
    )
    print(printed(rows))


if __name__ == "__main__":
    main()
