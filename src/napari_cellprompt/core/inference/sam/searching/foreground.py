"""Learns from a few answers of the model where else in an image there are objects.

A click is slow to decode, but the features of the image are known everywhere. A linear
rule on them, fitted to what a coarse grid of clicks found and did not find, tells where
further clicks are worth it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures

__all__ = ["Foreground", "peaks"]

_RIDGE = 1e-2
"""Weight of the penalty on the rule's size, relative to the number of pixels."""


class Foreground:
    """A linear rule that tells objects from background, fitted tile by tile.

    Both classes weigh the same, however many pixels each has. Sums are kept instead of
    pixels: what was learnt on one tile helps on the next.
    """

    def __init__(self) -> None:
        self._sums: dict[bool, tuple[Tensor, Tensor, int]] = {}

    @property
    def is_fitted(self) -> bool:
        """Whether both objects and background were seen."""
        return len(self._sums) == 2

    def learn(self, features: ImageFeatures, objects: Tensor, background: Tensor) -> None:
        """Take in one tile.

        Parameters
        ----------
        features
            What the image encoder knows of the tile.
        objects, background
            ``(s, s)`` bool at a quarter of the model's input: pixels that are known to
            belong to one of them.
        """
        table = _table(features)
        for value, where in ((True, objects), (False, background)):
            rows = table[where.flatten()].double()
            if len(rows) == 0:
                continue
            square, total, count = rows.T @ rows, rows.sum(0), len(rows)
            if value in self._sums:
                earlier = self._sums[value]
                square, total = square + earlier[0], total + earlier[1]
                count += earlier[2]
            self._sums[value] = square, total, count

    def predict(self, features: ImageFeatures) -> NDArray[np.float32]:
        """How much each pixel of a tile looks like objects, ``(s, s)``.

        About 1 on objects and 0 on background.
        """
        if not self.is_fitted:
            raise RuntimeError("learn from objects and from background first.")
        (on, wanted, objects), (off, _, background) = self._sums[True], self._sums[False]
        square = on / objects + off / background
        penalty = _RIDGE * torch.eye(len(square), dtype=square.dtype, device=square.device)
        penalty[-1, -1] = 0  # the constant is free
        rule = torch.linalg.solve(square + penalty, wanted / objects)
        side = 4 * features.embed.shape[-1]
        found: NDArray[np.float32] = (
            (_table(features) @ rule.float()).reshape(side, side).cpu().numpy()
        )
        return found


def peaks(
    foreground: NDArray[np.float32], size: float, *, threshold: float = 0.5
) -> NDArray[np.float64]:
    """Where to click: one point about the middle of each part that looks like an object.

    Parameters
    ----------
    foreground
        ``(s, s)`` of :meth:`Foreground.predict`.
    size
        Of the objects, in pixels of ``foreground``.
    threshold
        Below it there is background.

    Returns
    -------
    ndarray
        ``(N, 2)`` x, y in pixels of ``foreground``.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter, maximum_filter

    smooth = gaussian_filter(foreground, size / 10)
    # padded, since what the tile cuts does not end there
    depth = distance_transform_edt(np.pad(smooth > threshold, 1, mode="edge"))[1:-1, 1:-1]
    depth = gaussian_filter(np.minimum(depth, size / 2) * smooth.clip(0, 1), size / 10)
    reach = max(3, 2 * round(size / 5) + 1)
    top = (depth == maximum_filter(depth, size=reach)) & (smooth > threshold)
    rows, columns = np.nonzero(top)
    return np.stack((columns, rows), axis=1).astype(np.float64)


def _table(features: ImageFeatures) -> Tensor:
    """Features of every pixel at a quarter of the model's input, ``(s * s, C + 1)``.

    Levels of unlike scale are brought to one spread; the last column is constant.
    """
    # where the decoder takes no finer levels (SAM 1), the embedding alone has to do
    size = tuple(4 * length for length in features.embed.shape[-2:])
    levels = []
    for level in (*features.high_res, features.embed):
        centred = level - level.mean(dim=(2, 3), keepdim=True)
        spread = centred.std() + 1e-6
        levels.append(F.interpolate(level / spread, size=size, mode="bilinear"))
    levels.append(torch.ones_like(levels[0][:, :1]))
    return torch.cat(levels, dim=1)[0].flatten(1).T
