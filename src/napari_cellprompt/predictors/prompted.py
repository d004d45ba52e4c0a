"""What the predictors of all SAM families share: prompts, masks, scores."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.inference.sam.decoding import (
    LOGIT_LIMIT,
    PromptBatch,
    gather_prompts,
)
from napari_cellprompt.core.inference.sam.searching.grid import (
    MaskModel,
    as_tensors,
    generate,
)
from napari_cellprompt.core.inference.searching import GridSettings
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.masks.regions import clean_small_regions
from napari_cellprompt.core.results import Results

from .base import SourcePredictor
from .sources import as_rgb8

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_cellprompt.core.inference.sam.whole_image import WholeImage

__all__ = ["GENERATE_OPTIONS", "PromptPredictor"]

_log = logging.getLogger(__name__)

# the overlap within one crop is a setting of the predictor, iou
GENERATE_OPTIONS = frozenset(field.name for field in fields(GridSettings)) - {"nms_thresh"}
"""Arguments of ``generate``, which a call without prompts takes as well."""


class PromptPredictor(SourcePredictor):
    """An image and prompts in, :class:`Results` out; made as every predictor is."""

    mask_threshold = 0.0
    call_options = SourcePredictor.call_options | GENERATE_OPTIONS

    @abstractmethod
    def _decode(
        self, features: Any, batch: PromptBatch, shape: tuple[int, int], *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Masks ``(N, M, s, s)`` and scores ``(N, M)``."""

    @property
    @abstractmethod
    def _whole(self) -> WholeImage:
        """The numerics of the family."""

    def _to_source(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """Low-resolution logits ``(C, s, s)`` at source size, ``(C, H, W)``."""
        return self._whole.to_source(logits, shape)

    # -- prediction ------------------------------------------------------------
    def inference(
        self,
        im: Any,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
        **generating: Any,
    ) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
        """Predict from prompts, or everything where there are none.

        See :meth:`prompt_inference` and :meth:`generate`, whose arguments are taken where
        there are no prompts.

        Raises
        ------
        PromptError
            Where prompts and arguments of ``generate`` come together.
        """
        prompts = self._take_prompts(
            bboxes=bboxes, points=points, labels=labels, masks=masks
        )
        if all(prompts[name] is None for name in ("bboxes", "points", "masks")):
            if prompts["labels"] is not None:
                raise PromptError("labels were given without points.")
            return self.generate(im, **generating)
        if generating:
            raise PromptError(
                f"{', '.join(sorted(generating))} say how everything is segmented where "
                "there are no prompts: leave them out, or the prompts."
            )
        return self.prompt_inference(im, **prompts, multimask_output=multimask_output)

    def generate(
        self,
        im: Any = None,
        crop_n_layers: int = 0,
        crop_overlap_ratio: float = 512 / 1500,
        crop_downscale_factor: int = 1,
        point_grids: Sequence[NDArray[Any]] | None = None,
        points_stride: int = 32,
        points_batch_size: int = 64,
        conf_thres: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 0.95,
        crop_nms_thresh: float = 0.7,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Segment everything from a grid of clicks; see :class:`GridSettings`.

        ``im`` is None or the model's input of the image that was set; or another image,
        ``(H, W)`` or ``(H, W, 3)`` of any type, which does not replace it. The overlap
        within one crop is the predictor's ``iou``.

        Returns
        -------
        tuple of Tensor
            Masks ``(N, H, W)`` bool at the size of the image, scores ``(N,)`` and boxes
            ``(N, 4)`` x0, y0, x1, y1, the last two exclusive.
        """
        settings = GridSettings(
            crop_n_layers=crop_n_layers,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_downscale_factor=crop_downscale_factor,
            point_grids=point_grids,
            points_stride=points_stride,
            points_batch_size=points_batch_size,
            conf_thres=conf_thres,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            crop_nms_thresh=crop_nms_thresh,
            nms_thresh=self.args.iou,
        )
        pixels, features = self._pixels, self.features
        if im is not None and im is not self.im:
            if isinstance(im, Tensor):
                raise TypeError(
                    "im must be an array, or None for the image that was set: crops are "
                    "encoded from the original pixels, which a tensor does not have."
                )
            pixels, features = as_rgb8(im), None
        if pixels is None:
            raise ImageError("There is no image: give one or call set_image first.")
        found = generate(self.mask_model(), pixels, settings, features=features)
        return as_tensors(found, (pixels.shape[0], pixels.shape[1]))

    def mask_model(self) -> MaskModel:
        """Encoding and decoding as the module ``generate`` needs them."""
        return MaskModel(
            encode=lambda crop: self.get_im_features(self.preprocess([crop])),
            decode=lambda seen, batch, shape: self._decode(
                seen, batch, shape, multimask=True
            ),
            upsample=self._to_source,
            threshold=self.mask_threshold,
        )

    def prompt_inference(
        self,
        im: Any,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Encode the image unless its features are kept, and decode the prompts.

        Parameters
        ----------
        im
            ``(1, 3, S, S)`` as :meth:`preprocess` returns it.
        bboxes, points, labels, masks
            See :func:`gather_prompts`.
        multimask_output
            Three masks per object instead of one.

        Returns
        -------
        tuple of Tensor
            Logits ``(C, s, s)`` at low resolution and scores ``(C,)``, the masks of
            one object next to each other.
        """
        with torch.inference_mode():
            kept = self.features if im is None or im is self.im else None
            features = self.get_im_features(im) if kept is None else kept
            shape = self._source_shape or (self.image_size, self.image_size)
            batch = self._gather(bboxes, points, labels, masks, shape)
            logits, scores = self._decode(
                features, batch, shape, multimask=multimask_output
            )
        return logits.flatten(0, 1), scores.flatten()

    def _gather(
        self, bboxes: Any, points: Any, labels: Any, masks: Any, shape: tuple[int, int]
    ) -> PromptBatch:
        return gather_prompts(
            bboxes=bboxes,
            points=points,
            labels=labels,
            masks=masks,
            shape=shape,
            low_res=self.image_size // 4,
        )

    def inference_features(
        self,
        features: Any,
        src_shape: tuple[int, int],
        dst_shape: tuple[int, int] | None = None,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Predict from features that were computed earlier.

        Parameters
        ----------
        features
            As :meth:`get_im_features` returned them.
        src_shape
            ``(H, W)`` of the image they belong to; prompts are in its pixels.
        dst_shape
            Size of the model's input; default the model's own.
        bboxes, points, labels, masks, multimask_output
            As in :meth:`prompt_inference`.

        Returns
        -------
        tuple of Tensor
            Masks ``(C, H, W)`` bool and ``(C, 6)`` x0, y0, x1, y1, score, class.
        """
        size = (self.image_size, self.image_size)
        if dst_shape is not None and tuple(dst_shape) != size:
            raise ValueError(
                f"dst_shape must be the model's input size {size}: got {dst_shape}."
            )
        with torch.inference_mode():
            batch = self._gather(bboxes, points, labels, masks, src_shape)
            logits, scores = self._decode(
                features, batch, src_shape, multimask=multimask_output
            )
            full = self._to_source(logits.flatten(0, 1), src_shape)
        result = self._results(full, scores.flatten(), None, src_shape)
        masks_found = torch.stack(
            [torch.from_numpy(item.mask.to_plane()) for item in result.objects]
        )
        return masks_found, result.boxes.data

    @staticmethod
    def remove_small_regions(
        masks: Any, min_area: float = 0, nms_thresh: float = 0.7
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Fill holes and drop islands; see :func:`clean_small_regions`."""
        return clean_small_regions(masks, min_area, nms_thresh)

    def postprocess(
        self,
        preds: tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor],
        img: Any,
        orig_imgs: Sequence[NDArray[Any]],
    ) -> list[Results]:
        """Bring masks to source size, find their boxes, empty those under ``conf``.

        Parameters
        ----------
        preds
            What :meth:`inference` returned.
        img
            The model's input; not needed.
        orig_imgs
            A list of the one source image.
        """
        image = orig_imgs[0]
        shape = (int(image.shape[0]), int(image.shape[1]))
        if len(preds) == 3:
            # generated masks come without logits: where they overlap, the surer one wins
            masks, scores, _ = preds
            pairs = zip(masks, scores, strict=True)
            surest = (torch.where(mask, score, -score) for mask, score in pairs)
            return [self._results(surest, scores, None, shape, image)]
        logits, scores = preds
        with torch.inference_mode():
            full = self._to_source(logits, shape)
        low_res = logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)
        return [self._results(full, scores, low_res, shape, image)]

    def _results(
        self,
        full: Iterable[Tensor],
        scores: Tensor,
        low_res: Tensor | None,
        shape: tuple[int, int],
        image: Any = None,
    ) -> Results:
        objects = [
            cut_candidate(
                logits.cpu().numpy(),
                score,
                plane_shape=shape,
                threshold=self.mask_threshold if score >= self.args.conf else math.inf,
            )
            for logits, score in zip(full, scores.float().tolist(), strict=True)
        ]
        return Results(orig_img=image, objects=objects, shape=shape, low_res=low_res)
