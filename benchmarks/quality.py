"""How well a model segments known objects, as the plugin would run it.

``CELLPROMPT_DATA=... python benchmarks/quality.py [--model M] [--per-plane N]``

Every object is predicted from one click (the maximum of its distance transform, its
size unknown) and from its true box, through the same tiles that the widget uses. Beside
them stands the IoU of the ellipse inscribed in the true box: what a model that has
learnt nothing but boxes would reach. Prints a table, writes JSON and a picture of the
worst, median and best objects.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from PIL import Image, ImageDraw

from data import Plane, load_planes
from evaluate import ellipse_iou, innermost, pick_objects
from napari_cellprompt import PlaneSegmenter, load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.types import CroppedMask, Prediction, Prompts

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Score:
    """IoU of one object from each kind of prompt."""

    dataset: str
    modality: str
    click: float
    click_best: float
    """Of the best of the candidates that a click offers."""
    hinted: float
    """From a click when the size of the objects is known, as from the second on."""
    box: float
    ellipse: float
    size: int


def iou(found: CroppedMask, truth: NDArray[np.bool_]) -> float:
    """Intersection over union of a prediction with a mask of the whole plane."""
    y0, x0 = found.origin
    height, width = found.data.shape
    both = int((found.data & truth[y0 : y0 + height, x0 : x0 + width]).sum())
    union = found.area + int(truth.sum()) - both
    return both / union if union else 0.0


def measure(segmenter: PlaneSegmenter, plane: Plane, rows: list[int]) -> list[Score]:
    """Scores of some objects of one plane."""
    source = PlaneSource.from_image(plane.image)
    boxes = plane.boxes[rows]
    masks = [plane.labels == plane.ids[row] for row in rows]
    clicks = [
        Prompts(points=(tuple(float(v) for v in innermost(mask)),), labels=(1,))
        for mask in masks
    ]
    size = float(np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1)))
    found: dict[str, list[Prediction]] = {
        "click": segmenter.predict_many(source, clicks),
        "hinted": segmenter.predict_many(source, clicks, size_hint=size),
        "box": segmenter.predict_many(
            source, [Prompts(box=tuple(float(v) for v in box)) for box in boxes]
        ),
    }
    scores = []
    for number, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        x0, y0, x1, y1 = box
        scores.append(
            Score(
                plane.dataset,
                plane.modality,
                iou(found["click"][number].best.mask, mask),
                max(iou(item.mask, mask) for item in found["click"][number].candidates),
                iou(found["hinted"][number].best.mask, mask),
                iou(found["box"][number].best.mask, mask),
                ellipse_iou(mask[y0:y1, x0:x1]),
                int(max(x1 - x0, y1 - y0)),
            )
        )
    return scores


def table(scores: dict[str, list[Score]]) -> dict[str, dict[str, Any]]:
    """Means per data set and, where one has several, per modality."""
    groups: dict[str, list[Score]] = defaultdict(list)
    for part, members in scores.items():
        for score in members:
            groups[f"{part} {score.modality}"].append(score)
            groups[f"{part} {score.modality} / {score.dataset}"].append(score)
    rows = {}
    for name, members in groups.items():
        row: dict[str, Any] = {"objects": len(members)}
        for field in ("click", "click_best", "hinted", "box", "ellipse"):
            row[field] = round(float(np.mean([getattr(s, field) for s in members])), 3)
        rows[name] = row
    return rows


def picture(
    segmenter: PlaneSegmenter, cases: list[tuple[Plane, int, Score]], out: Path
) -> None:
    """Truth (green) and the answer to one click (red) of the chosen objects."""
    tiles = []
    for plane, row, score in cases:
        mask = plane.labels == plane.ids[row]
        click = Prompts(points=(tuple(float(v) for v in innermost(mask)),), labels=(1,))
        answer = segmenter.predict(PlaneSource.from_image(plane.image), click)
        x0, y0, x1, y1 = plane.boxes[row]
        reach = int(max(x1 - x0, y1 - y0, 8) * 1.2)
        cx, cy = (x0 + x1) // 2, (y0 + y1) // 2
        window = np.s_[max(cy - reach, 0) : cy + reach, max(cx - reach, 0) : cx + reach]
        image = (
            plane.image if plane.image.ndim == 3 else np.stack([plane.image] * 3, axis=-1)
        )
        pixels = image[window].copy()
        for area, colour in (
            (mask, (0, 255, 0)),
            (answer.best.mask.to_plane(), (255, 0, 0)),
        ):
            inside = area[window]
            inner = inside.copy()
            for axis in (0, 1):
                for step in (1, -1):
                    inner &= np.roll(inside, step, axis)
            pixels[inside & ~inner] = colour
        tile = Image.fromarray(pixels).resize((192, 192), Image.Resampling.NEAREST)
        ImageDraw.Draw(tile).text((4, 4), f"{score.click:.2f}", fill=(255, 255, 0))
        tiles.append(tile)
    columns = 6
    sheet = Image.new("RGB", (192 * columns, 192 * -(-len(tiles) // columns)))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (192 * (number % columns), 192 * (number // columns)))
    sheet.save(out)


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cellprompt-nano", help="name or checkpoint")
    parser.add_argument("--parts", nargs="+", default=["val", "test"])
    parser.add_argument("--datasets", nargs="+", help="only these")
    parser.add_argument("--per-plane", type=int, help="at most so many objects of a plane")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    segmenter = PlaneSegmenter(load_model(options.model))
    chosen = set(options.datasets) if options.datasets else None
    scores: dict[str, list[Score]] = defaultdict(list)
    cases: list[tuple[Plane, int, Score]] = []
    started = time.perf_counter()
    for part in options.parts:
        planes = load_planes(os.environ["CELLPROMPT_DATA"], part, datasets=chosen)
        for plane, rows in pick_objects(planes, options.per_plane):
            found = measure(segmenter, plane, rows)
            scores[part] += found
            cases += [(plane, row, score) for row, score in zip(rows, found, strict=True)]
    rows = table(scores)
    print(f"{'':58} objects  click  best  hinted  box  ellipse")
    for name, row in rows.items():
        print(
            f"{name:58} {row['objects']:7} {row['click']:6.3f} {row['click_best']:6.3f} "
            f"{row['hinted']:6.3f} {row['box']:6.3f} {row['ellipse']:6.3f}"
        )
    print(f"{time.perf_counter() - started:.0f} s")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.json").write_text(
        json.dumps(
            {
                "table": rows,
                "scores": {k: [asdict(s) for s in v] for k, v in scores.items()},
            }
        )
    )
    cases.sort(key=lambda case: case[2].click)
    middle = len(cases) // 2
    shown = [*cases[:6], *cases[middle - 3 : middle + 3], *cases[-6:]]
    picture(segmenter, shown, options.out / "quality.png")


if __name__ == "__main__":
    main()
