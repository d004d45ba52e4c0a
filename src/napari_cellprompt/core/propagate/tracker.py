"""Takes objects from plane to plane: where each is looked for, and what it remembers."""

from __future__ import annotations

import math
import time
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_cellprompt.core.inference.sam.decoding import decode_prompts, mask_to_logits
from napari_cellprompt.core.inference.sam.tracking import (
    ObjectFrame,
    TrackSettings,
    track_frame,
)
from napari_cellprompt.core.masks.packed import PackedMask

from .appearance import Look, learn_look
from .leaning import LIMIT, lean_on
from .motion import displacement
from .objects import StoredPlane
from .passes import Pass
from .recall import Recall
from .rules import contrast, has_faded, has_left, main_parts, reappears, stands_out
from .types import Estimate
from .views import ViewOfPlane, choose_view, follow, from_view, in_view, is_cut, to_view

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_cellprompt.core.images.stack import Stack
    from napari_cellprompt.core.networks.sam2 import ImageFeatures
    from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
    from napari_cellprompt.core.types import CroppedMask

    from .objects import Reach, TrackedObject
    from .types import PropagationSettings, State

__all__ = ["Tracker"]

_BATCH = 16
"""Objects tracked together; bounds the memory that many objects of one tile take."""
_SHRUNK = 0.6
"""Share of its area at the start below which an object has shrunk towards its end."""


