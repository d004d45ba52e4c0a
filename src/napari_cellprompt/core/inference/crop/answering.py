"""How one object is asked for: which crops, in which order, until there is an answer.

Each way of asking is a generator: it yields crops to look at and is sent what was seen,
so that many objects are looked at together.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.inference.crops import Crop, crop_around
from napari_cellprompt.core.inference.extent import extent_of
from napari_cellprompt.core.masks.rle import decode_part

from .looking import Ask, Seen, probability, whole
from .zooms import agreements, extent_in_crop, shared_share, zoom_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.inference.model import Query
    from napari_cellprompt.core.types import Prompts, Rectangle

    from .settings import CropSettings

__all__ = ["Asking", "Manner", "first_crop"]

Asking = Generator[list[Ask], list[Seen], list[Seen]]
"""Ends with the answer and its alternatives, best first."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How objects of one plane are asked for."""

    settings: CropSettings
    size: int
    """Network pixels of a crop."""
    shape: tuple[int, int]
    """Rows and columns of the plane."""

    def ask(self, query: Query) -> Asking:
        """The way that suits what is known of an object."""
        if query.prompts.mask is not None:
            return self._from_mask(query.prompts)
        if query.earlier is not None and isinstance(query.earlier.state, Seen):
            return self._corrected(query.prompts, query.earlier.state)
        if query.prompts.box is not None:
            return self._from_box(query.prompts)
        return self._from_clicks(query.prompts, query.size_hint)

    def around(self, box: Rectangle, share: float) -> Crop:
        """The crop in whose middle a box takes this share."""
        return whole(crop_around(box, share, self.size))

    def at(self, point: tuple[float, float], side: float) -> Crop:
        """The crop around the middle of a pixel."""
        x, y = point[0] + 0.5, point[1] + 0.5
        return whole(Crop(y - side / 2, x - side / 2, side, self.size))

    # -- known extent ------------------------------------------------------------
    def _from_box(self, prompts: Prompts) -> Asking:
        if prompts.box is None:
            raise ValueError("there is no box")
        drawn, settings = _drawn(prompts), self.settings
        around = _joined([prompts.box], prompts)
        [seen] = yield [Ask(self.around(around, settings.box_share), drawn)]
        found = seen.box()
        if found is None or seen.iou >= settings.sure:
            return [seen]
        crop = self.around(_joined([prompts.box, found], prompts), settings.box_again_share)
        [again] = yield [Ask(crop, drawn | {"previous": self._known(seen)})]
        return [seen if again.box() is None else again]

    def _from_mask(self, prompts: Prompts) -> Asking:
        mask, origin = _window_of(prompts)
        around = _joined([_pixels_of(extent_of(prompts), prompts)], prompts)
        crop = self.around(around, self.settings.mask_share)
        drawn = _drawn(prompts) | {"mask": (mask, origin)}
        return (yield [Ask(crop, drawn)])

    def _corrected(self, prompts: Prompts, before: Seen) -> Asking:
        found = before.box()
        if found is None:
            crop, quarter = before.crop, before.crop.side / 4
            x0, y0 = crop.x0 + quarter, crop.y0 + quarter
            found = (x0, y0, x0 + 2 * quarter, y0 + 2 * quarter)
        crop = self.around(_joined([found], prompts), self.settings.corrected_share)
        drawn = _drawn(prompts) | {"previous": self._known(before)}
        return (yield [Ask(crop, drawn)])

    # -- unknown size ------------------------------------------------------------
    def _from_clicks(self, prompts: Prompts, size: float | None) -> Asking:
        settings = self.settings
        point = prompts.anchor
        drawn = _drawn(prompts)
        # a crop that cuts a line off shows less of the object than the line covers
        least = _longest(prompts)
        if size is not None and size > 0:
            crop = self.at(point, max(size / settings.second_share, least))
            [seen] = yield [Ask(crop, drawn)]
            if settings.least_extent <= extent_in_crop(seen) <= settings.most_extent:
                return (yield from self._again(prompts, seen, []))
        largest = settings.reach * max(self.shape)
        fitting = [side for side in settings.zooms if side >= least]
        sides = [side for side in fitting if side < largest] or [
            max(settings.zooms[0], least)
        ]
        answers = yield [Ask(self.at(point, side), drawn) for side in sides]
        scores = zoom_scores(answers, agreements(answers), settings)
        best = int(np.argmax(scores))
        while (
            best == len(answers) - 1
            and sides[-1] * settings.growth < largest
            and extent_in_crop(answers[-1]) > settings.most_extent
        ):
            sides.append(sides[-1] * settings.growth)
            answers += yield [Ask(self.at(point, sides[-1]), drawn)]
            scores = zoom_scores(answers, agreements(answers), settings)
            best = int(np.argmax(scores))
        order = np.argsort(scores, kind="stable")[::-1]
        ranked = [answers[row] for row in order]
        return (yield from self._again(prompts, ranked[0], ranked[1:]))

    def located(self, prompts: Prompts, rough: Rectangle) -> Asking:
        """An object whose place and size are about known, though not its outline.

        What is known roughly sets the crop and is not drawn: the network would trust it.
        """
        crop = self.around(_joined([rough], prompts), self.settings.second_share)
        [seen] = yield [Ask(crop, _drawn(prompts))]
        return (yield from self._again(prompts, seen, []))

    def _again(self, prompts: Prompts, seen: Seen, others: list[Seen]) -> Asking:
        """A second look at the right zoom, and what other zooms say differently."""
        found = seen.box()
        if found is None:
            return [seen]
        crop = self.around(found, self.settings.second_share)
        drawn = _drawn(prompts) | {"previous": self._known(seen)}
        [best] = yield [Ask(crop, drawn)]
        if best.box() is None:
            best = seen
        chosen = [best]
        for other in others:
            if len(chosen) > self.settings.alternatives:
                break
            extent = extent_in_crop(other)
            if not self.settings.least_extent <= extent <= self.settings.whole_extent:
                continue
            if other.iou < self.settings.least_score:
                continue
            if all(shared_share(other, item) < self.settings.different for item in chosen):
                chosen.append(other)
        return chosen

    def _known(self, seen: Seen) -> tuple[Any, tuple[int, int]]:
        """An answer as the prompt of the next look: probability in plane pixels."""
        logits, origin = seen.window(self.shape)
        return probability(logits), origin


