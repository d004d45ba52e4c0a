"""What :class:`SAM2VideoPredictor` knows of the objects of one stack."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.sam.tracking import ObjectFrame, ObjectMemory
from napari_cellprompt.core.networks.sam.sam2 import NO_OBJECT_LOGIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["FramePrompts", "Outcome", "VideoObject", "VideoState"]

_OUTSIDE = -10.0
"""Stands for the logits away from the object, of frames that tracking has left behind."""


@dataclass(frozen=True, slots=True, eq=False)
class FramePrompts:
    """What a user said about one object on one frame."""

    points: NDArray[np.float32]
    """``(K, 2)`` x, y in pixels of the frame, box corners first."""
    labels: NDArray[np.int32]
    """``(K,)``: 1, 0, 2 and 3 (box corners)."""
    mask: NDArray[np.bool_] | None = None
    """``(H, W)``; there are no points then."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result for one object on one frame, whole or packed."""

    logits: Tensor
    """``(h, w)`` float32, or float16 once it is packed; empty where nothing is."""
    origin: tuple[int, int]
    """Row and column of ``logits`` in the low-resolution frame."""
    side: int
    """Of the low-resolution frame."""
    object_logit: float
    """Above 0 the object is on this frame."""
    iou: float
    """Predicted IoU of the mask."""

    @classmethod
    def of(cls, frame: ObjectFrame) -> Outcome:
        """The whole result."""
        side = frame.low_res.shape[-1]
        return cls(frame.low_res[0], (0, 0), side, frame.object_logit, frame.iou)

    @property
    def is_packed(self) -> bool:
        """Whether only the surroundings of the object are kept."""
        return self.logits.dtype == torch.float16

    def packed(self) -> Outcome:
        """The same mask in little memory: cut to the object, half precision, on the CPU."""
        inside = self.logits > 0
        rows, columns = torch.nonzero(inside.any(1)), torch.nonzero(inside.any(0))
        if not len(rows):
            empty = torch.empty(0, 0, dtype=torch.float16)
            return Outcome(empty, (0, 0), self.side, self.object_logit, self.iou)
        # one pixel more on each side, between which and the object the outline lies
        top, left = max(0, int(rows[0]) - 1), max(0, int(columns[0]) - 1)
        part = self.logits[top : int(rows[-1]) + 2, left : int(columns[-1]) + 2]
        small = part.clamp(-1024, 1024).half().cpu().clone()
        return Outcome(small, (top, left), self.side, self.object_logit, self.iou)

    def low_res(self) -> Tensor:
        """``(side, side)`` float32 logits."""
        if not self.is_packed:
            return self.logits
        full = torch.full((self.side, self.side), NO_OBJECT_LOGIT)
        if self.logits.numel():
            full.fill_(_OUTSIDE)
            height, width = self.logits.shape
            top, left = self.origin
            full[top : top + height, left : left + width] = self.logits.float()
        return full

    @property
    def score(self) -> float:
        """Predicted IoU, 0 where the object is not on the frame."""
        return self.iou if self.object_logit > 0 else 0.0


