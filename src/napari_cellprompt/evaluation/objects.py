"""How well a model finds objects whose outlines are known, as a user would ask for them.

Every object is predicted from one click (the maximum of its distance transform), after
two and after four further clicks that correct what is wrong, from its true box, from a box
a tenth too large, and from its true mask moved by a tenth of its size. Beside them stand
two answers that need no model: the ellipse inscribed in the true box, and the moved mask
itself. On request it is counted how many clicks an object needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import ndimage

from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.masks.simulated import (
    correction,
    ellipse_iou,
    innermost,
    iou,
    loosened,
    moved,
)
from napari_cellprompt.core.types import Box, Prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.core.types import Prediction

__all__ = [
    "COLUMNS",
    "Case",
    "KnownPlane",
    "ManySegmenter",
    "ObjectScore",
    "evaluate",
    "pick_cases",
    "renumbered",
]

CLICKS = (1, 3, 5)
"""After so many clicks the mask is measured."""
SMALLEST_AREA = 9
"""Objects of fewer pixels are left out: most are remains of cut outlines."""
NEEDED_IOU = 0.85
"""What an object is to reach where its clicks are counted."""
MOST_CLICKS = 20
"""After so many clicks no more are counted."""
_PER_PLANE = 8
"""Objects taken from a plane before another one is looked at, where there is a limit."""

COLUMNS = ("click", "clicks3", "clicks5", "box", "loose", "mask", "ellipse", "moved")
"""The fields of ``ObjectScore`` that are IoU."""


class ManySegmenter(Protocol):
    """What is asked of ``core.predictors.plane.PlaneSegmenter``."""

    def predict_many(
        self, plane: PlaneSource, prompts: Sequence[Prompts]
    ) -> list[Prediction]:
        """Predict objects of one plane."""


@dataclass(frozen=True, slots=True, eq=False)
class KnownPlane:
    """One plane and the objects on it."""

    dataset: str
    source: PlaneSource
    labels: NDArray[Any]
    """``(H, W)`` integer, 0 = background."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One object of a plane."""

    plane: KnownPlane
    id: int
    box: Box
    """Tight ``x0, y0, x1, y1`` of the object, exclusive at the end."""

    @property
    def truth(self) -> NDArray[np.bool_]:
        """The object's mask, ``(H, W)``."""
        mask: NDArray[np.bool_] = self.plane.labels == self.id
        return mask

    @property
    def first_click(self) -> Prompts:
        """One click at the innermost pixel."""
        x0, y0, x1, y1 = self.box
        x, y = innermost(self.plane.labels[y0:y1, x0:x1] == self.id)
        return Prompts(points=((float(x0 + x), float(y0 + y)),), labels=(1,))

    @property
    def true_box(self) -> Prompts:
        """The object's own box."""
        x0, y0, x1, y1 = (float(value) for value in self.box)
        return Prompts(box=(x0, y0, x1, y1))

    @property
    def loose_box(self) -> Prompts:
        """A box a tenth larger than the object's own, around the same middle."""
        return Prompts(box=loosened(self.box))


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """IoU of one object from each kind of prompt, and what the model believed."""

    dataset: str
    size: int
    """Longer side of the object's box in pixels."""
    click: float
    clicks3: float
    clicks5: float
    box: float
    loose: float
    """From a box that is a tenth too large."""
    mask: float
    ellipse: float
    """Of the ellipse inscribed in the true box."""
    moved: float
    """Of the moved mask that was the prompt of ``mask``."""
    click_believed: float
    """Predicted IoU of the mask from one click."""
    box_believed: float
    needed: int | None = None
    """Clicks to an IoU of `NEEDED_IOU`; one more than `MOST_CLICKS` where these were not
    enough, None where they were not counted."""


