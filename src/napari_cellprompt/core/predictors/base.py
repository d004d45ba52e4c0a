"""What the predictors of all SAM families share: sources, prompts, results."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core._atomic import replacing
from napari_cellprompt.core._errors import ImageError, PromptError
from napari_cellprompt.core.images.sources import ChannelOrder, as_rgb8, iterate_source
from napari_cellprompt.core.masks.crop import cut_candidate
from napari_cellprompt.core.masks.regions import clean_small_regions
from napari_cellprompt.core.zoo.load import LoadedModel, load_model

from .config import DEFAULT_CFG, PredictorConfig, make_config
from .events import Callback, collect_callbacks
from .generate import GridSettings, MaskModel, as_tensors, generate
from .prompting import LOGIT_LIMIT, PromptBatch, gather_prompts
from .results import Results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PromptPredictor", "bilinear"]

_log = logging.getLogger(__name__)


class PromptPredictor(ABC):
    """An image and prompts in, :class:`Results` out.

    Parameters
    ----------
    cfg, overrides
        Settings, see :class:`PredictorConfig`; overrides win.
    _callbacks
        Functions by event name (``EVENTS``), each called with the predictor.
    """

    mask_threshold = 0.0

    def __init__(
        self,
        cfg: PredictorConfig | Mapping[str, Any] = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        _callbacks: Mapping[str, Sequence[Callback]] | None = None,
    ) -> None:
        self.args = make_config(cfg, overrides)
        self.callbacks = collect_callbacks(_callbacks)
        self.model: LoadedModel | None = None
        self.im: Tensor | None = None
        self.features: Any = None
        self.prompts: dict[str, Any] = {}
        self.dataset: Any = None
        self._image: tuple[str, NDArray[Any]] | None = None
        self._source_shape: tuple[int, int] | None = None
        self._pixels: NDArray[np.uint8] | None = None

    # -- set-up ----------------------------------------------------------------
    def get_model(self) -> LoadedModel:
        """Load the network that the settings name."""
        return load_model(
            self.args.model, image_size=self.args.imgsz, device=self.args.device
        )

    def setup_model(self, model: LoadedModel | None = None, verbose: bool = True) -> None:
        """Take a loaded model, or load the one that the settings name.

        Parameters
        ----------
        model
            As :func:`load_model` returns it; must be of this predictor's family.
        verbose
            Log what was loaded.
        """
        self.model = self.get_model() if model is None else model
        network = self.model.network.eval()
        if self.args.half and self.model.device.type == "cpu":
            raise ValueError("half precision needs a GPU; use half=False on the CPU.")
        network.float()
        if verbose:
            _log.info("%s on %s", self.model.spec.name, self.model.device)
        self.reset_image()

    @property
    def loaded(self) -> LoadedModel:
        """The model; loaded now where it was not before."""
        if self.model is None:
            self.setup_model(verbose=self.args.verbose)
        if self.model is None:
            raise RuntimeError("setup_model did not set the model.")
        return self.model

    @property
    def image_size(self) -> int:
        """Side of the model's square input in pixels."""
        return self.loaded.network.image_size

    def _run_callbacks(self, event: str) -> None:
        for function in self.callbacks[event]:
            function(self)

    # -- images ----------------------------------------------------------------
    def setup_source(self, source: Any = None) -> None:
        """Choose what the next calls without ``source`` run on; None keeps it.

        A file, array, folder, list, multi-page TIFF or video.
        """
        if source is not None:
            self.dataset = source
            self.reset_image()

    def set_image(
        self,
        image: Any,
        *,
        contrast_limits: tuple[float, float] | None = None,
        channel_order: ChannelOrder = "rgb",
    ) -> None:
        """Encode one image and keep its features for the calls that follow.

        Parameters
        ----------
        image
            ``(H, W)`` or ``(H, W, 3)``, or the path of a file with one image.
        contrast_limits
            Grey values that become 0 and 255; default: uint8 as it is, else the
            percentiles 0.1 and 99.9.
        channel_order
            "bgr" for arrays of OpenCV.

        Raises
        ------
        ImageError
            For more or less than exactly one image.
        """
        found: list[tuple[str, NDArray[Any]]] = []
        for item in iterate_source(image):
            found.append(item)
            if len(found) > 1:
                raise ImageError("set_image takes exactly one image: got more than one.")
        if not found:
            raise ImageError("set_image takes exactly one image: got none.")
        path, array = found[0]
        self.reset_image()
        pixels = as_rgb8(array, limits=contrast_limits, channel_order=channel_order)
        self._take_image(path, array, pixels)

    def _take_image(
        self, path: str, array: NDArray[Any], pixels: NDArray[np.uint8]
    ) -> None:
        im = self.preprocess([pixels])
        with torch.inference_mode():
            self.features = self.get_im_features(im)
        self.im = im
        self._image = (path, array)
        self._source_shape = (pixels.shape[0], pixels.shape[1])
        self._pixels = pixels

    def reset_image(self) -> None:
        """Forget the image and its features."""
        self.im = None
        self.features = None
        self._image = None
        self._source_shape = None
        self._pixels = None

    def set_prompts(self, prompts: Mapping[str, Any]) -> None:
        """Keep prompts for the next call.

        Each of ``points``, ``labels``, ``bboxes`` and ``masks`` is used once;
        what a call is given itself wins.
        """
        unknown = sorted(set(prompts) - {"points", "labels", "bboxes", "masks"})
        if unknown:
            raise PromptError(
                f"unknown prompts {', '.join(unknown)}; "
                "the known ones are points, labels, bboxes, masks."
            )
        self.prompts = dict(prompts)

    @abstractmethod
    def pre_transform(self, im: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]:
        """Bring a list of one HWC image to the model's input size."""

    @abstractmethod
    def preprocess(self, im: Sequence[NDArray[np.uint8]] | Tensor) -> Tensor:
        """Transform and normalise to ``(1, 3, S, S)`` float32 on the device.

        A tensor is taken as ready.
        """

    @abstractmethod
    def get_im_features(self, im: Tensor) -> Any:
        """Run the image encoder on ``(1, 3, S, S)``."""

    @abstractmethod
    def _decode(
        self, features: Any, batch: PromptBatch, shape: tuple[int, int], *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Masks ``(N, M, s, s)`` and scores ``(N, M)``."""

    @abstractmethod
    def _to_source(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """Low-resolution logits ``(C, s, s)`` at source size, ``(C, H, W)``."""

    # -- prediction ------------------------------------------------------------
    def __call__(
        self,
        source: Any = None,
        stream: bool = False,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        **kwargs: Any,
    ) -> list[Results] | Iterator[Results]:
        """Predict on each image of a source, or on the image that was set.

        Parameters
        ----------
        source
            See :meth:`setup_source`.
        stream
            Return a generator, so that only one image is in memory.
        bboxes, points, labels, masks
            See :func:`gather_prompts`; the same for every image.
        kwargs
            ``multimask_output``, ``contrast_limits``, ``channel_order``.
        """
        self.setup_source(source)
        prompts = {"bboxes": bboxes, "points": points, "labels": labels, "masks": masks}
        given = {name: value for name, value in prompts.items() if value is not None}
        # labels kept from set_prompts belong to its points, not to new ones
        if "points" in given:
            self.prompts.pop("labels", None)
        merged = {**self.prompts, **given}
        self.prompts = {}
        results = self._stream(merged, **kwargs)
        return results if stream else list(results)

    def _stream(
        self,
        prompts: dict[str, Any],
        *,
        multimask_output: bool = False,
        contrast_limits: tuple[float, float] | None = None,
        channel_order: ChannelOrder = "rgb",
    ) -> Iterator[Results]:
        self._run_callbacks("on_predict_start")
        for path, array, pixels in self._images(contrast_limits, channel_order):
            self._run_callbacks("on_predict_batch_start")
            times = [time.perf_counter()]
            if pixels is not None:
                # encoded for this call only: a set image stays what it is
                self._take_image(path, array, pixels)
            times.append(time.perf_counter())
            preds = self.inference(self.im, multimask_output=multimask_output, **prompts)
            times.append(time.perf_counter())
            result = self.postprocess(preds, self.im, [array])[0]
            result.path = path
            times.append(time.perf_counter())
            stages = ("preprocess", "inference", "postprocess")
            for name, start, stop in zip(stages, times[:-1], times[1:], strict=True):
                result.speed[name] = (stop - start) * 1000
            if self.args.verbose:
                _log.info("%s: %d objects", path or "array", len(result))
            if self.args.save is not None:
                self._save(result)
            self._run_callbacks("on_predict_postprocess_end")
            yield result
        self._run_callbacks("on_predict_end")

    def _images(
        self, limits: tuple[float, float] | None, channel_order: ChannelOrder
    ) -> Iterator[tuple[str, NDArray[Any], NDArray[np.uint8] | None]]:
        """Path, image and its 8-bit pixels; None for an image whose features are kept."""
        if self._image is not None:
            yield (*self._image, None)
            return
        if self.dataset is None:
            raise ImageError("There is no image: give a source or call set_image first.")
        try:
            for path, array in iterate_source(self.dataset):
                yield (
                    path,
                    array,
                    as_rgb8(array, limits=limits, channel_order=channel_order),
                )
        finally:
            self.reset_image()

    def _save(self, result: Results) -> None:
        """Write a label TIFF; one of the same name is replaced."""
        import tifffile

        folder = Path(str(self.args.save)).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{Path(result.path or 'image').stem}_labels.tif"
        with replacing(target) as temporary:
            tifffile.imwrite(temporary, result.to_labels(), compression="zlib")

    def inference(
        self,
        im: Any,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
        """Predict from prompts, or everything where there are none.

        See :meth:`prompt_inference` and :meth:`generate`.
        """
        if bboxes is None and points is None and masks is None:
            if labels is not None:
                raise PromptError("labels were given without points.")
            return self.generate(im)
        return self.prompt_inference(
            im, bboxes, points, labels, masks, multimask_output=multimask_output
        )

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


def bilinear(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize ``(C, h, w)`` to ``(C, *shape)`` in float32."""
    return F.interpolate(logits[None].float(), size=shape, mode="bilinear")[0]
