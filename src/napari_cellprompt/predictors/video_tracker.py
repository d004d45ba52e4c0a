"""Prompts into memory, and objects from frame to frame, for the video predictor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.sam.decoding import PromptBatch, gather_prompts
from napari_cellprompt.core.inference.sam.tracking import (
    ObjectFrame,
    TrackSettings,
    condition_objects,
    encode_frames,
    mask_frame,
    prompt_frame,
    track_frame,
)

from .config import is_whole
from .video_state import FramePrompts, Outcome, VideoObject, VideoState

if TYPE_CHECKING:
    from napari_cellprompt.core.networks.sam.sam2 import SAM2, ImageFeatures
    from napari_cellprompt.core.zoo.registry import DrawingSpec

__all__ = [
    "Direction",
    "Switches",
    "VideoTracker",
    "check_prompts",
    "plan_passes",
    "separate",
    "single_prompts",
]

_HIDDEN = -10.0
"""Logits of an object are at most this where another one covers it."""

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, slots=True)
class Switches:
    """See the attributes of :class:`SAM2VideoPredictor`."""

    clear_around_input: bool
    clear_for_multi_obj: bool
    corrections_stick: bool
    start_at_first_prompt: bool
    prune_memory: bool


@dataclass(frozen=True, slots=True)
class VideoTracker:
    """Works on a state with a network; keeps nothing itself."""

    network: SAM2
    drawing: DrawingSpec | None
    features: Callable[[int], ImageFeatures]
    """Those of a frame, without the no-memory code."""
    state: VideoState
    settings: TrackSettings
    switches: Switches

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.network.no_mem_embed.device

    # -- prompts ---------------------------------------------------------------
    def prompt(self, obj_id: int, frame: int, given: FramePrompts) -> None:
        """Take what was said about an object on a frame, and the network's answer."""
        item = self.state.objects.get(obj_id) or VideoObject()
        found = self._answer(item, frame, given)
        self.state.objects[obj_id] = item
        item.prompts[frame] = given
        item.pending[frame] = found
        item.outcomes[frame] = Outcome.of(found)
        item.corrections.discard(frame)
        if frame in item.reverse and not self.switches.corrections_stick:
            item.corrections.add(frame)

    def _answer(self, item: VideoObject, frame: int, given: FramePrompts) -> ObjectFrame:
        """What the network says to prompts; nothing is changed."""
        features, device = self.features(frame), self.device
        side = self.network.image_size
        if given.mask is not None:
            mask = torch.from_numpy(given.mask)[None, None].float().to(device)
            size = (side, side)
            mask = F.interpolate(mask, size=size, mode="bilinear", antialias=True)
            return mask_frame(self.network, features, (mask >= 0.5).float())[0]
        height, width = self.state.shape
        scaled = torch.from_numpy(given.points)[None]
        scaled = scaled / torch.tensor([width, height], dtype=torch.float32) * side
        before = item.pending.get(frame) or item.memory.at(frame)
        logits = None if before is None else before.low_res[None]
        if logits is None and frame in item.outcomes:
            logits = item.outcomes[frame].low_res()[None, None].to(device)
        if frame in item.reverse and item.memory.prompted:
            seen = condition_objects(
                self.network,
                features,
                [item.memory],
                frame,
                reverse=item.reverse[frame],
                num_frames=self.state.num_frames,
                settings=self.settings,
            )
        else:
            seen = self.network.without_memory(features)
        return prompt_frame(
            self.network,
            seen,
            scaled.to(device),
            torch.from_numpy(given.labels)[None].to(device),
            logits,
            drawing=self.drawing,
        )[0]

    def consolidate(self) -> None:
        """Encode what was prompted into memory; :class:`PromptError` without any."""
        state = self.state
        for item in state.objects.values():
            for frame, found in item.pending.items():
                (encoded,) = encode_frames(
                    self.network, self.features(frame), [found], binarize=True
                )
                if frame in item.corrections:
                    item.memory.tracked[frame] = replace(encoded, prompted=False)
                else:
                    item.memory.prompted[frame] = encoded
                    item.memory.tracked.pop(frame, None)
                self._clear_around(item, frame)
            item.pending.clear()
            item.corrections.clear()
        if not state.consolidated_frame_inds:
            raise PromptError(
                "There is nothing to propagate: prompt an object on a frame first."
            )

    def _clear_around(self, item: VideoObject, frame: int) -> None:
        if not self.switches.clear_around_input or (
            len(self.state.objects) > 1 and not self.switches.clear_for_multi_obj
        ):
            return
        reach = self.settings.stride * self.network.num_maskmem
        for index in range(frame - reach, frame + reach + 1):
            item.memory.tracked.pop(index, None)

    # -- tracking --------------------------------------------------------------
    def begin(self, ids: Sequence[int], reverse: bool) -> int:
        """The first frame of a pass: an object's first prompt, the earliest of all, or
        the latest where tracking goes backwards.
        """
        firsts = [
            min(item.memory.prompted)
            for obj_id in ids
            if (item := self.state.objects[obj_id]).memory.prompted
        ]
        if not firsts:
            raise PromptError("None of the objects to propagate has a prompt.")
        return max(firsts) if reverse else min(firsts)

    def run(
        self, passes: Sequence[tuple[bool, int | None, int]], ids: Sequence[int]
    ) -> Iterator[int]:
        """Track objects over passes of :func:`plan_passes`; yields each frame when done."""
        done: set[tuple[int, int]] = set()
        for reverse, first, last in passes:
            begin = self.begin(ids, reverse) if first is None else first
            for frame in range(begin, last - 1, -1) if reverse else range(begin, last + 1):
                if self.track(frame, ids, done, reverse=reverse):
                    yield frame

    @torch.inference_mode()
    def track(
        self, frame: int, ids: Sequence[int], done: set[tuple[int, int]], *, reverse: bool
    ) -> bool:
        """Track objects on one frame; False where there was nothing to do."""
        state, settings = self.state, self.settings
        state.tracking_has_started = True
        chosen = [
            obj_id
            for obj_id in ids
            if (frame, obj_id) not in done and self._has_started(obj_id, frame, reverse)
        ]
        done.update((frame, obj_id) for obj_id in chosen)
        waiting = []
        for obj_id in chosen:
            item = state.objects[obj_id]
            item.reverse[frame] = reverse
            if frame in item.memory.prompted:
                item.outcomes[frame] = Outcome.of(item.memory.prompted[frame])
                self._clear_around(item, frame)
            else:
                waiting.append(item)
        if waiting:
            found = track_frame(
                self.network,
                self.features(frame),
                [item.memory for item in waiting],
                frame,
                reverse=reverse,
                num_frames=state.num_frames,
                settings=settings,
            )
            for item, output in zip(waiting, found, strict=True):
                item.memory.tracked[frame] = output
                item.outcomes[frame] = Outcome.of(output)
        if self.switches.prune_memory:
            for obj_id in chosen:
                _prune(state.objects[obj_id], frame, settings)
        return bool(chosen)

    def _has_started(self, obj_id: int, frame: int, reverse: bool) -> bool:
        prompted = self.state.objects[obj_id].memory.prompted
        if not prompted:
            return False
        if not self.switches.start_at_first_prompt:
            return True
        return frame <= max(prompted) if reverse else frame >= min(prompted)