def first_crop(manner: Manner, prompts: Prompts, size: float | None) -> Crop:
    """The crop that is looked at first, or in the middle of the zooms, for prompts."""
    settings = manner.settings
    if prompts.mask is not None:
        around = _joined([_pixels_of(extent_of(prompts), prompts)], prompts)
        return manner.around(around, settings.mask_share)
    if prompts.box is not None:
        return manner.around(prompts.box, settings.box_share)
    side = settings.zooms[len(settings.zooms) // 2]
    if size is not None and size > 0:
        side = size / settings.second_share
    return manner.at(prompts.anchor, max(side, _longest(prompts)))


def _drawn(prompts: Prompts) -> dict[str, Any]:
    """What of the prompts is drawn into any crop."""
    drawn: dict[str, Any] = {"points": prompts.points, "labels": prompts.labels}
    if prompts.strokes:
        drawn["strokes"] = prompts.strokes
    return drawn if prompts.box is None else drawn | {"box": prompts.box}


def _joined(boxes: list[Rectangle], prompts: Prompts) -> Rectangle:
    """A rectangle around boxes and the pixels of all clicks and lines on the object."""
    places = [*prompts.points, *_corners(prompts)]
    spans = np.array([*boxes, *((x, y, x + 1, y + 1) for x, y in places)])
    x0, y0 = spans[:, :2].min(axis=0).tolist()
    x1, y1 = spans[:, 2:].max(axis=0).tolist()
    return x0, y0, x1, y1


def _corners(prompts: Prompts) -> list[tuple[float, float]]:
    """Of the lines on the object."""
    return [corner for path, sign in prompts.strokes if sign for corner in path]


def _longest(prompts: Prompts) -> float:
    """Side of the smallest square around the anchor that holds the lines; 0 for none."""
    corners = _corners(prompts)
    if not corners:
        return 0.0
    away = np.abs(np.array(corners) - prompts.anchor)
    return 2 * float(away.max()) + 2


def _pixels_of(box: Rectangle, prompts: Prompts) -> Rectangle:
    """The extent of prompts, at least a pixel large."""
    x0, y0, x1, y1 = box
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def _window_of(prompts: Prompts) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """The mask prompt cut to the rectangle that holds it, and its row and column."""
    if prompts.mask is None:
        raise ValueError("there is no mask")
    part = decode_part(prompts.mask)
    if part is None:
        return np.zeros((1, 1), bool), (0, 0)
    return part.data, part.origin
