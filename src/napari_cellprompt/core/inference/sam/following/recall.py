"""What the network remembers of objects that are followed, made when it is needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

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
    from napari_cellprompt.core.inference.following import Track
    from napari_cellprompt.core.inference.sam.encoding.encoder import PlaneEncoder
    from napari_cellprompt.core.inference.sam.tracking import TrackSettings
    from napari_cellprompt.core.types import CroppedMask

__all__ = ["Recall"]

_MOVED = 3
"""So many of the planes before are remembered again when an object changes its tile."""
_VIEWS = 4
"""An anchor is remembered in so many views."""


class Recall:
    """Makes memories of objects in the view that they are looked at.

    Parameters
    ----------
    encoder
        The model.
    stack
        The planes.
    """

    def __init__(self, encoder: PlaneEncoder, stack: Stack) -> None:
        self.encoder = encoder
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
    def prepare(self, item: Track, view: ViewOfPlane, track: TrackSettings) -> ObjectMemory:
        """What is remembered of an object in a view."""
        memory = ObjectMemory()
        for anchor in _chosen_anchors(item, track):
            memory.prompted[anchor] = self._anchor_frame(item, anchor, view)
        for plane in _planes_before(item, track):
            mask = item.mask_on(plane)
            if mask is not None:
                memory.tracked[plane] = self._frame(plane, mask, view)
        return memory

    def _anchor_frame(self, item: Track, plane: int, view: ViewOfPlane) -> ObjectFrame:
        """The memory of an anchor, in the view or where the anchor's mask can be seen."""
        mask = item.mask_on(plane)
        box = None if mask is None else mask.box
        if mask is None or box is None:
            raise RuntimeError("an anchor has an empty mask")
        shape = self.stack.plane(plane).shape
        if is_cut(view, box, shape):
            view = choose_view(box, shape, self.encoder.image_size, "roi")
        frames = self._anchored.setdefault((item.id, plane), {})
        if view not in frames:
            frame = self._frame(plane, mask, view)
            while len(frames) >= _VIEWS:
                del frames[next(iter(frames))]
            frames[view] = replace(frame, prompted=True)
        return frames[view]

    def _frame(self, plane: int, mask: CroppedMask, view: ViewOfPlane) -> ObjectFrame:
        """Remember a mask as it is."""
        loaded = self.encoder.loaded
        features = self.encoder.features(self.stack.plane(plane), view)
        shown = to_view(mask, view, self.encoder.image_size).to(loaded.device)
        frames = mask_frame(loaded.with_memory, features, shown)
        return encode_frames(loaded.with_memory, features, frames, binarize=True)[0]


def _chosen_anchors(item: Track, track: TrackSettings) -> list[int]:
    """The anchor that an object is followed from, and the ones nearest to where it is."""
    others = sorted(
        (anchor for anchor in item.anchors if anchor != item.anchor),
        key=lambda anchor: abs(anchor - item.next),
    )
    limit = track.max_prompted
    return [item.anchor, *(others if limit is None else others[: limit - 1])]


def _planes_before(item: Track, track: TrackSettings) -> list[int]:
    """Planes from the anchor on that are still worth remembering, nearest first."""
    planes = range(item.next - item.step, item.anchor, -item.step)
    count = min(_MOVED, track.max_memories - 1)
    return list(planes)[: count * track.stride]