def check_prompts(
    state: VideoState,
    obj_id: int,
    frame: int,
    points: Any,
    labels: Any,
    masks: Any,
    boxes: Any,
) -> FramePrompts:
    """Check the prompts of one object on one frame; raises :class:`PromptError`."""
    state.check_frame(frame, "frame_idx")
    if not is_whole(obj_id) or obj_id < 1:
        raise PromptError(f"obj_id must be a positive whole number: got {obj_id!r}.")
    if masks is not None and not (points is None and boxes is None):
        raise PromptError("Give points and bboxes, or a mask, but not both.")
    if points is not None:
        points = np.asarray(points, dtype=np.float32)
        points = points.reshape(1, -1, 2) if points.size % 2 == 0 else points
        labels = None if labels is None else np.asarray(labels).reshape(1, -1)
    if masks is not None and np.asarray(masks).dtype.kind == "f":
        raise PromptError(
            "A mask prompt on a frame must be bool or integer at the frame's size: "
            "got floats."
        )
    batch = gather_prompts(
        bboxes=boxes,
        points=points,
        labels=labels,
        masks=masks,
        shape=state.shape,
        low_res=-1,
    )
    if len(batch) != 1:
        raise PromptError(
            f"add_new_prompts takes the prompts of one object: got those of {len(batch)}."
        )
    return single_prompts(batch)[0]


def single_prompts(batch: PromptBatch) -> list[FramePrompts]:
    """The prompts of each object of a batch; raises :class:`PromptError`."""
    if batch.masks is not None and (batch.points.shape[1] or batch.masks.dtype != bool):
        raise PromptError(
            "Give points and bboxes, or masks at the size of the frame, but not both."
        )
    found = []
    for row, (points, labels) in enumerate(zip(batch.points, batch.labels, strict=True)):
        mask = None if batch.masks is None else batch.masks[row].astype(bool)
        found.append(FramePrompts(points[labels >= 0], labels[labels >= 0], mask))
    return found


def plan_passes(
    state: VideoState,
    start: int | None,
    stop: int | tuple[int, int] | None,
    direction: Direction,
) -> list[tuple[bool, int | None, int]]:
    """Direction, first frame (None: to be found) and last frame of each pass."""
    if start is not None:
        start = state.check_frame(start, "start")
    final = state.num_frames - 1
    if direction == "both":
        ends = (0, final) if stop is None else stop
        if not isinstance(ends, tuple | list) or len(ends) != 2:
            raise PromptError(
                f'With direction "both", stop must be a pair of frames: got {stop!r}.'
            )
        low, high = (state.check_frame(end, "stop") for end in ends)
        return [(False, start, high), (True, start, low)]
    if direction not in ("forward", "backward"):
        raise PromptError(
            f'direction must be "forward", "backward" or "both": got {direction!r}.'
        )
    reverse = direction == "backward"
    if stop is None:
        return [(reverse, start, 0 if reverse else final)]
    if not isinstance(stop, int | np.integer):
        raise PromptError(f"stop must be a frame: got {stop!r}.")
    return [(reverse, start, state.check_frame(int(stop), "stop"))]


def separate(logits: Tensor) -> Tensor:
    """Let the higher logit win where objects overlap, ``(N, H, W)``.

    The others are at most -10 there, as in Meta's package.
    """
    if len(logits) < 2:
        return logits
    winner = logits.argmax(dim=0)
    rows = [
        torch.where(winner == row, plane, plane.clamp(max=_HIDDEN))
        for row, plane in enumerate(logits)
    ]
    return torch.stack(rows)


def _prune(item: VideoObject, frame: int, settings: TrackSettings) -> None:
    """Keep of frames that tracking has left what can be needed again."""
    item.memory.prune(frame, settings=settings)
    for index, out in item.outcomes.items():
        if not out.is_packed and item.memory.at(index) is None:
            item.outcomes[index] = out.packed()
