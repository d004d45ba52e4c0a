"""At which magnification a model finds an object best.

``CELLPROMPT_DATA=... python benchmarks/levels.py [--model M] [--every N] [--per-plane N]``

Each object is predicted on every level of the pyramid of tiles, from one click and from
its box. The table gives the mean IoU against the share of the tile's side that the
object spans; the shares that ``core`` aims at were read from it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from data import Plane, load_planes
from napari_cellprompt import load_model
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.tiles import LEVELS, read_tile, tile_for_box
from napari_cellprompt.core.inference.sam.decoding import decode_prompts
from napari_cellprompt.core.inference.sam.encoding.preprocess import normalise
from napari_cellprompt.core.masks.simulated import innermost
from napari_cellprompt.core.types import Tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.networks.sam.mask_decoder import DecoderOutput
    from napari_cellprompt.core.zoo.load import LoadedModel


def pick_objects(planes: list[Plane], per_plane: int) -> list[tuple[Plane, list[int]]]:
    """A fixed random choice of a few objects in each plane."""
    rng = np.random.default_rng(0)
    picked = []
    for plane in planes:
        count = len(plane.ids)
        rows = rng.choice(count, min(per_plane, count), replace=False)
        picked.append((plane, sorted(rows.tolist())))
    return picked


def iou_in_tile(logits: torch.Tensor, truth: NDArray[np.bool_], tile: Tile) -> float:
    """Intersection over union of a tile's logits with a mask of the whole plane."""
    size = (tile.size, tile.size)
    full = F.interpolate(logits[None, None], size=size, mode="bilinear")[0, 0]
    y0, y1, x0, x1 = tile.crop((truth.shape[0], truth.shape[1]))
    found = full[: y1 - y0, : x1 - x0].numpy() > 0
    both = int((found & truth[y0:y1, x0:x1]).sum())
    return both / max(int(found.sum()) + int(truth.sum()) - both, 1)


@torch.inference_mode()
def decode_at(
    model: LoadedModel,
    source: PlaneSource,
    tile: Tile,
    prompts: list[list[tuple[float, ...]]],
) -> list[DecoderOutput]:
    """Answers to several prompts, each a list of x, y, label, on one tile."""
    pixels = torch.from_numpy(read_tile(source, tile, model.image_size))
    features = model.network.image_features(
        normalise(pixels.permute(2, 0, 1)[None].float() / 255)
    )
    answers = []
    for prompt in prompts:
        table = np.array(prompt)
        points = torch.from_numpy(tile.to_tile(table[:, :2])).float()[None]
        labels = torch.from_numpy(table[:, 2]).int()[None]
        answers.append(
            decode_prompts(
                model.network,
                features,
                points,
                labels,
                None,
                drawing=model.spec.drawing,
                multimask=None,
            )
        )
    return answers


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cellprompt-nano", help="name or checkpoint")
    parser.add_argument("--every", type=int, default=3, help="take every so many planes")
    parser.add_argument("--per-plane", type=int, default=3)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    model = load_model(options.model)
    side = model.image_size
    planes = load_planes(os.environ["CELLPROMPT_DATA"], "val")[:: options.every]
    found: dict[float, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for plane, rows in pick_objects(planes, options.per_plane):
        source = PlaneSource.from_image(plane.image)
        for row in rows:
            x0, y0, x1, y1 = (float(value) for value in plane.boxes[row])
            truth = plane.labels == plane.ids[row]
            x, y = (float(value) for value in innermost(truth))
            prompts = [
                [(x, y, 1.0)],
                [(x0 - 0.5, y0 - 0.5, 2.0), (x1 - 0.5, y1 - 0.5, 3.0)],
            ]
            for level in LEVELS:
                share = max(x1 - x0, y1 - y0) * level / side
                if not 1 / 64 <= share < 1:
                    continue
                tile = tile_for_box(source.shape, side, level, (x0, y0, x1, y1))
                click, box = decode_at(model, source, tile, prompts)
                scores = found[2 ** (np.floor(2 * np.log2(share)) / 2)]
                scores["click, single"].append(iou_in_tile(click.masks[0, 0], truth, tile))
                ranked = int(click.iou[0, 1:].argmax()) + 1
                scores["click, best of 3"].append(
                    iou_in_tile(click.masks[0, ranked], truth, tile)
                )
                scores["box"].append(iou_in_tile(box.masks[0, 0], truth, tile))
    print("share from  objects  click, single  click, best of 3    box")
    for share, scores in sorted(found.items()):
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        print(
            f"{share:10.3f} {len(scores['box']):8} {means['click, single']:14.3f} "
            f"{means['click, best of 3']:17.3f} {means['box']:6.3f}"
        )


if __name__ == "__main__":
    main()
