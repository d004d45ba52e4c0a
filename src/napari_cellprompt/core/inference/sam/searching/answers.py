"""Asks the model about many clicks on one tile, and reads what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.out_of_memory import in_batches
from napari_cellprompt.core.inference.sam.decoding import decode_prompts
from napari_cellprompt.core.masks.ellipse import rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.inference.sam.encoding.encoder import PlaneEncoder
    from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures
    from napari_cellprompt.core.types import Tile

__all__ = [
    "Answers",
    "ask",
    "box_of",
    "plausible",
    "representatives",
    "tile_features",
]

_BATCH = 32
"""Clicks decoded together."""
_SAME = 0.6
"""Two masks of one tile with a larger IoU are answers about the same object."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What the model said to N prompts on one tile, one mask each."""

    xy: NDArray[np.float64]
    """``(N, 2)`` clicks in model pixels."""
    masks: Tensor
    """``(N, s, s)`` logits."""
    scores: Tensor
    """``(N,)`` predicted IoU."""
    present: Tensor
    """``(N,)`` object score."""

    def pick(self, rows: Tensor) -> Answers:
        """Some of them."""
        return Answers(
            self.xy[rows.cpu().numpy()],
            self.masks[rows],
            self.scores[rows],
            self.present[rows],
        )

    def join(self, others: Answers) -> Answers:
        """These and others of the same tile."""
        return Answers(
            np.concatenate((self.xy, others.xy)),
            torch.cat((self.masks, others.masks)),
            torch.cat((self.scores, others.scores)),
            torch.cat((self.present, others.present)),
        )


def tile_features(
    encoder: PlaneEncoder,
    plane: PlaneSource,
    tile: Tile,
    cancelled: Callable[[], bool] | None,
) -> ImageFeatures:
    """What the network knows of a tile, ready to be asked."""
    with torch.inference_mode():
        found = encoder.features(plane, tile, cancelled=cancelled)
        return encoder.loaded.sam.without_memory(found)


@torch.inference_mode()
def ask(
    encoder: PlaneEncoder,
    features: ImageFeatures,
    xy: NDArray[np.float64],
    boxes: NDArray[np.float64] | None,
    cancelled: Callable[[], bool] | None,
) -> Answers:
    """One answer to each click ``(N, 2)`` or, where there are any, box ``(N, 4)``."""
    model = encoder.loaded
    if boxes is None:
        points = xy[:, None]
        labels = np.ones(points.shape[:2], np.int32)
    else:
        points = boxes.reshape(-1, 2, 2)
        labels = np.tile(np.array([2, 3], np.int32), (len(points), 1))

    def decode(start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        stop_if(cancelled)
        output = decode_prompts(
            model.sam,
            features,
            torch.from_numpy(points[start:stop].astype(np.float32)).to(model.device),
            torch.from_numpy(labels[start:stop]).to(model.device),
            None,
            drawing=model.spec.drawing,
            multimask=None,
        )
        return (
            output.masks[:, 0].float(),
            output.iou[:, 0].float(),
            output.object_logits[:, 0].float().sigmoid(),
        )

    parts = in_batches(len(points), _BATCH, decode)
    masks, scores, present = (torch.cat(part) for part in zip(*parts, strict=True))
    if model.spec.traits.rounds and boxes is None:
        # as for a click of the user
        places, trust = ((xy + 0.5) / 4 - 0.5).tolist(), (scores * present).tolist()
        masks = torch.cat(
            [
                rounded(mask[None], [known], click=place)
                for mask, known, place in zip(masks, trust, places, strict=True)
            ]
        )
    return Answers(xy, masks, scores, present)


def plausible(answers: Answers, *, min_object_score: float, min_score: float) -> Tensor:
    """Rows of the answers that may be objects, ``(M,)``."""
    masks = answers.masks > 0
    covered = masks.flatten(1).sum(1)
    side = masks.shape[-1]
    columns, rows = torch.from_numpy(answers.xy / 4).long().clamp(0, side - 1).T
    hit = masks[torch.arange(len(masks)), rows, columns]
    return (
        (answers.present >= min_object_score)
        & (answers.scores >= min_score)
        & hit
        & (covered > 0)
        & (covered < 0.5 * side * side)
    ).nonzero()[:, 0]


def representatives(answers: Answers) -> tuple[list[int], list[int], list[float]]:
    """The best answer about each object, the clicks for it, and their share."""
    flat = (answers.masks > 0).flatten(1).float()
    if len(flat) == 0:
        return [], [], []
    both = flat @ flat.T
    areas = both.diagonal()
    iou = both / (areas[:, None] + areas[None] - both)
    same = iou > _SAME
    votes = same.sum(1)
    side = answers.masks.shape[-1]
    columns, rows = torch.from_numpy(answers.xy / 4).long().clamp(0, side - 1).T
    # [mask, click]: whether a click that hit an object lies in a mask
    inside = flat.reshape(-1, side, side)[:, rows, columns] > 0
    consensus = (same & inside).sum(1) / inside.sum(1).clamp(min=1)
    rank = answers.scores * answers.present * (0.5 + 0.5 * consensus)
    chosen: list[int] = []
    for row in rank.argsort(descending=True).tolist():
        if not any(bool(same[row, other]) for other in chosen):
            chosen.append(row)
    return chosen, votes[chosen].tolist(), consensus[chosen].tolist()


def box_of(mask: Tensor) -> Box:
    """``x0, y0, x1, y1`` of a mask that is not empty, the last two exclusive."""
    rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
    return (
        float(columns[0]),
        float(rows[0]),
        float(columns[-1] + 1),
        float(rows[-1] + 1),
    )