def renumbered(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels with the numbers 1, 2, 3, ..., and the number that each of these had.

    Numbers may be far apart, and ``ndimage.find_objects`` makes a list as long as the
    largest.
    """
    ids, dense = np.unique(labels.astype(np.int64, copy=False), return_inverse=True)
    dense = dense.reshape(labels.shape) + (0 if ids[0] == 0 else 1)
    return dense, ids[1:] if ids[0] == 0 else ids


def objects_of(plane: KnownPlane) -> list[Case]:
    """The objects of a plane that are large enough to be measured."""
    cases = []
    dense, numbers = renumbered(plane.labels)
    for position, slices in enumerate(ndimage.find_objects(dense)):
        if slices is None:
            continue
        if np.count_nonzero(dense[slices] == position + 1) < SMALLEST_AREA:
            continue
        rows, columns = slices
        box = Box(columns.start, rows.start, columns.stop, rows.stop)
        cases.append(Case(plane, int(numbers[position]), box))
    return cases


def pick_cases(planes: Sequence[KnownPlane], limit: int | None = None) -> list[list[Case]]:
    """The objects to measure, by plane: all, or a fixed choice of at most ``limit``.

    The choice is spread over the planes, and the same each time. It looks at few planes
    with several objects each, since the features of a plane are what takes time.
    """
    groups = [cases for plane in planes if (cases := objects_of(plane))]
    if limit is None or sum(len(cases) for cases in groups) <= limit:
        return groups
    wanted = min(math.ceil(limit / _PER_PLANE), len(groups))
    rows = np.unique(np.linspace(0, len(groups) - 1, wanted).round().astype(int))
    each, rng = math.ceil(limit / len(rows)), np.random.default_rng(0)
    picked: list[list[Case]] = []
    for row in rows:
        cases = groups[row]
        count = min(each, len(cases), limit - sum(len(group) for group in picked))
        places = sorted(rng.choice(len(cases), count, replace=False))
        picked.append([cases[place] for place in places])
    return [group for group in picked if group]


def evaluate(
    segmenter: ManySegmenter,
    groups: Iterable[Sequence[Case]],
    *,
    count_clicks: bool = False,
    progress: Callable[[str], None] | None = None,
) -> list[ObjectScore]:
    """Predict and measure objects.

    Parameters
    ----------
    segmenter
        What is measured.
    groups
        Objects by plane, from :func:`pick_cases`.
    count_clicks
        Whether clicks go on until an object is well outlined.
    progress
        Told after each plane.
    """
    scores: list[ObjectScore] = []
    for number, cases in enumerate(groups, start=1):
        scores += _measure(segmenter, cases, count_clicks)
        if progress is not None:
            progress(
                f"{cases[0].plane.dataset}: plane {number}, {len(scores)} objects so far"
            )
    return scores


def _measure(
    segmenter: ManySegmenter, cases: Sequence[Case], count_clicks: bool
) -> list[ObjectScore]:
    """Scores of objects of one plane, each kind of prompt for all of them at once."""
    source = cases[0].plane.source
    masks = [case.truth for case in cases]
    prompts = [case.first_click for case in cases]
    first = segmenter.predict_many(source, prompts)
    clicked = {1: [iou(item.best.mask, m) for item, m in zip(first, masks, strict=True)]}
    found = first
    for count in range(2, CLICKS[-1] + 1):
        prompts = [
            _corrected(prompt, item, mask)
            for prompt, item, mask in zip(prompts, found, masks, strict=True)
        ]
        found = segmenter.predict_many(source, prompts)
        clicked[count] = [
            iou(item.best.mask, mask) for item, mask in zip(found, masks, strict=True)
        ]
    needed: list[int | None] = [None] * len(cases)
    if count_clicks:
        needed = [*_needed(segmenter, source, prompts, masks, clicked)]
    boxed = segmenter.predict_many(source, [case.true_box for case in cases])
    loose = segmenter.predict_many(source, [case.loose_box for case in cases])
    rough = [moved(mask, case.box) for mask, case in zip(masks, cases, strict=True)]
    painted = segmenter.predict_many(source, [Prompts(mask=encode(m)) for m in rough])
    scores = []
    for row, (case, mask) in enumerate(zip(cases, masks, strict=True)):
        x0, y0, x1, y1 = case.box
        scores.append(
            ObjectScore(
                case.plane.dataset,
                size=case.box.side,
                click=clicked[1][row],
                clicks3=clicked[3][row],
                clicks5=clicked[5][row],
                box=iou(boxed[row].best.mask, mask),
                loose=iou(loose[row].best.mask, mask),
                mask=iou(painted[row].best.mask, mask),
                ellipse=ellipse_iou(mask[y0:y1, x0:x1]),
                moved=float((rough[row] & mask).sum() / (rough[row] | mask).sum()),
                click_believed=first[row].best.score,
                box_believed=boxed[row].best.score,
                needed=needed[row],
            )
        )
    return scores


def _needed(
    segmenter: ManySegmenter,
    source: PlaneSource,
    prompts: Sequence[Prompts],
    masks: Sequence[NDArray[np.bool_]],
    clicked: dict[int, list[float]],
) -> list[int]:
    """How many clicks each object needs, going on from those it has already."""
    needed = [MOST_CLICKS + 1] * len(masks)
    for row in range(len(masks)):
        for count in sorted(clicked, reverse=True):
            if clicked[count][row] >= NEEDED_IOU:
                needed[row] = count
    left = [row for row, count in enumerate(needed) if count > MOST_CLICKS]
    asked = {row: prompts[row] for row in left}
    for count in range(max(clicked) + 1, MOST_CLICKS + 1):
        if not asked:
            break
        found = segmenter.predict_many(source, list(asked.values()))
        rows = list(asked)
        asked = {
            row: _corrected(asked[row], item, masks[row])
            for row, item in zip(rows, found, strict=True)
        }
        found = segmenter.predict_many(source, list(asked.values()))
        for row, item in zip(rows, found, strict=True):
            if iou(item.best.mask, masks[row]) >= NEEDED_IOU:
                needed[row] = count
                del asked[row]
    return needed


def _corrected(prompts: Prompts, found: Prediction, truth: NDArray[np.bool_]) -> Prompts:
    """The prompts with one more click; as they are where nothing is wrong."""
    added = correction(found.best.mask, truth)
    if added is None:
        return prompts
    click, label = added
    return Prompts(points=(*prompts.points, click), labels=(*prompts.labels, label))
