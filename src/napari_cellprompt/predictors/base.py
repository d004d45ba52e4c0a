"""What all predictors do around a prediction: load a model, take images, give results."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.results import Results
from napari_cellprompt.core.zoo.load import LoadedModel, load_model

from .config import DEFAULT_CFG, PredictorConfig, make_config
from .events import Callback, collect_callbacks
from .sources import ChannelOrder, as_rgb8, iterate_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SourcePredictor"]

_log = logging.getLogger(__name__)


class SourcePredictor(ABC):
    """Images and prompts in, :class:`Results` out; families say how.

    Parameters
    ----------
    cfg, overrides
        Settings, see :class:`PredictorConfig`; overrides win.
    _callbacks
        Functions by event name (``EVENTS``), each called with the predictor.
    """

    family: ClassVar[str]
    """Of the models that it takes, ``"sam1"`` or ``"sam2"``."""
    suggested_model: ClassVar[str]
    """Of that family, for the sentence that refuses another one."""
    call_options: ClassVar[frozenset[str]] = frozenset(
        {"multimask_output", "contrast_limits", "channel_order"}
    )
    """What a call takes besides source and prompts."""
    source_options: ClassVar[frozenset[str]] = frozenset()
    """Those of them that :meth:`setup_source` takes."""

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

        Raises
        ------
        ValueError
            For a model that cannot be used here; the predictor stays as it was.
        """
        chosen = self.get_model() if model is None else model
        self._check_model(chosen)
        chosen.sam.eval().float()
        before, self.model = self.model, chosen
        if verbose:
            _log.info("%s on %s", chosen.spec.name, chosen.device)
        # the first model replaces none: what was set up for it, as the frames of a
        # video, stays when it is loaded in the middle of a call
        if before is not None and before is not chosen:
            self._forget_model()

    def _check_model(self, model: LoadedModel) -> None:
        if model.spec.family != self.family:
            raise ValueError(
                f"{type(self).__name__} needs a model of the family {self.family}, such as "
                f"overrides={{'model': '{self.suggested_model}'}}: got {model.spec.name} "
                f"of the family {model.spec.family}."
            )
        if self.args.half and model.device.type == "cpu":
            raise ValueError("half precision needs a GPU; use half=False on the CPU.")

    def _forget_model(self) -> None:
        """Drop what only the model before could use, when another one replaces it."""
        self.reset_image()

    @property
    def loaded(self) -> LoadedModel:
        """The model; loaded now where it was not before."""
        return self._load()

    def _load(self) -> LoadedModel:
        """Before a call takes any state, so that callbacks find the model as well."""
        if self.model is None:
            self.setup_model(verbose=self.args.verbose)
        if self.model is None:
            raise RuntimeError("setup_model did not set the model.")
        return self.model

    @property
    def image_size(self) -> int:
        """Side of the model's square input in pixels."""
        return self.loaded.sam.image_size

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

        Each of ``points``, ``labels``, ``bboxes`` and ``masks`` is used once, in place
        of what that call is given itself.
        """
        unknown = sorted(set(prompts) - {"points", "labels", "bboxes", "masks"})
        if unknown:
            raise PromptError(
                f"unknown prompts {', '.join(unknown)}; "
                "the known ones are points, labels, bboxes, masks."
            )
        self.prompts = dict(prompts)

    def _take_prompts(self, **given: Any) -> dict[str, Any]:
        """Given prompts, where :meth:`set_prompts` has kept none; its own are used up."""
        taken = {**given, **self.prompts}
        self.prompts = {}
        return taken

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
    def inference(self, *arguments: Any, **prompts: Any) -> Any:
        """Predict on the image whose features are kept."""

    @abstractmethod
    def postprocess(self, preds: Any, img: Any, orig_imgs: Any) -> list[Results]:
        """Bring what was predicted to the size of the source."""

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
            Those of ``call_options``.

        Raises
        ------
        TypeError
            For an argument that is none of them.
        """
        unknown = sorted(set(kwargs) - self.call_options)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} was called with unknown arguments "
                f"{', '.join(unknown)}; besides source, stream and prompts it takes "
                f"{', '.join(sorted(self.call_options))}."
            )
        opening = {key: kwargs.pop(key) for key in self.source_options & set(kwargs)}
        if opening and source is None:
            raise ValueError(
                f"{', '.join(sorted(opening))} say how a source is opened: give them "
                "together with it."
            )
        self.setup_source(source, **opening)
        prompts = self._take_prompts(
            bboxes=bboxes, points=points, labels=labels, masks=masks
        )
        given = {name: value for name, value in prompts.items() if value is not None}
        results = self._stream(given, **kwargs)
        return results if stream else list(results)

    def _stream(
        self,
        prompts: dict[str, Any],
        *,
        contrast_limits: tuple[float, float] | None = None,
        channel_order: ChannelOrder = "rgb",
        **options: Any,
    ) -> Iterator[Results]:
        """Results one by one; ``options`` are those of :meth:`inference`."""
        self._load()
        self._run_callbacks("on_predict_start")
        taken = None
        try:
            for path, array, pixels in self._images(contrast_limits, channel_order):
                self._run_callbacks("on_predict_batch_start")
                times = [time.perf_counter()]
                if pixels is not None:
                    # encoded for this call only: a set image stays what it is
                    self._take_image(path, array, pixels)
                    taken = self._image
                times.append(time.perf_counter())
                preds = self.inference(self.im, **options, **prompts)
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
        finally:
            # not an image that was set after this stream was left in the middle
            if taken is not None and self._image is taken:
                self.reset_image()
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
        for path, array in iterate_source(self.dataset):
            yield path, array, as_rgb8(array, limits=limits, channel_order=channel_order)

    def _save(self, result: Results) -> None:
        """Write a label TIFF; one of the same name is replaced."""
        import tifffile

        folder = Path(str(self.args.save)).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{Path(result.path or 'image').stem}_labels.tif"
        with replacing(target) as temporary:
            tifffile.imwrite(temporary, result.to_labels(), compression="zlib")
