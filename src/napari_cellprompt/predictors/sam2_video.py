"""SAM 2 and 2.1 on the frames of a stack or movie, from prompts on any of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.inference.cache import FeatureCache
from napari_cellprompt.core.inference.following import TrackSettings
from napari_cellprompt.core.inference.sam.encoding.preprocess import resize_bicubic
from napari_cellprompt.core.networks.sam.sam2 import SAM2, ImageFeatures
from napari_cellprompt.core.results import Results

from .base import SourcePredictor
from .config import DEFAULT_CFG, PredictorConfig
from .events import Callback
from .frames import open_frames
from .sam2_image import SAM2Predictor
from .video_state import VideoState
from .video_tracker import (
    Direction,
    Switches,
    VideoTracker,
    check_prompts,
    plan_passes,
    separate,
    single_prompts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.images.stack import ImageStack

__all__ = ["DEFAULT_FEATURE_BYTES", "SAM2VideoPredictor"]

DEFAULT_FEATURE_BYTES = 512 * 1024**2
"""Features of frames that are kept for corrections and for the way back."""


class SAM2VideoPredictor(SAM2Predictor):
    """Follows objects through the frames of a stack or movie.

    Whole frames are squeezed to the model's square input, with Meta's numerics
    (``sam2`` 1.1.0, state per object); :class:`StackPropagator` looks at large planes at
    a scale that fits the object.

    Parameters
    ----------
    cfg, overrides, _callbacks
        As for every predictor.
    settings
        Which memories tracking uses; None takes what the model was made for.
    feature_bytes
        Budget for the features of frames, see ``DEFAULT_FEATURE_BYTES``.

    Attributes
    ----------
    non_overlap_masks : bool
        Where masks overlap the higher logit wins, in results only, never in memory.
    clear_non_cond_mem_around_input : bool
        Forget what was tracked near a prompted frame when it enters the memory; only
        with a single object, unless ``clear_non_cond_mem_for_multi_obj`` is set.
    add_all_frames_to_correct_as_cond : bool
        A correction on a tracked frame sticks. False is Meta's default, under which the
        next propagation replaces it.
    start_at_first_prompt : bool
        Objects are absent on frames that tracking passes before their first prompt.
        False tracks them there too, from the future, as Meta's package does.
    prune_memory : bool
        Keep memories of the frames near the current one and near prompts only, and
        results further back in half precision; memory then hardly grows with the stack.

    Examples
    --------
    >>> predictor = SAM2VideoPredictor()
    >>> predictor.setup_source(stack)
    >>> predictor.add_new_prompts(1, points=[140, 88], frame_idx=4)
    >>> for frame, result in predictor.propagate():
    ...     labels[frame] = result.to_labels()
    """

    source_options = frozenset({"along", "axes", "channel", "contrast_limits"})
    call_options = SourcePredictor.call_options | source_options

    def __init__(
        self,
        cfg: PredictorConfig | Mapping[str, Any] = DEFAULT_CFG,
        overrides: Mapping[str, Any] | None = None,
        _callbacks: Mapping[str, Sequence[Callback]] | None = None,
        *,
        settings: TrackSettings | None = None,
        feature_bytes: int = DEFAULT_FEATURE_BYTES,
    ) -> None:
        super().__init__(cfg, overrides, _callbacks)
        self.non_overlap_masks = True
        self.clear_non_cond_mem_around_input = False
        self.clear_non_cond_mem_for_multi_obj = False
        self.add_all_frames_to_correct_as_cond = True
        self.start_at_first_prompt = True
        self.prune_memory = True
        self.frames: ImageStack | None = None
        self.inference_state: VideoState | None = None
        self.cache: FeatureCache[ImageFeatures] = FeatureCache(feature_bytes)
        self._settings = settings
        self._current = 0
        self.callbacks["on_predict_start"].insert(0, self.init_state)

    # -- set-up ----------------------------------------------------------------
    def _forget_model(self) -> None:
        super()._forget_model()
        self.cache.clear()
        self.reset_state()

    @property
    def settings(self) -> TrackSettings:
        """Which memories tracking uses."""
        if self._settings is not None:
            return self._settings
        drawing = self.loaded.spec.drawing
        carry = drawing is not None and drawing.carry
        return TrackSettings(multimask=drawing is None, carry=carry)

    @settings.setter
    def settings(self, value: TrackSettings | None) -> None:
        self._settings = value

    def setup_source(
        self,
        source: Any = None,
        *,
        along: str | None = None,
        axes: str | None = None,
        channel: int | None = None,
        contrast_limits: tuple[float, float] | Literal["auto"] | None = None,
    ) -> None:
        """Choose the frames and forget all objects; None keeps both.

        Parameters
        ----------
        source, along, axes, channel
            See :func:`open_frames`; frames are read when they are needed.
        contrast_limits
            Grey values that become 0 and 255 on all frames; default: uint8 as it is,
            else the percentiles 0.1 and 99.9 of the whole stack.
        """
        if source is None:
            return
        super().setup_source(source)
        self.frames = open_frames(
            source, along=along, axes=axes, channel=channel, limits=contrast_limits
        )
        self.cache.clear()
        self.reset_state()

    @property
    def _opened(self) -> ImageStack:
        if self.frames is None:
            raise ImageError("There are no frames: call setup_source first.")
        return self.frames

    @staticmethod
    def init_state(predictor: SAM2VideoPredictor) -> None:
        """Make a fresh state for the frames of a predictor; one that exists is kept.

        Raises
        ------
        ImageError
            Where no frames were given yet.
        """
        if predictor.inference_state is not None:
            return
        frames = predictor._opened
        predictor.inference_state = VideoState(len(frames), frames.shape)

    @property
    def state(self) -> VideoState:
        """The state; made now where there was none."""
        self.init_state(self)
        if self.inference_state is None:
            raise RuntimeError("init_state did not make a state.")
        return self.inference_state

    # -- images ----------------------------------------------------------------
    def pre_transform(self, im: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Bring a list of one ``(H, W, 3)`` uint8 image to the model's square.

        As Meta's video predictor does, bicubic on 8 bits; its image predictor is
        bilinear. Returns a list of one ``(S, S, 3)`` float32 in 0..1.
        """
        if len(im) != 1:
            raise ValueError(f"im must be a list of exactly one image: got {len(im)}.")
        return [resize_bicubic(im[0], self.image_size)]

    def get_im_features(self, im: Tensor, batch: int = 1) -> dict[str, Any]:
        """Run the image encoder, see :class:`SAM2Predictor`, for ``batch`` objects."""
        found = super().get_im_features(im)
        return {
            "image_embed": found["image_embed"].expand(batch, -1, -1, -1),
            "high_res_feats": [
                level.expand(batch, -1, -1, -1) for level in found["high_res_feats"]
            ],
        }

    def read_frame(self, frame_idx: int) -> NDArray[np.uint8]:
        """A frame as the model sees it, ``(H, W, 3)`` uint8."""
        height, width = self._opened.shape
        pixels = self._opened.plane(frame_idx).read(0, height, 0, width)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)

    def frame_features(self, frame_idx: int) -> ImageFeatures:
        """Features of a frame, without the no-memory code; encoded once while they fit."""
        found = self.cache.get(frame_idx)
        if found is None:
            x = self.preprocess([self.read_frame(frame_idx)])
            found = self._encode(x, self._network.frame_features)
            self.cache.put(frame_idx, found, found.nbytes)
        return found

    @property
    def _network(self) -> SAM2:
        return self.loaded.with_memory

    @property
    def _tracker(self) -> VideoTracker:
        """With the switches as they are now."""
        return VideoTracker(
            self._network,
            self.loaded.spec.drawing,
            self.frame_features,
            self.state,
            self.settings,
            Switches(
                clear_around_input=self.clear_non_cond_mem_around_input,
                clear_for_multi_obj=self.clear_non_cond_mem_for_multi_obj,
                corrections_stick=self.add_all_frames_to_correct_as_cond,
                start_at_first_prompt=self.start_at_first_prompt,
                prune_memory=self.prune_memory,
            ),
        )

    # -- prompts ---------------------------------------------------------------
    @torch.inference_mode()
    def add_new_prompts(
        self,
        obj_id: int,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        frame_idx: int = 0,
        bboxes: Any = None,
    ) -> tuple[Tensor, Tensor]:
        """Prompt one object on one frame, or correct it where it was tracked.

        What was said before about this object on this frame is replaced, but its mask
        there goes in as well.

        Parameters
        ----------
        obj_id
            A positive number; a new one adds an object, at any time.
        points, labels
            ``(2,)`` or ``(K, 2)`` x, y in pixels of the frame: K points of this object,
            and 1 (object, the default) or 0 (background) for each.
        masks
            ``(H, W)`` bool or integer, taken as it is; alone.
        frame_idx
            Index of the frame.
        bboxes
            ``(4,)`` x0, y0, x1, y1.

        Returns
        -------
        tuple of Tensor
            Logits ``(N, S/4, S/4)`` of all objects on this frame, in the order of
            ``inference_state.obj_ids``, and scores ``(N,)``; :meth:`frame_result` gives
            them at the size of the frame.

        Raises
        ------
        PromptError
            Where the prompts do not fit each other or the frame.
        """
        state = self.state
        given = check_prompts(state, obj_id, frame_idx, points, labels, masks, bboxes)
        self._tracker.prompt(int(obj_id), int(frame_idx), given)
        return self._outcomes(frame_idx)

    @torch.inference_mode()
    def propagate_in_video_preflight(self) -> None:
        """Encode what was prompted into memory.

        Raises
        ------
        PromptError
            Where no object has any prompt.
        """
        self._tracker.consolidate()

    def remove_object(self, obj_id: int) -> None:
        """Forget an object; the others stay as they are."""
        del self.state.objects[self.state.check_object(obj_id)]

    def clear_prompts(self, obj_id: int, frame_idx: int | None = None) -> None:
        """Take back what was said about an object, on one frame or on all.

        Its masks there stay until the object is propagated again; they no longer
        condition other frames.
        """
        self.state.clear_prompts(self.state.check_object(obj_id), frame_idx)

    def reset_state(self) -> None:
        """Forget all objects and begin with the first frame; features of frames stay."""
        self.inference_state = None
        self._current = 0

    # -- tracking --------------------------------------------------------------
    def propagate(
        self,
        start: int | None = None,
        stop: int | tuple[int, int] | None = None,
        direction: Direction = "both",
        obj_ids: Sequence[int] | None = None,
    ) -> Iterator[tuple[int, Results]]:
        """Follow objects from frame to frame; prompted frames are left as they are.

        Frames that were tracked before are tracked again, from features that are kept.

        Parameters
        ----------
        start
            The frame to begin with; None: forwards the earliest frame that is an
            object's first prompt, backwards the latest.
        stop
            The last frame, itself included; with ``"both"`` a pair, the first and the
            last. None: the ends of the stack.
        direction
            "forward", "backward", or "both", first forwards and then backwards.
        obj_ids
            The objects to be tracked; None: all.

        Yields
        ------
        int, Results
            Each frame when it is done, with all objects in the order of
            ``inference_state.obj_ids``, empty where they are not. With "both", frames
            between the first prompts of several objects come a second time.

        Raises
        ------
        PromptError
            Where there are no prompts, or a frame or object is not there.
        """
        ids = self.state.obj_ids if obj_ids is None else list(obj_ids)
        ids = [self.state.check_object(obj_id) for obj_id in ids]
        passes = plan_passes(self.state, start, stop, direction)
        self.propagate_in_video_preflight()
        for frame in self._tracker.run(passes, ids):
            yield frame, self.frame_result(frame)

    # -- results ---------------------------------------------------------------
    def _outcomes(self, frame: int) -> tuple[Tensor, Tensor]:
        """Low-resolution logits ``(N, s, s)`` and scores ``(N,)`` of all objects."""
        return self.state.logits(frame, self.image_size // 4)

    @torch.inference_mode()
    def frame_result(self, frame_idx: int) -> Results:
        """All objects on one frame as they are known now; empty where they are not."""
        frame_idx = self.state.check_frame(frame_idx, "frame_idx")
        logits, scores = self._outcomes(frame_idx)
        result = self._video_results(logits, scores)
        result.path = ""
        return result

    def _video_results(self, logits: Tensor, scores: Tensor, image: Any = None) -> Results:
        """Results at the size of the frames, without overlap where that is asked for."""
        shape = self.state.shape
        full = self._to_source(logits, shape) if len(logits) else logits
        if self.non_overlap_masks:
            full = separate(full)
        found = self._results(full, scores, logits.clamp(-32, 32), shape, image)
        return Results(
            orig_img=image,
            objects=found.objects,
            ids=self.state.obj_ids,
            shape=shape,
            low_res=found.low_res,
        )

    def postprocess(
        self,
        preds: tuple[Tensor, ...],
        img: Any,
        orig_imgs: Sequence[NDArray[Any]],
    ) -> list[Results]:
        """As the image predictor, then the constraint that masks do not overlap."""
        with torch.inference_mode():
            logits, scores = preds[:2]
            return [self._video_results(logits, scores, orig_imgs[0])]

    # -- calling ---------------------------------------------------------------
    @torch.inference_mode()
    def inference(  # type: ignore[override]  # nothing is generated on a video
        self,
        im: Any = None,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        multimask_output: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """One frame of the source: prompts are taken there, and all objects tracked.

        Each row of the prompts is a new object with the next free id.

        Returns
        -------
        tuple of Tensor
            Logits ``(N, S/4, S/4)`` and scores ``(N,)`` of all objects.
        """
        state = self.state
        prompts = self._take_prompts(
            bboxes=bboxes, points=points, labels=labels, masks=masks
        )
        if all(prompts[name] is None for name in ("bboxes", "points", "masks")):
            if prompts["labels"] is not None:
                raise PromptError("labels were given without points.")
        else:
            batch = self._gather(**prompts, shape=state.shape)
            for given in single_prompts(batch):
                number = max(state.objects, default=0) + 1
                self._tracker.prompt(number, self._current, given)
        self.propagate_in_video_preflight()
        self._tracker.track(self._current, state.obj_ids, set(), reverse=False)
        return self._outcomes(self._current)

    def _stream(
        self,
        prompts: dict[str, Any],
        *,
        multimask_output: bool = False,
        **options: Any,
    ) -> Iterator[Results]:
        """As every predictor; ``options`` there are none more."""
        if multimask_output or options.get("channel_order", "rgb") != "rgb":
            raise ValueError(
                "A video takes RGB frames only, and gives one mask for each object: leave "
                "out multimask_output and channel_order."
            )
        self._load()
        self._run_callbacks("on_predict_start")
        for frame in range(self.state.num_frames):
            self._current = frame
            self._run_callbacks("on_predict_batch_start")
            started = time.perf_counter()
            preds = self.inference(None, **prompts)
            prompts = {}
            tracked = time.perf_counter()
            result = self.postprocess(preds, None, [self.read_frame(frame)])[0]
            result.path = str(frame)
            result.speed["inference"] = (tracked - started) * 1000
            result.speed["postprocess"] = (time.perf_counter() - tracked) * 1000
            if self.args.save is not None:
                self._save(result)
            self._run_callbacks("on_predict_postprocess_end")
            yield result
        self._run_callbacks("on_predict_end")

    # -- saving ----------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """All objects, their memories and results, to be stored by ``torch.save``."""
        return {
            "model": self.loaded.spec.name,
            "image_size": self.image_size,
            **self.state.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up where a predictor with the same model and frames has stopped.

        Raises
        ------
        ValueError
            Where model, input size or frames are others.
        """
        here = {"model": self.loaded.spec.name, "image_size": self.image_size}
        self.state.check_stored(state, here)
        self.inference_state = VideoState.from_state_dict(dict(state), self.loaded.device)
