"""Follows objects with a SAM network: by its memory, or by the mask of the plane before."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from napari_cellprompt.core.inference.cancelling import stop_if
from napari_cellprompt.core.inference.following import Cost, Sighting
from napari_cellprompt.core.inference.sam.decoding import decode_prompts, mask_to_logits
from napari_cellprompt.core.inference.sam.tracking import ObjectFrame, track_frame

from .appearance import Appearance, learn_appearance
from .leaning import LIMIT, lean_on
from .recall import Recall
from .views import ViewOfPlane, choose_view, follow, from_view, in_view, is_cut, to_view

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.inference.following import FollowSettings, Track
    from napari_cellprompt.core.inference.sam.encoding.encoder import PlaneEncoder
    from napari_cellprompt.core.inference.sam.object_memory import (
        ObjectMemory,
        TrackSettings,
    )
    from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures
    from napari_cellprompt.core.types import CroppedMask

__all__ = ["SamFollower"]

_BATCH = 16
"""Objects followed together; bounds the memory that many objects of one tile take."""


@dataclass(slots=True)
class _Sight:
    """Where an object is looked at, and what is remembered there."""

    view: ViewOfPlane
    memory: ObjectMemory | None = None
    """None when it has to be made from the masks of planes done."""


class SamFollower:
    """Follows objects of one stack.

    Parameters
    ----------
    encoder
        The model.
    stack
        The planes.
    settings
        How objects are followed.
    """

    def __init__(
        self, encoder: PlaneEncoder, stack: Stack, settings: FollowSettings
    ) -> None:
        self.encoder = encoder
        self.stack = stack
        self.settings = settings
        self._recall = Recall(encoder, stack)
        self._appearances: dict[tuple[int, int], Appearance | None] = {}

    @property
    def track_settings(self) -> TrackSettings:
        """Which memories are used, as the model wants it."""
        track, spec = self.settings.track, self.encoder.loaded.spec
        if spec.traits.best_of_three:
            return track
        # such models offer one mask; whether they carry logits on, they know themselves
        carry = track.carry
        if carry is None:
            carry = spec.drawing is not None and spec.drawing.carry
        return replace(track, multimask=False, carry=carry)

    # -- what the engine asks --------------------------------------------------
    def begin(self, track: Track) -> None:
        """Choose where to look at the object first."""
        box = track.last.box
        if box is None:
            raise RuntimeError("an anchor has an empty mask")
        shape = self.stack.plane(track.next).shape
        side = self.encoder.image_size
        track.state = _Sight(choose_view(box, shape, side, self.settings.geometry))

    def foresee(self, track: Track) -> None:
        """Move the view along with an object that has moved."""
        box, sight = track.expected.box, _sight(track)
        if box is None:
            return
        shape = self.stack.plane(track.next).shape
        view = follow(sight.view, box, shape, self.encoder.image_size)
        if view != sight.view:
            track.state = _Sight(view)

    def place(self, track: Track) -> ViewOfPlane:
        """The view; its features are computed once for all objects in it."""
        return _sight(track).view

    def look(
        self,
        plane: int,
        tracks: Sequence[Track],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[Track, Sighting]]:
        """Look for objects, those in one view together."""
        shape = self.stack.plane(plane).shape
        for view, group in _by_view(tracks):
            for at in range(0, len(group), _BATCH):
                part = group[at : at + _BATCH]
                frames = self.frames(plane, view, part, cancelled)
                for item, frame in zip(part, frames, strict=True):
                    found = from_view(frame.low_res, view, shape, frame.iou)
                    logit = min(max(frame.object_logit, -60.0), 60.0)
                    yield item, Sighting(found, 1 / (1 + math.exp(-logit)), frame)

    def arrive(self, track: Track, found: CroppedMask, *, final: bool) -> bool:
        """Move the view along; look again where it cut the object."""
        box, sight = found.box, _sight(track)
        if box is None:
            return True
        shape = self.stack.plane(track.next).shape
        better = follow(sight.view, box, shape, self.encoder.image_size)
        if better == sight.view:
            return True
        cut = is_cut(sight.view, box, shape)
        track.state = _Sight(better)
        return final or not cut

    def keep(self, plane: int, track: Track, sighting: Sighting) -> None:
        """Remember the frame, where memories are used."""
        memory = _sight(track).memory
        if memory is not None:
            memory.tracked[plane] = sighting.state
            memory.prune(plane, settings=self.settings.track)

    def cost(
        self,
        track: Track,
        *,
        timed: bool,
        cancelled: Callable[[], bool] | None = None,
    ) -> Cost:
        """Time for features and for one object, bytes of features and memories."""
        sight = _sight(track)
        shared = each = 0.0
        if timed:
            if self.settings.method == "memory":
                self._remembered(track)
            started = time.perf_counter()
            source = self.stack.plane(track.next)
            features = self.encoder.features(source, sight.view, cancelled=cancelled)
            encoded = time.perf_counter()
            self.frames(track.next, sight.view, [track], cancelled)
            shared, each = encoded - started, time.perf_counter() - encoded
        else:
            anchor = self.stack.plane(track.anchor)
            features = self.encoder.features(anchor, sight.view, cancelled=cancelled)
        nbytes = 0
        if sight.memory is not None:
            one = max(frame.nbytes for frame in sight.memory.prompted.values())
            nbytes = one * (self.settings.track.max_memories + 1)
        budget = self.encoder.cache.budget_bytes
        return Cost(shared, each, features.nbytes, nbytes, budget)

    def forget(self, object_id: int | None = None, plane: int | None = None) -> None:
        """Drop memories and looks of an object's anchors."""
        if object_id is None:
            self._recall.forget_all()
            self._appearances.clear()
            return
        self._recall.forget(object_id, plane)
        for place in [p for p in self._appearances if p[0] == object_id]:
            if plane is None or place[1] == plane:
                del self._appearances[place]

    # -- looking ---------------------------------------------------------------
    @torch.inference_mode()
    def frames(
        self,
        plane: int,
        view: ViewOfPlane,
        group: Sequence[Track],
        cancelled: Callable[[], bool] | None,
    ) -> list[ObjectFrame]:
        """What the network finds of some objects in one view of a plane."""
        memories = []
        for item in group:
            stop_if(cancelled)
            if self.settings.method == "memory":
                memories.append(self._remembered(item))
        features = self.encoder.features(self.stack.plane(plane), view, cancelled=cancelled)
        stop_if(cancelled)
        if self.settings.method == "neighbour":
            found = self._from_masks(view, [item.expected for item in group], features)
            return self._leaned(view, group, found)
        found = track_frame(
            self.encoder.loaded.with_memory,
            features,
            memories,
            plane,
            reverse=group[0].step < 0,
            num_frames=len(self.stack),
            settings=self.track_settings,
        )
        return self._leaned(view, group, found)

    def _remembered(self, item: Track) -> ObjectMemory:
        sight = _sight(item)
        if sight.memory is None:
            sight.memory = self._recall.prepare(item, sight.view, self.settings.track)
        return sight.memory

    def _leaned(
        self, view: ViewOfPlane, group: Sequence[Track], found: list[ObjectFrame]
    ) -> list[ObjectFrame]:
        """Mix masks with those of the plane before, where the model's traits say so."""
        traits, side = self.encoder.loaded.spec.traits, self.encoder.image_size
        # of models that have no trait of it, nothing is mixed whatever the settings say
        share = traits.lean if self.settings.lean is None else self.settings.lean
        if share <= 0 or traits.lean <= 0:
            return found
        weight = traits.look if self.settings.look is None else self.settings.look
        leaned = []
        for item, frame in zip(group, found, strict=True):
            shown = to_view(item.expected, view, side)
            before = mask_to_logits(shown, side // 4)[0].to(frame.low_res.device)
            low_res = lean_on(frame.low_res, before, self._change(item, view), share)
            look = self._appearance_of(item) if weight > 0 else None
            if look is not None:
                seen = look.evidence(self.stack.plane(item.next), view, side)
                low_res = low_res + weight * seen.to(low_res.device)
            leaned.append(replace(frame, low_res=low_res))
        return leaned

    def _appearance_of(self, item: Track) -> Appearance | None:
        """What the object looks like on the plane that it is followed from."""
        key = (item.id, item.anchor)
        if key not in self._appearances:
            mask = item.mask_on(item.anchor)
            if mask is None:
                raise RuntimeError("an anchor has no mask")
            self._appearances[key] = learn_appearance(self.stack.plane(item.anchor), mask)
        return self._appearances[key]

    def _change(self, item: Track, view: ViewOfPlane) -> Tensor:
        """What the network answers to the mask before, here and there, ``(1, s, s)``."""
        answers = []
        before = item.last_plane
        for plane, mask in ((item.next, item.expected), (before, item.last)):
            features = self.encoder.features(self.stack.plane(plane), view)
            answer = self._from_masks(view, [mask], features)[0].low_res
            answers.append(answer.clamp(-LIMIT, LIMIT))
        if item.moved == (0.0, 0.0):
            return answers[0] - answers[1]
        box = item.last.box
        if box is None or is_cut(view, box, self.stack.plane(before).shape):
            # it came into this view just now: what changed cannot be told
            return torch.zeros_like(answers[0])
        rows, columns = in_view(item.moved, view, answers[0].shape[-1])
        return answers[0] - answers[1].roll((rows, columns), (-2, -1))

    def _from_masks(
        self, view: ViewOfPlane, masks: Sequence[CroppedMask], features: ImageFeatures
    ) -> list[ObjectFrame]:
        """Give masks as the prompts, and nothing else."""
        loaded, side = self.encoder.loaded, self.encoder.image_size
        shown = torch.cat([to_view(mask, view, side) for mask in masks])
        output = decode_prompts(
            loaded.sam,
            loaded.sam.without_memory(features),
            torch.zeros(len(masks), 0, 2, device=loaded.device),
            torch.zeros(len(masks), 0, dtype=torch.int32, device=loaded.device),
            mask_to_logits(shown, side // 4).to(loaded.device),
            drawing=loaded.spec.drawing,
            multimask=False,
        )
        nothing = torch.zeros(0)
        return [
            ObjectFrame(mask, None, nothing, float(score), float(iou), False)
            for mask, score, iou in zip(
                output.masks[:, :1],
                output.object_logits[:, 0],
                output.iou[:, 0],
                strict=True,
            )
        ]


def _sight(track: Track) -> _Sight:
    state: Any = track.state
    if not isinstance(state, _Sight):
        raise RuntimeError("an object is followed that was not begun")
    return state


def _by_view(tracks: Sequence[Track]) -> list[tuple[ViewOfPlane, list[Track]]]:
    groups: dict[ViewOfPlane, list[Track]] = {}
    for item in tracks:
        groups.setdefault(_sight(item).view, []).append(item)
    return list(groups.items())
