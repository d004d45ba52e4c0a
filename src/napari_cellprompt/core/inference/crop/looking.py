"""Shows crops of a plane to the network, many at a time."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.crops import (
    SURROUNDINGS,
    Crop,
    image_planes,
    paste,
    prompt_planes,
)
from napari_cellprompt.core.inference.out_of_memory import in_batches
from napari_cellprompt.core.inference.precision import computes_bfloat16
from napari_cellprompt.core.types import Tile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.networks.focus import FocusNet

    Floats = NDArray[np.float32]

__all__ = [
    "Ask",
    "Looker",
    "Seen",
    "Window",
    "crop_of",
    "probability",
    "tile_of",
    "whole",
    "windows_of",
]

_BATCH = 8
"""Crops looked at together: larger batches leave the processor's caches, and take longer
a crop (12 ms at 8, 16 ms at 32)."""
_JOINED = 2**22
"""Pixels up to which what several crops need is read in one go."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One crop that the network is to look at."""

    crop: Crop
    prompts: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of :func:`~.crops.prompt_planes`."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the network answered about one crop."""

    crop: Crop
    logits: Floats
    """``(S, S)``; above 0 is the object."""
    iou: float
    """Predicted IoU with the whole object."""
    presence: float
    """Probability that what was prompted is there."""

    @property
    def probability(self) -> Floats:
        """``(S, S)``, 0 to 1."""
        return probability(self.logits)

    def window(self, shape: tuple[int, int]) -> tuple[Floats, tuple[int, int]]:
        """Logits of pixels of the plane, and row and column of the first."""
        pasted = paste(self.logits, self.crop, shape)
        return pasted.values, (pasted.y0, pasted.x0)

    def box(self) -> tuple[float, float, float, float] | None:
        """``x0, y0, x1, y1`` of the answer in plane pixels; None where it is empty."""
        mask = self.logits > 0
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return None
        crop = self.crop
        return (
            crop.x0 + crop.step * float(columns[0]),
            crop.y0 + crop.step * float(rows[0]),
            crop.x0 + crop.step * float(columns[-1] + 1),
            crop.y0 + crop.step * float(rows[-1] + 1),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A part of a plane that was read, for the crops that need it."""

    pixels: NDArray[Any]
    """``(h, w)`` or ``(h, w, 3)``, grey values as they are stored."""
    y0: int
    x0: int

    def planes(self, crop: Crop) -> Floats:
        """The network's image input of a crop, ``(3, S, S)``."""
        moved = Crop(crop.y0 - self.y0, crop.x0 - self.x0, crop.side, crop.size)
        return image_planes(self.pixels, moved)


def probability(logits: Floats) -> Floats:
    """Of logits, 0 to 1."""
    values = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return np.asarray(values, dtype=np.float32)


def fused(network: FocusNet) -> FocusNet:
    """A copy whose batch normalisations are part of the convolutions before them."""
    copied = copy.deepcopy(network).eval()
    for module in copied.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for row in range(len(module) - 1):
            convolution, norm = module[row], module[row + 1]
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                module[row] = fuse_conv_bn_eval(convolution, norm)
                module[row + 1] = nn.Identity()
    return copied


def whole(crop: Crop) -> Crop:
    """A crop at whole pixels, as a :class:`~napari_cellprompt.core.types.Tile` names it."""
    side = max(math.ceil(crop.side), 1)
    y0 = round(crop.y0 - (side - crop.side) / 2)
    x0 = round(crop.x0 - (side - crop.side) / 2)
    return Crop(float(y0), float(x0), float(side), crop.size)


def tile_of(crop: Crop) -> Tile:
    """A crop at whole pixels as the part of the plane that was looked at."""
    return Tile(1 / crop.step, round(crop.y0), round(crop.x0), round(crop.side))


def crop_of(tile: Tile, size: int) -> Crop:
    """The crop that a tile names, shown in ``size`` network pixels."""
    return Crop(float(tile.y0), float(tile.x0), float(tile.size), size)


def _needed(crop: Crop, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """``y0, y1, x0, x1`` of what sets the contrast of a crop, crop included."""
    spans: list[int] = []
    more = (SURROUNDINGS - 1) / 2 * crop.side + 2 * max(crop.step, 1.0)
    for start, length in ((crop.y0, shape[0]), (crop.x0, shape[1])):
        first = min(max(math.floor(start - more), 0), length - 1)
        stop = max(min(math.ceil(start + crop.side + more), length), first + 1)
        spans += [first, stop]
    return spans[0], spans[1], spans[2], spans[3]


def windows_of(
    plane: PlaneSource, crops: Sequence[Crop]
) -> Iterator[tuple[Window, list[int]]]:
    """Read what crops need, neighbours together, and which crops each part is for."""

    def area(span: tuple[int, int, int, int]) -> int:
        return (span[1] - span[0]) * (span[3] - span[2])

    groups: list[tuple[tuple[int, int, int, int], int, list[int]]] = []
    for position, crop in enumerate(crops):
        span = _needed(crop, plane.shape)
        if groups:
            held, largest, members = groups[-1]
            joined = (
                min(held[0], span[0]),
                max(held[1], span[1]),
                min(held[2], span[2]),
                max(held[3], span[3]),
            )
            largest = max(largest, area(span))
            if area(joined) <= max(_JOINED, largest):
                groups[-1] = (joined, largest, [*members, position])
                continue
        groups.append((span, area(span), [position]))
    for span, _, members in groups:
        yield Window(plane.read_raw(*span), span[0], span[2]), members


class Looker:
    """A network that looks at crops.

    Parameters
    ----------
    network
        In evaluation mode; it is laid out for the device it is on.
    size
        Network pixels of a crop's side.
    """

    def __init__(self, network: FocusNet, size: int) -> None:
        self.size = size
        self.device = next(network.parameters()).device
        # a copy: the loaded network stays what its file says
        self.network = fused(network)
        for parameter in self.network.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(
                    memory_format=torch.channels_last
                )
        self.network.half_decoder = self.device.type == "cpu" and computes_bfloat16()

    def look(
        self,
        plane: PlaneSource,
        asks: Sequence[Ask],
        cancelled: Callable[[], bool] | None = None,
    ) -> list[Seen]:
        """Answers to several crops of one plane, in their order."""

        def run(start: int, stop: int) -> list[Seen]:
            stop_if(cancelled)
            part = asks[start:stop]
            output = self.run(*self.inputs(plane, part))
            logits = output.logits.float().cpu().numpy()
            iou, presence = output.iou.tolist(), output.presence.sigmoid().tolist()
            return [
                Seen(item.crop, logits[row], iou[row], presence[row])
                for row, item in enumerate(part)
            ]

        return [seen for part in in_batches(len(asks), _BATCH, run) for seen in part]

    def inputs(
        self, plane: PlaneSource, asks: Sequence[Ask]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images ``(B, 3, S, S)`` and prompts ``(B, 11, S, S)``."""
        crops = [item.crop for item in asks]
        pictures: list[Any] = [None] * len(asks)
        for window, members in windows_of(plane, crops):
            for row in members:
                pictures[row] = window.planes(crops[row])
        drawn = [prompt_planes(item.crop, **item.prompts) for item in asks]
        return self._tensor(np.stack(pictures)), self._tensor(np.stack(drawn))

    def _tensor(self, values: Floats) -> torch.Tensor:
        tensor = torch.from_numpy(values).to(self.device)
        return tensor.contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(
        self, image: torch.Tensor, prompts: torch.Tensor, *, dense: bool = False
    ) -> Any:
        """What the network says, see :class:`~.focus.FocusOutput`."""
        # tiny numbers in the tails of activations are many times slower than zeros; what
        # else the thread computes keeps them
        torch.set_flush_denormal(True)
        try:
            return self.network(image, prompts, dense=dense)
        finally:
            torch.set_flush_denormal(False)