class Tracker:
    """Runs passes; knows the network, the planes and what is remembered.

    Parameters
    ----------
    segmenter, stack, settings
        As in :class:`.propagator.StackPropagator`.
    """

    def __init__(
        self, segmenter: PlaneSegmenter, stack: Stack, settings: PropagationSettings
    ) -> None:
        self.segmenter = segmenter
        self.model: Any = segmenter.model
        self.stack = stack
        self.settings = settings
        self.seconds: float | None = None
        """Of one object on one plane, lately; None before the first."""
        self._passes: dict[tuple[int, int, int], Pass] = {}
        self._recall = Recall(segmenter, stack)
        self._contrasts: dict[tuple[int, int], tuple[float, float]] = {}
        self._looks: dict[tuple[int, int], Look | None] = {}

    def use(self, segmenter: PlaneSegmenter) -> None:
        """Go on with another model; what the old one remembered is dropped."""
        self.segmenter, self.model = segmenter, segmenter.model
        self._recall = Recall(segmenter, self.stack)
        self.seconds = None
        self.forget_all()

    @property
    def track_settings(self) -> TrackSettings:
        """Which memories are used, as the model wants it."""
        track = self.settings.track
        drawing = self.model.loaded.spec.drawing
        if drawing is None:
            return track
        # such models offer one mask; whether they carry logits on, they know themselves
        return replace(track, multimask=False, carry=track.carry or drawing.carry)

    def begin(self, known: TrackedObject, reach: Reach, pending: int) -> Pass:
        """Go on with a pass that was interrupted, or begin one."""
        key = (known.id, reach.anchor, reach.step)
        item = self._passes.get(key)
        if item is not None and item.next == pending:
            item.reach = reach
            return item
        recent: list[CroppedMask] = []
        for plane in range(pending - reach.step, reach.anchor - reach.step, -reach.step):
            stored = known.planes[plane]
            if stored.mask is not None and len(recent) < 3:
                recent.insert(0, stored.mask.mask())
        box = recent[-1].box
        if box is None:
            raise RuntimeError("an anchor has an empty mask")
        source = self.stack.plane(pending)
        view = choose_view(box, source.shape, self.model.image_size, self.settings.geometry)
        item = Pass(known, reach, pending, view, recent=recent)
        self._passes[key] = item
        return item

    def forget(self, object_id: int, plane: int | None = None) -> None:
        """Drop memories of an object that a statement about a plane made obsolete.

        Without a plane, all of them.
        """
        self._recall.forget(object_id, plane)
        for known in (self._contrasts, self._looks):
            for place in [p for p in known if p[0] == object_id]:
                if plane is None or place[1] == plane:
                    del known[place]
        for key in [key for key in self._passes if key[0] == object_id]:
            del self._passes[key]

    def forget_all(self) -> None:
        """Drop all memories."""
        self._passes.clear()
        self._recall.forget_all()
        self._contrasts.clear()
        self._looks.clear()

    # -- tracking --------------------------------------------------------------
    def advance(
        self,
        plane: int,
        due: Sequence[Pass],
        touched: dict[int, set[int]],
        cancelled: Callable[[], bool] | None,
    ) -> None:
        """Track all passes that are due on a plane.

        Parameters
        ----------
        plane
            The next one of every pass.
        due
            Passes of one direction.
        touched
            Receives the ids of the objects whose outcome is kept, by plane; also when
            cancelled. Planes before this one are those that an object turned out not to
            reach.
        cancelled
            Asked before each slow step.

        Raises
        ------
        concurrent.futures.CancelledError
            Where ``cancelled`` said so; passes not taken can go on from here.
        """
        started = time.perf_counter()
        if self.settings.motion and self.stack.is_time:
            for item in due:
                self._foresee(item)
        waiting, looks = list(due), 0
        while waiting:
            again = []
            for view, group in _by_view(waiting):
                for at in range(0, len(group), _BATCH):
                    part = group[at : at + _BATCH]
                    frames = self._look(plane, view, part, cancelled)
                    for item, frame in zip(part, frames, strict=True):
                        taken = self._take(plane, item, frame, final=looks > 0)
                        if not taken:
                            again.append(item)
                        for known in taken:
                            touched.setdefault(known, set()).add(item.object.id)
            waiting, looks = again, looks + 1
        seconds = (time.perf_counter() - started) / max(len(due), 1)
        # the latest planes count most: the first may have been in the cache
        self.seconds = (
            seconds if self.seconds is None else 0.8 * self.seconds + 0.2 * seconds
        )

    def estimate(
        self, passes: Sequence[Pass], cancelled: Callable[[], bool] | None
    ) -> Estimate:
        """What these passes will take; one plane is timed where nothing is known yet."""
        planes = sum(item.remaining for item in passes)
        if not passes:
            return Estimate(0, 0.0, 0)
        first = passes[0]
        longest: dict[tuple[ViewOfPlane, int], int] = {}
        for item in passes:
            key = (item.view, item.reach.step)
            longest[key] = max(longest.get(key, 0), item.remaining)
        looks = sum(longest.values())
        if self.seconds is None:
            memory = (
                self._recall.prepare(first, self.settings.track)
                if self.settings.method == "memory"
                else None
            )
            source = self.stack.plane(first.next)
            started = time.perf_counter()
            features = self.model.features(source, first.view, cancelled=cancelled)
            encoded = time.perf_counter()
            self._look(first.next, first.view, [first], cancelled)
            # objects in one view share its features
            seconds = looks * (encoded - started)
            seconds += planes * (time.perf_counter() - encoded)
        else:
            memory = first.memory
            anchor = self.stack.plane(first.reach.anchor)
            features = self.model.features(anchor, first.view, cancelled=cancelled)
            seconds = planes * self.seconds
        nbytes = min(self.model.cache.budget_bytes, looks * features.nbytes)
        if memory is not None:
            one = max(frame.nbytes for frame in memory.prompted.values())
            nbytes += len(passes) * one * (self.settings.track.max_memories + 1)
        return Estimate(planes, seconds, nbytes)

    def _foresee(self, item: Pass) -> None:
        """Look where an object has gone, and follow it there with the view."""
        before = item.next - (item.failed + 1) * item.reach.step
        here = self.stack.plane(item.next)
        item.moved = displacement(self.stack.plane(before), here, item.recent[-1])
        box = item.expected.box
        if box is None:
            item.moved = (0, 0)
            return
        view = follow(item.view, box, here.shape, self.model.image_size)
        if view != item.view:
            item.view, item.memory = view, None

    @torch.inference_mode()
    def _look(
        self,
        plane: int,
        view: ViewOfPlane,
        group: Sequence[Pass],
        cancelled: Callable[[], bool] | None,
    ) -> list[ObjectFrame]:
        """What the network finds of some objects in one view of a plane."""
        memories = []
        for item in group:
            if cancelled is not None and cancelled():
                raise CancelledError
            if self.settings.method == "memory":
                memories.append(self._recall.prepare(item, self.settings.track))
        features = self.model.features(self.stack.plane(plane), view, cancelled=cancelled)
        if cancelled is not None and cancelled():
            raise CancelledError
        if self.settings.method == "neighbour":
            found = self._from_masks(view, [item.expected for item in group], features)
            return self._leaned(view, group, found)
        found = track_frame(
            self.model.loaded.with_memory,
            features,
            memories,
            plane,
            reverse=group[0].reach.step < 0,
            num_frames=len(self.stack),
            settings=self.track_settings,
        )
        return self._leaned(view, group, found)

    def _leaned(
        self, view: ViewOfPlane, group: Sequence[Pass], found: list[ObjectFrame]
    ) -> list[ObjectFrame]:
        """Mix masks with those of the plane before, where the model is a small one."""
        share, side = self.settings.lean, self.model.image_size
        if share <= 0 or self.model.loaded.spec.drawing is None:
            return found
        leaned = []
        for item, frame in zip(group, found, strict=True):
            shown = to_view(item.expected, view, side)
            before = mask_to_logits(shown, side // 4)[0].to(frame.low_res.device)
            low_res = lean_on(frame.low_res, before, self._change(item, view), share)
            look = self._look_of(item)
            if look is not None:
                seen = look.evidence(self.stack.plane(item.next), view, side)
                low_res = low_res + self.settings.look * seen.to(low_res.device)
            leaned.append(replace(frame, low_res=low_res))
        return leaned

    def _look_of(self, item: Pass) -> Look | None:
        """What the object looks like on the plane that it is followed from."""
        if self.settings.look <= 0:
            return None
        key = (item.object.id, item.reach.anchor)
        if key not in self._looks:
            plane = self.stack.plane(item.reach.anchor)
            self._looks[key] = learn_look(plane, item.anchor_mask.mask())
        return self._looks[key]

    def _change(self, item: Pass, view: ViewOfPlane) -> Tensor:
        """What the network answers to the mask before, here and there, ``(1, s, s)``."""
        answers = []
        before = item.next - item.reach.step
        for plane, mask in ((item.next, item.expected), (before, item.recent[-1])):
            features = self.model.features(self.stack.plane(plane), view)
            answer = self._from_masks(view, [mask], features)[0].low_res
            answers.append(answer.clamp(-LIMIT, LIMIT))
        if item.moved == (0, 0):
            return answers[0] - answers[1]
        box = item.recent[-1].box
        if box is None or is_cut(view, box, self.stack.plane(before).shape):
            # it came into this view just now: what changed cannot be told
            return torch.zeros_like(answers[0])
        rows, columns = in_view(item.moved, view, answers[0].shape[-1])
        return answers[0] - answers[1].roll((rows, columns), (-2, -1))

    def _from_masks(
        self, view: ViewOfPlane, masks: Sequence[CroppedMask], features: ImageFeatures
    ) -> list[ObjectFrame]:
        """Give masks as the prompts, and nothing else."""
        model = self.model.loaded
        side = self.model.image_size
        shown = torch.cat([to_view(mask, view, side) for mask in masks])
        output = decode_prompts(
            model.network,
            model.network.without_memory(features),
            torch.zeros(len(masks), 0, 2, device=model.device),
            torch.zeros(len(masks), 0, dtype=torch.int32, device=model.device),
            mask_to_logits(shown, side // 4).to(model.device),
            drawing=model.spec.drawing,
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

    def _take(
        self, plane: int, item: Pass, frame: ObjectFrame, *, final: bool
    ) -> list[int]:
        """Keep what was found; the planes on which something is new now.

        None of them where the object has to be looked at again.
        """
        source_shape = self.stack.plane(plane).shape
        found = from_view(frame.low_res, item.view, source_shape, frame.iou)
        score = 1 / (1 + math.exp(-min(max(frame.object_logit, -60.0), 60.0)))
        known = [*item.recent[:-1], item.expected]
        share = self._contrast_share(plane, item, found.mask)
        gone = has_left(found.mask, score, known, self.settings)
        gone = gone or self._has_faded(item, share)
        gone = gone or self._has_grown_again(item, found.mask)
        lost = None if gone else self._taken_for_it(plane, item, share)
        box = found.mask.box
        imgsz = self.model.image_size
        if not gone and lost is None and box is not None:
            better = follow(item.view, box, source_shape, imgsz)
            if better != item.view:
                cut = is_cut(item.view, box, source_shape)
                item.view = better
                item.memory = None
                if cut and not final:
                    return []
        step = item.reach.step
        ended = False
        if gone or lost is not None:
            item.failed += 1
            ended = lost is not None or item.failed >= self.settings.stop_patience
            state: State = "ended" if ended else "absent"
            stored = StoredPlane(None, frame.iou, score, state, 0, step)
            item.next = item.reach.last + step if ended else plane + step
        else:
            item.failed = 0
            item.moved = (0, 0)
            item.recent = [*item.recent[-2:], found.mask]
            packed = PackedMask.pack(found.mask, found.logits)
            parts = len(main_parts(found.mask))
            stored = StoredPlane(
                packed, frame.iou, score, "tracked", parts, step, contrast=share
            )
            item.next = plane + step
            if item.memory is not None:
                item.memory.tracked[plane] = frame
                item.memory.prune(plane, settings=self.settings.track)
        item.object.track(plane, stored)
        for before in lost or ():
            kept = item.object.planes[before]
            item.object.track(before, replace(kept, mask=None, state="ended", parts=0))
        if ended:
            item.object.forget_beyond(plane, item.reach)
            self._passes.pop((item.object.id, item.reach.anchor, step), None)
        return [*(lost or ()), plane]

    def _taken_for_it(self, plane: int, item: Pass, share: float) -> list[int] | None:
        """Planes before this one on which the next object along z was taken for this one.

        None where it is still this one.
        """
        ratio = self.settings.stop_regrowth
        if ratio <= 0 or self.stack.is_time:
            return None
        if not stands_out(*self._contrast_at_anchor(item)):
            return None
        passed = [
            (p, stored.contrast)
            for p in range(item.reach.anchor + item.reach.step, plane, item.reach.step)
            if (stored := item.object.planes.get(p)) is not None and stored.mask is not None
        ]
        shares = [value for _, value in passed]
        kept = reappears(shares, share, ratio)
        return None if kept is None else [p for p, _ in passed[kept:]]

    def _has_grown_again(self, item: Pass, mask: CroppedMask) -> bool:
        """Whether an object that had shrunk grows: then another one has taken its place."""
        ratio = self.settings.stop_regrowth
        if ratio <= 0 or self.stack.is_time:
            return False
        step = item.reach.step
        passed = range(item.reach.anchor, item.next, step)
        areas = [
            stored.mask.area
            for p in passed
            if (stored := item.object.planes.get(p)) is not None and stored.mask is not None
        ]
        start, smallest = areas[0], min(areas)
        return smallest < _SHRUNK * start and mask.area > ratio * smallest

    def _contrast_share(self, plane: int, item: Pass, mask: CroppedMask) -> float:
        """How far the object stands out, as a share of what it does on its anchor."""
        start, _ = self._contrast_at_anchor(item)
        now, _ = contrast(self.stack.plane(plane), mask)
        return now / start if start else 1.0

    def _contrast_at_anchor(self, item: Pass) -> tuple[float, float]:
        key = (item.object.id, item.reach.anchor)
        if key not in self._contrasts:
            anchor = self.stack.plane(item.reach.anchor)
            self._contrasts[key] = contrast(anchor, item.anchor_mask.mask())
        return self._contrasts[key]

    def _has_faded(self, item: Pass, share: float) -> bool:
        """Whether the object stands out much less than on the plane it was prompted on."""
        if self.settings.stop_contrast <= 0:
            return False
        start, noise = self._contrast_at_anchor(item)
        if not self.stack.is_time:
            # above and below its focus everything fades, however little it stood out
            noise = 0.0
        return has_faded(share * start, start, noise, self.settings.stop_contrast)


def _by_view(items: Sequence[Pass]) -> list[tuple[ViewOfPlane, list[Pass]]]:
    groups: dict[ViewOfPlane, list[Pass]] = {}
    for item in items:
        groups.setdefault(item.view, []).append(item)
    return list(groups.items())
