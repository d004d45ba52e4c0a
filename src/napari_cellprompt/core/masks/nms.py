"""Which of several overlapping boxes to keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["nms"]


def nms(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], iou_threshold: float
) -> NDArray[np.int64]:
    """Greedy non-maximum suppression, as ``torchvision.ops.nms`` does it.

    That one is not used: importing torchvision takes as long as importing torch again,
    since it brings torch's compiler along.

    Parameters
    ----------
    boxes
        ``(N, 4)``: x0, y0, x1, y1 in any unit.
    scores
        ``(N,)``; of equal scores the earlier box counts as the better one.
    iou_threshold
        A box goes when its IoU with a better kept one is above this.

    Returns
    -------
    NDArray
        Indices of the kept boxes, best score first.
    """
    boxes = np.asarray(boxes, np.float32)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    order = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        rest = boxes[order]
        size = np.minimum(boxes[best, 2:], rest[:, 2:]) - np.maximum(
            boxes[best, :2], rest[:, :2]
        )
        shared = size.clip(0).prod(axis=1)
        # two boxes without area are 0 / 0, which keeps both
        with np.errstate(invalid="ignore"):
            overlap = shared / (areas[best] + areas[order] - shared)
        order = order[~(overlap > iou_threshold)]
    return np.array(kept, np.int64)
