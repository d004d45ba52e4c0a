"""SAM 2 and 2.1 on single images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_cellprompt.core.inference.sam.encoding.preprocess import (
    normalise,
    resize_square,
)
from napari_cellprompt.core.inference.sam.whole_image import Sam2Image
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures

from .prompted import PromptPredictor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_cellprompt.core.inference.sam.decoding import PromptBatch

__all__ = ["SAM2Predictor"]


class SAM2Predictor(PromptPredictor):
    """Predicts masks on one image from points, boxes and masks.

    The whole image is squeezed to the model's square input, as Meta's package does;
    :class:`PlaneSegmenter` looks at large images at a scale that fits the object.

    Examples
    --------
    >>> predictor = SAM2Predictor(overrides={"model": "sam2.1_hiera_tiny"})
    >>> predictor.set_image(image)
    >>> result = predictor(points=[140, 88])[0]
    """

    family = "sam2"
    suggested_model = "cellprompt-nano"

    def pre_transform(self, im: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Bring a list of one ``(H, W, 3)`` uint8 image to the model's square.

        Returns a list of one ``(S, S, 3)`` float32 in 0..1.
        """
        if len(im) != 1:
            raise ValueError(f"im must be a list of exactly one image: got {len(im)}.")
        square = resize_square(im[0], self.image_size)
        return [square.permute(1, 2, 0).contiguous().numpy()]

    def preprocess(self, im: Sequence[NDArray[np.uint8]] | Tensor) -> Tensor:
        """Transform and normalise to ``(1, 3, S, S)``; a tensor is taken as ready."""
        if isinstance(im, Tensor):
            return im.to(self.loaded.device)
        x = torch.from_numpy(self.pre_transform(im)[0]).permute(2, 0, 1)[None]
        return normalise(x.to(self.loaded.device))

    def get_im_features(self, im: Tensor) -> dict[str, Any]:
        """Run the image encoder on ``(1, 3, S, S)``.

        Returns
        -------
        dict
            ``image_embed`` ``(1, D, S/16, S/16)`` with the no-memory code added, and
            ``high_res_feats``, a list of ``(1, D/8, S/4, S/4)`` and ``(1, D/4, S/8, S/8)``.
        """
        found = self._encode(im, self.loaded.sam.image_features)
        return {"image_embed": found.embed, "high_res_feats": list(found.high_res)}

    @property
    def _whole(self) -> Sam2Image:
        return Sam2Image(self.loaded, half=self.args.half)

    def _encode(
        self, im: Tensor, encoder: Callable[[Tensor], ImageFeatures]
    ) -> ImageFeatures:
        """Run an encoder on ``(1, 3, S, S)`` as ``half`` says; float32 comes out."""
        return self._whole.encode(im, encoder)

    def _decode(
        self, features: Any, batch: PromptBatch, shape: tuple[int, int], *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        low, high = features["high_res_feats"]
        seen = ImageFeatures(features["image_embed"], (low, high))
        return self._whole.decode(seen, batch, shape, multimask=multimask)
