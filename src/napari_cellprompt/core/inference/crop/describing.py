"""What the encoder says of objects, to compare them by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from napari_cellprompt.core.inference.crops import crop_around, read
from napari_cellprompt.core.inference.out_of_memory import in_batches

from .looking import Ask, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import CroppedMask

    from .looking import Looker
    from .settings import CropSettings

__all__ = ["crop_features"]

_BATCH = 32
_LEVELS = slice(2, None)
"""Of the encoder, from 1/8 of the crop on: what is finer says little of kinds."""


def crop_features(
    looker: Looker,
    plane: PlaneSource,
    masks: Sequence[CroppedMask],
    settings: CropSettings,
) -> NDArray[np.float32]:
    """Features of the encoder averaged over each mask, each level of length one.

    Every object is looked at as large as it is after a click, without a prompt.

    Parameters
    ----------
    looker
        The network.
    plane
        Where the objects are.
    masks
        None of them empty.
    settings
        At which share of its crop an object is looked at.

    Returns
    -------
    ndarray
        ``(N, D)``.
    """
    network, size = looker.network, looker.size

    @torch.inference_mode()
    def run(start: int, stop: int) -> NDArray[np.float32]:
        part = masks[start:stop]
        crops = [
            whole(crop_around(mask.box or (0, 0, 1, 1), settings.second_share, size))
            for mask in part
        ]
        image, prompts = looker.inputs(plane, [Ask(crop) for crop in crops])
        cover = np.stack(
            [
                read(mask.data.astype(np.float32), crop, mask.origin)
                for mask, crop in zip(part, crops, strict=True)
            ]
        )
        weights = torch.from_numpy(cover)[:, None].to(image.device)
        levels = []
        for features in network.features(image, prompts)[_LEVELS]:
            share = F.adaptive_avg_pool2d(weights, (features.shape[2], features.shape[3]))
            total = share.sum((2, 3)).clamp_min(1e-6)
            levels.append(F.normalize((features * share).sum((2, 3)) / total, dim=1))
        described: NDArray[np.float32] = torch.cat(levels, 1).float().cpu().numpy()
        return described

    return np.concatenate(in_batches(len(masks), _BATCH, run))
