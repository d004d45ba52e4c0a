"""What is remembered of an object, and which of it a frame attends to.

The choice follows Meta's video predictor (``sam2`` 1.1.0) unless :class:`TrackSettings`
say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.inference.following import TrackSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from napari_cellprompt.core.networks.sam.sam2 import SAM2

__all__ = [
    "MAX_POINTERS",
    "Layout",
    "ObjectFrame",
    "ObjectMemory",
    "TrackSettings",
    "by_layout",
    "select_prompted",
]

MAX_POINTERS = 16
"""Object pointers reach back to fewer frames than this."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFrame:
    """One object on one frame."""

    low_res: Tensor
    """``(1, S/4, S/4)`` float32 logits."""
    memory: Tensor | None
    """``(mem_dim, h, w)`` bfloat16; None where it is not encoded yet or was pruned."""
    pointer: Tensor
    """``(D,)``."""
    object_logit: float
    """Above 0 the object is on this frame."""
    iou: float
    """Predicted IoU of the mask, 0 to 1."""
    prompted: bool
    """Whether a user said what the object is here."""

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take, in bytes."""
        parts = [self.low_res, self.pointer, self.memory]
        return sum(x.numel() * x.element_size() for x in parts if x is not None)


@dataclass(slots=True, eq=False)
class ObjectMemory:
    """One object over frames of one geometry."""

    prompted: dict[int, ObjectFrame] = field(default_factory=dict)
    """By frame; every later and earlier frame may attend to these."""
    tracked: dict[int, ObjectFrame] = field(default_factory=dict)
    """By frame; a frame is in one of the two at most."""

    def at(self, frame: int) -> ObjectFrame | None:
        """What is remembered of a frame."""
        found = self.prompted.get(frame)
        return self.tracked.get(frame) if found is None else found

    def prune(self, frame: int, *, settings: TrackSettings) -> None:
        """Forget what no frame next to ``frame`` or to a prompted one can attend to.

        Tracking, which has come to ``frame``, goes on as if nothing was forgotten, and
        so it does from any prompted frame in either direction. What stays does not grow
        with the number of frames tracked.
        """
        centres = (frame, *self.prompted)
        for index in list(self.tracked):
            distance = min(abs(index - centre) for centre in centres)
            if distance > max(settings.reach, MAX_POINTERS):
                del self.tracked[index]
            elif distance > settings.reach:
                self.tracked[index] = replace(self.tracked[index], memory=None)

    @property
    def nbytes(self) -> int:
        """Memory that all frames take, in bytes."""
        frames = (*self.prompted.values(), *self.tracked.values())
        return sum(item.nbytes for item in frames)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which frames of an object are attended to; objects of one layout make a batch."""

    memories: tuple[tuple[int, int, bool], ...]
    """Frame, distance (0: prompted) and whether the grid is halved."""
    pointers: tuple[tuple[int, int], ...]
    """Frame and distance."""
    carried: int | None
    """The frame whose logits are given as mask prompt."""
    multimask: bool


def by_layout(
    network: SAM2,
    objects: Sequence[ObjectMemory],
    frame: int,
    reverse: bool,
    num_frames: int,
    settings: TrackSettings,
) -> list[tuple[Layout, list[int]]]:
    """Rows of objects whose memories are laid out alike.

    Parameters are those of :func:`tracking.track_frame`.

    Raises
    ------
    ValueError
        Where an object has no prompted frame with a memory.
    """
    groups: dict[Layout, list[int]] = {}
    for row, item in enumerate(objects):
        layout = _layout(network, item, frame, reverse, num_frames, settings)
        groups.setdefault(layout, []).append(row)
    return list(groups.items())


def _layout(
    network: SAM2,
    item: ObjectMemory,
    frame: int,
    reverse: bool,
    num_frames: int,
    settings: TrackSettings,
) -> Layout:
    """Meta's choice of memories and pointers, shortened where the settings say so."""
    if not any(out.memory is not None for out in item.prompted.values()):
        raise ValueError(
            "An object can only be tracked from a prompted frame whose memory is encoded: "
            f"frame {frame} has none to attend to."
        )
    onward = -1 if reverse else 1
    selected = select_prompted(frame, item.prompted, settings.max_prompted)
    memories = [(t, 0, False) for t in selected if item.prompted[t].memory is not None]
    for distance in range(min(settings.max_memories, network.num_maskmem) - 1, 0, -1):
        index = _frame_before(frame, distance, settings.stride, reverse)
        found = item.tracked.get(index)
        if found is None and index not in selected:
            # a prompted frame that was left out stands in as if it had been tracked
            found = item.prompted.get(index)
        if found is not None and found.memory is not None:
            memories.append((index, distance, settings.pool_older and distance > 1))
    pointers = [(t, (frame - t) * onward) for t in selected if (frame - t) * onward >= 0]
    for distance in range(1, min(num_frames, MAX_POINTERS)):
        index = frame - onward * distance
        if index in item.tracked or (index in item.prompted and index not in selected):
            pointers.append((index, distance))
    nearest = frame - onward
    return Layout(
        tuple(memories),
        tuple(pointers),
        nearest if settings.carry and item.at(nearest) is not None else None,
        settings.multimask,
    )


def select_prompted(
    frame: int, prompted: Mapping[int, ObjectFrame], limit: int | None
) -> list[int]:
    """The prompted frames that ``frame`` attends to, by Meta's rule.

    All of them, or of a limited number the nearest before, the nearest at or after, and
    then those nearest in time.
    """
    if limit is None or len(prompted) <= limit:
        return list(prompted)
    before = [max((t for t in prompted if t < frame), default=None)]
    after = [min((t for t in prompted if t >= frame), default=None)]
    chosen = [t for t in (*before, *after) if t is not None]
    others = sorted((t for t in prompted if t not in chosen), key=lambda t: abs(t - frame))
    return chosen + others[: limit - len(chosen)]


def _frame_before(frame: int, distance: int, stride: int, reverse: bool) -> int:
    """The frame that the memory of a given distance is taken from.

    The nearest one is the neighbour; those further back lie on multiples of the stride.
    """
    if distance == 1:
        return frame + 1 if reverse else frame - 1
    if reverse:
        return -(-(frame + 2) // stride) * stride + (distance - 2) * stride
    return (frame - 2) // stride * stride - (distance - 2) * stride
