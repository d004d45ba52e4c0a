"""The predictor of the SAM 1 family: one image, many prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from napari_cellprompt.core.inference.sam.whole_image import Sam1Image
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures

from .prompted import PromptPredictor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_cellprompt.core.inference.sam.decoding import PromptBatch

__all__ = ["Predictor"]


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
        return [self._whole.scale(im[0])]

    def preprocess(self, im: Sequence[NDArray[np.uint8]] | Tensor) -> Tensor:
        """Transform, normalise and pad to ``(1, 3, S, S)``; a tensor is taken as ready."""
        if isinstance(im, Tensor):
            return im.to(self.loaded.device)
        return self._whole.pad(self.pre_transform(im)[0])

    def get_im_features(self, im: Tensor) -> Tensor:
        """Run the image encoder on ``(1, 3, S, S)``; ``(1, 256, S/16, S/16)``."""
        return self._whole.encode(im).embed

    @property
    def _whole(self) -> Sam1Image:
        return Sam1Image(self.loaded, half=self.args.half)

    def _decode(
        self, features: Any, batch: PromptBatch, shape: tuple[int, int], *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        seen = ImageFeatures(features, ())
        return self._whole.decode(seen, batch, shape, multimask=multimask)
