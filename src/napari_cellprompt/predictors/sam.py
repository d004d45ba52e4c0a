"""The predictor of the SAM 1 family: one image, many prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from napari_cellprompt.core.inference.sam.decoding import PromptBatch, mask_to_logits
from napari_cellprompt.core.networks.sam2 import ImageFeatures

from .prompted import PromptPredictor, bilinear

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Predictor"]

_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)


class Predictor(PromptPredictor):
    """Predicts masks on one image with SAM ViT-B, L, H or MobileSAM.

    The longest side of the image is scaled to the model's input and the rest padded at
    the bottom and the right, as Meta's package does; :class:`PlaneSegmenter` looks at
    large images at a scale that fits the object.

    Examples
    --------
    >>> predictor = Predictor(overrides={"model": "mobile_sam"})
    >>> predictor.set_image(image)
    >>> result = predictor(points=[140, 88])[0]
    """

    family = "sam1"
    suggested_model = "mobile_sam"

    def pre_transform(self, im: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Scale the longest side of one ``(H, W, 3)`` uint8 image to ``imgsz``.

        Returns a list of one ``(h, w, 3)`` uint8; the padding follows in
        :meth:`preprocess`, after normalising.
        """
        if len(im) != 1:
            raise ValueError(f"im must be a list of exactly one image: got {len(im)}.")
        height, width = scaled_shape((im[0].shape[0], im[0].shape[1]), self.image_size)
        scaled = Image.fromarray(im[0]).resize((width, height), Image.Resampling.BILINEAR)
        return [np.asarray(scaled)]

    def preprocess(self, im: Sequence[NDArray[np.uint8]] | Tensor) -> Tensor:
        """Transform, normalise and pad to ``(1, 3, S, S)``; a tensor is taken as ready."""
        device = self.loaded.device
        if isinstance(im, Tensor):
            return im.to(device)
        # a copy: Pillow's pixels are read-only, which torch warns of
        pixels = torch.from_numpy(self.pre_transform(im)[0].copy()).to(device)
        x = pixels.permute(2, 0, 1)[None].float()
        mean, std = (x.new_tensor(v).reshape(1, 3, 1, 1) for v in (_MEAN, _STD))
        x = (x - mean) / std
        height, width = x.shape[-2:]
        return F.pad(x, (0, self.image_size - width, 0, self.image_size - height))

    def get_im_features(self, im: Tensor) -> Tensor:
        """Run the image encoder on ``(1, 3, S, S)``; ``(1, 256, S/16, S/16)``."""
        side = self.image_size
        if im.ndim != 4 or im.shape[1:] != (3, side, side):
            raise ValueError(f"im must be (1, 3, {side}, {side}): got {tuple(im.shape)}.")
        kind, half = im.device.type, self.args.half
        with torch.autocast(kind, dtype=torch.float16, enabled=half and kind != "cpu"):
            return self.loaded.network.image_features(im).embed.float()

    def _decode(
        self, features: Any, batch: PromptBatch, shape: tuple[int, int], *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        loaded, side = self.loaded, self.image_size
        scaled = scaled_shape(shape, side)
        # in float64 and by the rounded size, as Meta's package does
        ratio = np.array((scaled[1] / shape[1], scaled[0] / shape[0]))
        points = torch.from_numpy((batch.points * ratio).astype(np.float32))
        some = points.shape[1] > 0
        output = loaded.network.decode(
            ImageFeatures(features, ()),
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
        side = self.image_size
        resized = F.interpolate(given.float(), size=scaled, mode="bilinear", antialias=True)
        square = F.pad(resized, (0, side - scaled[1], 0, side - scaled[0]))
        return mask_to_logits(square, side // 4)

    def _to_source(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        height, width = scaled_shape(shape, self.image_size)
        square = bilinear(logits, (self.image_size, self.image_size))
        return bilinear(square[:, :height, :width], shape)


def scaled_shape(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of an image whose longest side becomes ``side``.

    Examples
    --------
    >>> scaled_shape((600, 800), 1024)
    (768, 1024)
    """
    scale = side / max(shape)
    return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)
