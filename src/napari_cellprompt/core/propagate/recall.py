"""What the network remembers of objects that are followed, made when it is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_cellprompt.core.inference.sam.tracking import (
    ObjectFrame,
    ObjectMemory,
    encode_frames,
    mask_frame,
)

from .views import ViewOfPlane, choose_view, is_cut, to_view

if TYPE_CHECKING:
    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.inference.sam.tracking import TrackSettings
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.types import CroppedMask

    from .objects import TrackedObject
    from .passes import Pass

__all__ = ["Recall"]

_MOVED = 3
"""So many of the planes before are remembered again when an object changes its tile."""
_VIEWS = 4
"""An anchor is remembered in so many views."""


class Recall:
    """Makes memories of objects in the view that they are looked at.

    Parameters
    ----------
    segmenter, stack
        As in :class:`.propagator.StackPropagator`.
    """

    def __init__(self, segmenter: PlaneSegmenter, stack: Stack) -> None:
        self.segmenter = segmenter
        self.model: Any = segmenter.model
        self.stack = stack
        self._anchored: dict[tuple[int, int], dict[ViewOfPlane, ObjectFrame]] = {}

    def forget(self, object_id: int, plane: int | None = None) -> None:
        """Drop what is remembered of an object's anchors, or of the one on a plane."""
        for place in [p for p in self._anchored if p[0] == object_id]:
            if plane is None or place[1] == plane:
                del self._anchored[place]

    def forget_all(self) -> None:
        """Drop all of it."""
        self._anchored.clear()

    @torch.inference_mode()
    def prepare(self, item: Pass, track: TrackSettings) -> ObjectMemory:
        """What is remembered of an object in its present view."""
        if item.memory is None:
            memory = ObjectMemory()
            for anchor in _chosen_anchors(item, track):
                memory.prompted[anchor] = self._anchor_frame(item.object, anchor, item.view)
            for plane in _planes_before(item, track):
                stored = item.object.planes[plane].mask
                if stored is not None:
                    memory.tracked[plane] = self._frame(plane, stored.mask(), item.view)
            item.memory = memory
        return item.memory

    def _anchor_frame(
        self, known: TrackedObject, plane: int, view: ViewOfPlane
    ) -> ObjectFrame:
        """The memory of an anchor, in the view or where the anchor's mask can be seen."""
        stored = known.planes[plane].mask
        if stored is None or stored.box is None:
            raise RuntimeError("an anchor has an empty mask")
        shape = self.stack.plane(plane).shape
        if is_cut(view, stored.box, shape):
            view = choose_view(stored.box, shape, self.model.image_size, "roi")
        frames = self._anchored.setdefault((known.id, plane), {})
        if view not in frames:
            frame = self._frame(plane, stored.mask(), view)
            while len(frames) >= _VIEWS:
                del frames[next(iter(frames))]
            frames[view] = replace(frame, prompted=True)
        return frames[view]

    def _frame(self, plane: int, mask: CroppedMask, view: ViewOfPlane) -> ObjectFrame:
        """Remember a mask as it is."""
        network = self.model.loaded.with_memory
        features = self.model.features(self.stack.plane(plane), view)
        shown = to_view(mask, view, self.model.image_size)
        frames = mask_frame(network, features, shown.to(self.model.loaded.device))
        return encode_frames(network, features, frames, binarize=True)[0]


def _chosen_anchors(item: Pass, track: TrackSettings) -> list[int]:
    """The anchor that a pass began at, and the ones nearest to where it is."""
    own = item.reach.anchor
    others = sorted(
        (anchor for anchor in item.object.anchors if anchor != own),
        key=lambda anchor: abs(anchor - item.next),
    )
    limit = track.max_prompted
    return [own, *(others if limit is None else others[: limit - 1])]


def _planes_before(item: Pass, track: TrackSettings) -> list[int]:
    """Planes from the anchor on that are still worth remembering, nearest first."""
    step = item.reach.step
    planes = range(item.next - step, item.reach.anchor, -step)
    count = min(_MOVED, track.max_memories - 1)
    return list(planes)[: count * track.stride]