@dataclass(slots=True, eq=False)
class VideoObject:
    """Everything about one object."""

    prompts: dict[int, FramePrompts] = field(default_factory=dict)
    memory: ObjectMemory = field(default_factory=ObjectMemory)
    pending: dict[int, ObjectFrame] = field(default_factory=dict)
    """Prompted, but not yet part of the memory."""
    corrections: set[int] = field(default_factory=set)
    """Pending frames that do not become conditioning frames (Meta's parity switch)."""
    reverse: dict[int, bool] = field(default_factory=dict)
    """Frames tracked, and whether that was backwards."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class VideoState:
    """Objects, their prompts, memories and results on the frames of one stack.

    Objects are independent of each other; each is known by the id that the user gave.
    """

    num_frames: int
    shape: tuple[int, int]
    """Rows and columns of each frame."""
    objects: dict[int, VideoObject] = field(default_factory=dict)
    """By id, in the order in which they were added."""
    tracking_has_started: bool = False

    @property
    def obj_ids(self) -> list[int]:
        """In the order of all results."""
        return list(self.objects)

    @property
    def obj_id_to_idx(self) -> dict[int, int]:
        """Row of each object in results."""
        return {obj_id: row for row, obj_id in enumerate(self.objects)}

    @property
    def obj_idx_to_id(self) -> dict[int, int]:
        """Object of each row of results."""
        return dict(enumerate(self.objects))

    @property
    def prompts(self) -> dict[int, dict[int, FramePrompts]]:
        """By id and frame."""
        return {obj_id: item.prompts for obj_id, item in self.objects.items()}

    @property
    def output_dict_per_obj(self) -> dict[int, dict[str, dict[int, ObjectFrame]]]:
        """Outputs of conditioning and other frames, by id, kind and frame."""
        return {
            obj_id: {
                "cond_frame_outputs": item.memory.prompted,
                "non_cond_frame_outputs": item.memory.tracked,
            }
            for obj_id, item in self.objects.items()
        }

    @property
    def output_dict(self) -> dict[str, dict[int, dict[int, ObjectFrame]]]:
        """The same outputs together, by kind, frame and id."""
        joined: dict[str, dict[int, dict[int, ObjectFrame]]] = {
            "cond_frame_outputs": {},
            "non_cond_frame_outputs": {},
        }
        for obj_id, kinds in self.output_dict_per_obj.items():
            for kind, frames in kinds.items():
                for frame, output in frames.items():
                    joined[kind].setdefault(frame, {})[obj_id] = output
        return joined

    @property
    def temp_output_dict_per_obj(self) -> dict[int, dict[int, ObjectFrame]]:
        """Outputs that are not part of the memory yet, by id and frame."""
        return {obj_id: item.pending for obj_id, item in self.objects.items()}

    @property
    def consolidated_frame_inds(self) -> set[int]:
        """Frames that are a conditioning frame of some object."""
        return {frame for item in self.objects.values() for frame in item.memory.prompted}

    @property
    def frames_already_tracked(self) -> set[int]:
        """Frames on which some object was tracked."""
        return {frame for item in self.objects.values() for frame in item.reverse}

    @property
    def nbytes(self) -> int:
        """Memory that tensors take, in bytes."""
        return sum(
            item.memory.nbytes
            + sum(frame.nbytes for frame in item.pending.values())
            + sum(
                out.logits.numel() * out.logits.element_size()
                for out in item.outcomes.values()
            )
            for item in self.objects.values()
        )

    # -- checks ----------------------------------------------------------------
    def check_object(self, obj_id: int) -> int:
        """The id of an object that is there, or :class:`PromptError`."""
        if obj_id not in self.objects:
            known = ", ".join(str(known) for known in self.objects) or "none"
            raise PromptError(f"There is no object {obj_id}; the objects are: {known}.")
        return obj_id

    def check_frame(self, frame: int, name: str) -> int:
        """The index of a frame that is there, or :class:`PromptError`."""
        last = self.num_frames - 1
        whole = isinstance(frame, int | np.integer) and not isinstance(frame, bool)
        if not whole or not 0 <= frame <= last:
            raise PromptError(f"{name} must be a frame from 0 to {last}: got {frame!r}.")
        return int(frame)

    # -- results and prompts ---------------------------------------------------
    def logits(self, frame: int, side: int) -> tuple[Tensor, Tensor]:
        """Low-resolution logits ``(N, side, side)`` and scores ``(N,)`` of all objects."""
        nothing = torch.full((side, side), NO_OBJECT_LOGIT)
        found = [item.outcomes.get(frame) for item in self.objects.values()]
        rows = [nothing if out is None else out.low_res().cpu() for out in found]
        scores = torch.tensor([0.0 if out is None else out.score for out in found])
        return torch.stack(rows) if rows else torch.zeros(0, side, side), scores

    def clear_prompts(self, obj_id: int, frame_idx: int | None = None) -> None:
        """Take back prompts on one frame or all, which then count as tracked."""
        item = self.objects[obj_id]
        for frame in list(item.prompts) if frame_idx is None else [frame_idx]:
            item.prompts.pop(frame, None)
            item.pending.pop(frame, None)
            item.corrections.discard(frame)
            before = item.memory.prompted.pop(frame, None)
            if before is not None:
                item.memory.tracked[frame] = replace(before, prompted=False)
                item.reverse.pop(frame, None)

    # -- saving ----------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Numbers, tensors, lists and dicts, which ``torch.load`` reads as weights only."""
        return {
            "num_frames": self.num_frames,
            "shape": list(self.shape),
            "tracking_has_started": self.tracking_has_started,
            "objects": {
                obj_id: {
                    "prompts": {
                        frame: {
                            "points": torch.from_numpy(given.points),
                            "labels": torch.from_numpy(given.labels),
                            "mask": (
                                None if given.mask is None else torch.from_numpy(given.mask)
                            ),
                        }
                        for frame, given in item.prompts.items()
                    },
                    "prompted": _frames_to_dict(item.memory.prompted),
                    "tracked": _frames_to_dict(item.memory.tracked),
                    "pending": _frames_to_dict(item.pending),
                    "corrections": sorted(item.corrections),
                    "reverse": dict(item.reverse),
                    "outcomes": {
                        frame: [
                            out.logits,
                            list(out.origin),
                            out.side,
                            out.object_logit,
                            out.iou,
                        ]
                        for frame, out in item.outcomes.items()
                    },
                }
                for obj_id, item in self.objects.items()
            },
        }

    def check_stored(self, state: Mapping[str, Any], here: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` where a stored state is of other frames or another model."""
        own = {"num_frames": self.num_frames, "shape": list(self.shape)}
        for name, value in {**here, **own}.items():
            if state.get(name) != value:
                raise ValueError(
                    f"The stored state has {name} {state.get(name)}, here it is {value}."
                )

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], device: torch.device) -> VideoState:
        """The opposite of :meth:`state_dict`."""
        height, width = state["shape"]
        made = cls(
            int(state["num_frames"]),
            (height, width),
            tracking_has_started=bool(state["tracking_has_started"]),
        )
        for obj_id, stored in state["objects"].items():
            prompts = {
                frame: FramePrompts(
                    given["points"].numpy(),
                    given["labels"].numpy(),
                    None if given["mask"] is None else given["mask"].numpy(),
                )
                for frame, given in stored["prompts"].items()
            }
            memory = ObjectMemory(
                _frames_from_dict(stored["prompted"], device),
                _frames_from_dict(stored["tracked"], device),
            )
            outcomes = {
                frame: Outcome(logits, (top, left), side, object_logit, iou)
                for frame, (logits, (top, left), side, object_logit, iou) in stored[
                    "outcomes"
                ].items()
            }
            made.objects[obj_id] = VideoObject(
                prompts,
                memory,
                _frames_from_dict(stored["pending"], device),
                set(stored["corrections"]),
                dict(stored["reverse"]),
                outcomes,
            )
        return made


def _frames_to_dict(frames: dict[int, ObjectFrame]) -> dict[int, list[Any]]:
    return {
        index: [
            frame.low_res,
            frame.memory,
            frame.pointer,
            frame.object_logit,
            frame.iou,
            frame.prompted,
        ]
        for index, frame in frames.items()
    }


def _frames_from_dict(
    stored: dict[int, list[Any]], device: torch.device
) -> dict[int, ObjectFrame]:
    found = {}
    for index, (low_res, memory, pointer, object_logit, iou, prompted) in stored.items():
        found[index] = ObjectFrame(
            low_res.to(device),
            None if memory is None else memory.to(device),
            pointer.to(device),
            object_logit,
            iou,
            prompted,
        )
    return found
