"""How far the network is believed where it redraws an object from plane to plane.

A network that redraws an object a little wrongly when it is given its very mask repeats
that error on every plane. So only a part of its answer is taken. The rest is the mask of
the plane before, moved by what the network answers differently on the two planes: an
error that it makes on both cancels out.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

__all__ = ["LIMIT", "lean_on"]

LIMIT = 10.0
"""Logits are clipped to this before they are mixed with distances."""
_LOGIT_PER_PIXEL = 2.0


def lean_on(logits: Tensor, previous: Tensor, change: Tensor, share: float) -> Tensor:
    """Mix what the network found with the mask of the plane before, moved.

    Parameters
    ----------
    logits, previous
        ``(1, h, w)``; of ``previous`` only the sign counts: its outline stands in as a
        signed distance, so that it can move with every plane.
    change
        ``(1, h, w)``: the network's answer to ``previous`` on this plane less its answer
        to it on the plane before.
    share
        Of the mask of the plane before, 0 to 1.

    Returns
    -------
    Tensor
        ``(1, h, w)``; ``logits`` themselves where there is nothing to lean on.
    """
    mask = (previous[0] > 0).cpu().numpy()
    if share <= 0 or not mask.any():
        return logits
    inside = ndimage.distance_transform_edt(mask)
    outside = ndimage.distance_transform_edt(~mask)
    # half a pixel each way: the outline runs between the pixels
    distance = np.where(mask, inside - 0.5, 0.5 - outside) * _LOGIT_PER_PIXEL
    steady = torch.from_numpy(np.clip(distance, -LIMIT, LIMIT).astype(np.float32))
    moved = (steady.to(logits.device)[None] + change).clamp(-LIMIT, LIMIT)
    return (1 - share) * logits.clamp(-LIMIT, LIMIT) + share * moved
