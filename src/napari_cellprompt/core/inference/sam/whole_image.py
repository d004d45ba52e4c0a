"""The whole image in the network's square input, as Meta's image predictors see it.

The numerics of the packages ``segment-anything`` and ``sam2``: SAM scales the longest side
and pads the rest, SAM 2 squeezes the image to a square.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from napari_cellprompt.core.inference.sam.encoding.preprocess import (
    normalise,
    resize_square,
)
from napari_cellprompt.core.inference.sam.searching.grid import MaskModel
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures

from .decoding import PromptBatch, decode_prompts, mask_to_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_cellprompt.core.zoo.load import LoadedModel

__all__ = ["Sam1Image", "Sam2Image", "WholeImage", "bilinear", "whole_image"]

_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)


class WholeImage(ABC):
    """Encodes one image and decodes prompts in its pixels.

    Parameters
    ----------
    loaded
        The network.
    half
        Encode in float16, on devices other than the processor.
    """

    def __init__(self, loaded: LoadedModel, *, half: bool = False) -> None:
        self.loaded = loaded
        self.half = half

    @property
    def side(self) -> int:
        """Of the network's square input in pixels."""
        return self.loaded.sam.image_size

    @abstractmethod
    def preprocess(self, pixels: NDArray[np.uint8]) -> Tensor:
        """``(H, W, 3)`` uint8 as the network takes it, ``(1, 3, S, S)`` float32."""

    @abstractmethod
    def decode(
        self,
        features: ImageFeatures,
        batch: PromptBatch,
        shape: tuple[int, int],
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Masks ``(N, M, s, s)`` and scores ``(N, M)`` for an image ``(H, W)``."""

    @abstractmethod
    def to_source(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """Low-resolution logits ``(C, s, s)`` at the image's size, ``(C, H, W)``."""

    def encode(
        self, x: Tensor, encoder: Callable[[Tensor], ImageFeatures] | None = None
    ) -> ImageFeatures:
        """Run an encoder, by default that of images, on ``(1, 3, S, S)``; float32."""
        side = self.side
        if x.ndim != 4 or x.shape[1:] != (3, side, side):
            raise ValueError(f"im must be (1, 3, {side}, {side}): got {tuple(x.shape)}.")
        run = self.loaded.sam.image_features if encoder is None else encoder
        kind = x.device.type
        with torch.autocast(kind, torch.float16, enabled=self.half and kind != "cpu"):
            found = run(self._laid_out(x))
        levels = tuple(level.float() for level in found.high_res)
        return ImageFeatures(found.embed.float(), levels)

    def _laid_out(self, x: Tensor) -> Tensor:
        return x

    def mask_model(self) -> MaskModel:
        """Encoding and decoding as the module ``grid`` needs them."""
        return MaskModel(
            encode=lambda crop: self.encode(self.preprocess(crop)),
            decode=lambda seen, batch, shape: self.decode(
                seen, batch, shape, multimask=True
            ),
            upsample=self.to_source,
        )


class Sam1Image(WholeImage):
    """SAM and MobileSAM: the longest side fits, the rest is padded."""

    def scale(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(H, W, 3)`` with its longest side as long as the input, ``(h, w, 3)``."""
        height, width = self.scaled_shape((pixels.shape[0], pixels.shape[1]))
        scaled = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(scaled)

    def scaled_shape(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of an image whose longest side becomes the input's."""
        scale = self.side / max(shape)
        return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)

    def preprocess(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Scale, normalise and pad."""
        return self.pad(self.scale(pixels))

    def pad(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Normalise what :meth:`scale` gave, and pad it at the bottom and the right."""
        # a copy: Pillow's pixels are read-only, which torch warns of
        x = torch.from_numpy(pixels.copy()).to(self.loaded.device)
        x = x.permute(2, 0, 1)[None].float()
        mean, std = (x.new_tensor(v).reshape(1, 3, 1, 1) for v in (_MEAN, _STD))
        x = (x - mean) / std
        height, width = x.shape[-2:]
        return F.pad(x, (0, self.side - width, 0, self.side - height))

    def decode(
        self,
        features: ImageFeatures,
        batch: PromptBatch,
        shape: tuple[int, int],
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Masks and scores."""
        loaded = self.loaded
        scaled = self.scaled_shape(shape)
        # in float64 and by the rounded size, as Meta's package does
        ratio = np.array((scaled[1] / shape[1], scaled[0] / shape[0]))
        points = torch.from_numpy((batch.points * ratio).astype(np.float32))
        some = points.shape[1] > 0
        output = loaded.sam.decode(
            ImageFeatures(features.embed, ()),
            None,
            points.to(loaded.device) if some else None,
            torch.from_numpy(batch.labels).to(loaded.device) if some else None,
            self._mask_input(batch.masks, scaled),
            multimask=multimask,
        )
        return output.masks.float(), output.iou.float()

    def _mask_input(
        self, masks: NDArray[Any] | None, scaled: tuple[int, int]
    ) -> Tensor | None:
        """Mask prompts as logits of the padded input, ``(N, 1, S/4, S/4)``."""
        if masks is None:
            return None
        given = torch.from_numpy(masks)[:, None].to(self.loaded.device)
        if given.dtype != torch.bool:
            return given
        resized = F.interpolate(given.float(), size=scaled, mode="bilinear", antialias=True)
        square = F.pad(resized, (0, self.side - scaled[1], 0, self.side - scaled[0]))
        return mask_to_logits(square, self.side // 4)

    def to_source(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """Logits without the padding, at the image's size."""
        height, width = self.scaled_shape(shape)
        square = bilinear(logits, (self.side, self.side))
        return bilinear(square[:, :height, :width], shape)


class Sam2Image(WholeImage):
    """SAM 2: the image is squeezed to a square."""

    def preprocess(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Squeeze and normalise."""
        return normalise(resize_square(pixels, self.side)[None].to(self.loaded.device))

    def _laid_out(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)

    def decode(
        self,
        features: ImageFeatures,
        batch: PromptBatch,
        shape: tuple[int, int],
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Masks and scores."""
        loaded = self.loaded
        device, side = loaded.device, self.side
        height, width = shape
        # divided and multiplied one after the other, in float32: as Meta's package rounds
        scaled = torch.from_numpy(batch.points)
        scaled = scaled / torch.tensor([width, height], dtype=torch.float32) * side
        logits = None
        if batch.masks is not None:
            logits = torch.from_numpy(batch.masks)[:, None].to(device)
            if logits.dtype == torch.bool:
                logits = mask_to_logits(logits, side // 4)
        output = decode_prompts(
            loaded.sam,
            features,
            scaled.to(device),
            torch.from_numpy(batch.labels).to(device),
            logits,
            drawing=loaded.spec.drawing,
            multimask=multimask,
        )
        return output.masks.float(), output.iou.float()

    def to_source(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """Logits at the image's size."""
        return bilinear(logits, shape)


def whole_image(loaded: LoadedModel, *, half: bool = False) -> WholeImage:
    """What a network of this family makes of a whole image."""
    kind = Sam1Image if loaded.spec.family == "sam1" else Sam2Image
    return kind(loaded, half=half)


def bilinear(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize ``(C, h, w)`` to ``(C, *shape)`` in float32."""
    return F.interpolate(logits[None].float(), size=shape, mode="bilinear")[0]
