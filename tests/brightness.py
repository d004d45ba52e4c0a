"""A segmenter without weights whose network answers with bright regions.

Unlike ``fakes.FakeSegmenter`` it stands in for the network, so that all that happens to
tiles, clicks and boxes is the real thing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.tiles import read_tile
from napari_cellprompt.core.inference.sam.model import SamModel
from napari_cellprompt.core.networks.sam.mask_decoder import DecoderOutput
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts, Tile
from napari_cellprompt.core.zoo.traits import Traits
from napari_cellprompt.session.segment import LoadedSegmenter

SIDE = 512


class BrightNetwork:
    """The mask of a click is the connected bright region under it; of a box, what is
    bright inside. A click on dark ground is answered with a disk and a low score."""

    image_size = SIDE

    def __init__(self) -> None:
        self.decoded = 0

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        return features

    def decode(
        self,
        features: ImageFeatures,
        boxes: None,
        points: Tensor,
        labels: Tensor,
        logits: None,
        *,
        multimask: bool | None,
    ) -> DecoderOutput:
        self.decoded += len(points)
        grey = features.high_res[0][0, 0].numpy()
        bright = grey > 0.5
        regions, _ = ndimage.label(bright)
        rows, columns = np.mgrid[: len(grey), : len(grey)]
        masks, present = [], []
        for xy, kinds in zip(points.numpy() / 4, labels.numpy(), strict=True):
            if kinds[0] == 2:
                (x0, y0), (x1, y1) = xy
                mask = bright & (columns >= x0 - 1) & (columns <= x1)
                mask &= (rows >= y0 - 1) & (rows <= y1)
                there = True
            else:
                x, y = np.clip(xy[0].astype(int), 0, len(grey) - 1)
                there = bool(regions[y, x])
                disk = (rows - y) ** 2 + (columns - x) ** 2 < 9
                mask = (regions == regions[y, x]) if there else disk
            masks.append(np.where(mask, 8.0, -8.0))
            present.append(there)
        found = torch.from_numpy(np.stack(masks)).float()[:, None].repeat(1, 4, 1, 1)
        yes = torch.tensor(present).float()[:, None]
        return DecoderOutput(
            found, 0.1 + 0.8 * yes.repeat(1, 4), torch.zeros(len(yes), 4, 8), 10 * yes - 5
        )


class BrightModel(SamModel):
    """Remembers which tiles were encoded."""

    def __init__(self) -> None:
        self.network = BrightNetwork()
        spec = SimpleNamespace(
            name="bright", family="sam2", drawing=None, traits=Traits(), image_size=SIDE
        )
        loaded: Any = SimpleNamespace(
            network=self.network,
            sam=self.network,
            device=torch.device("cpu"),
            spec=spec,
            source=Path("bright.safetensors"),
        )
        super().__init__(loaded)
        self.encoded: list[Tile] = []

    def features(
        self,
        plane: PlaneSource,
        view: Any,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Any:
        self.encoded.append(view)
        pixels = torch.from_numpy(read_tile(plane, view, SIDE)).float().mean(2) / 255
        grey = F.avg_pool2d(pixels[None, None], 4)
        return ImageFeatures(
            F.avg_pool2d(grey, 4), (grey.repeat(1, 2, 1, 1), F.avg_pool2d(grey, 2))
        )

    def prepare(self, plane: PlaneSource, prompts: Prompts, **_: Any) -> None:
        """Nothing to prepare."""


class BrightSegmenter(PlaneSegmenter):
    """A ``PlaneSegmenter`` of a ``BrightModel``."""

    model: BrightModel

    def __init__(self) -> None:
        super().__init__(BrightModel())

    @property
    def encoded(self) -> list[Tile]:
        return self.model.encoded

    @property
    def network(self) -> BrightNetwork:
        return self.model.network

    def load(self, name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        """Loader for ``SegmentSession``."""
        return LoadedSegmenter(self, name, "cpu")


def disks(
    shape: tuple[int, int], centres: list[tuple[int, int]], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bright disks on a dark ground ``(H, W)`` uint8, and their labels 1, 2, ..."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint16)
    for number, (y, x) in enumerate(centres, start=1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return np.where(labels > 0, 230, 20).astype(np.uint8), labels
