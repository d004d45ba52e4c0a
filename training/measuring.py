"""Measures a network on validation objects, each kind of prompt by itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from asking import Asker, box_of, overlap
from napari_cellprompt.core.inference.crops import NeighbourPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.training.planes import Plane, Stack

    Mask = NDArray[np.bool_]

__all__ = ["Case", "choose", "choose_runs", "measure", "measure_runs", "table"]

PER_PLANE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An object to be measured."""

    plane: Plane
    row: int
    """In ``plane.ids``."""

    @property
    def truth(self) -> Mask:
        """``(H, W)``."""
        mask: Mask = self.plane.labels == self.plane.ids[self.row]
        return mask


def choose(planes: Sequence[Plane], limit: int, least_area: int = 9) -> list[Case]:
    """A fixed choice of at most ``limit`` objects of each kind, spread over its planes.

    The objects are those that ``cellprompt evaluate --limit`` chooses.
    """
    kinds: dict[str, list[list[Case]]] = defaultdict(list)
    for plane in planes:
        rows = np.flatnonzero(plane.areas >= least_area)
        if len(rows):
            kinds[plane.modality].append([Case(plane, int(row)) for row in rows])
    cases: list[Case] = []
    for groups in kinds.values():
        if sum(len(group) for group in groups) <= limit:
            cases += [case for group in groups for case in group]
            continue
        wanted = min(-(-limit // PER_PLANE), len(groups))
        places = np.unique(np.linspace(0, len(groups) - 1, wanted).round().astype(int))
        each, rng = -(-limit // len(places)), np.random.default_rng(0)
        chosen = 0
        for place in places:
            group = groups[place]
            count = min(each, len(group), limit - chosen)
            picked = sorted(rng.choice(len(group), count, replace=False))
            cases += [group[index] for index in picked]
            chosen += count
    return cases


def innermost(mask: Mask) -> tuple[float, float]:
    """x, y of the pixel farthest from the outline."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column), float(row)


def correcting(answer: Mask, truth: Mask) -> tuple[tuple[float, float], int] | None:
    """The innermost pixel of the largest error and its label."""
    best = None
    for label, error in ((1, truth & ~answer), (0, answer & ~truth)):
        if error.any():
            depth = ndimage.distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
            if best is None or depth.max() > best[0]:
                row, column = np.unravel_index(int(depth.argmax()), depth.shape)
                best = (float(depth.max()), (float(column), float(row)), label)
    return None if best is None else (best[1], best[2])


def _moved(mask: Mask) -> Mask:
    """A mask 12 % of its size lower and to the right, as of a neighbouring plane."""
    box = box_of(mask)
    if box is None:
        return mask
    down, right = 0.12 * (box[3] - box[1]), 0.12 * (box[2] - box[0])
    return np.asarray(ndimage.shift(mask.astype(float), (down, right), order=1) > 0.5)


def _window(case: Case) -> tuple[NDArray[Any], Mask]:
    """The plane around an object, wide enough for every zoom, and the object in it."""
    x0, y0, x1, y1 = case.plane.boxes[case.row]
    reach = 700
    rows = slice(max(y0 - reach, 0), y1 + reach)
    columns = slice(max(x0 - reach, 0), x1 + reach)
    return case.plane.image[rows, columns], case.truth[rows, columns]


def measure_case(asker: Asker, case: Case, clicks: int) -> dict[str, float]:
    """IoU of one object for each kind of prompt, and how wrong the predicted IoU is."""
    image, truth = _window(case)
    box = box_of(truth)
    if box is None:
        raise ValueError("the object has no pixel")
    scores: dict[str, float] = {}
    point = innermost(truth)
    zooms = asker.zooms(image, point)
    each = [overlap(answer.mask(), truth) for answer in zooms]
    scores["best zoom"] = max(each)
    scores["score error"] = float(
        np.mean([abs(a.iou - t) for a, t in zip(zooms, each, strict=True)])
    )
    answer = zooms[int(np.argmax(asker.zoom_scores(zooms)))]
    points, labels = [point], [1]
    answer = asker.again(image, answer, points, labels, share=0.5) or answer
    scores["click"] = overlap(answer.mask(), truth)
    for count in range(2, clicks + 1):
        fix = correcting(answer.mask(), truth)
        if fix is not None:
            points, labels = [*points, fix[0]], [*labels, fix[1]]
            answer = asker.again(image, answer, points, labels) or answer
        scores[f"{count} clicks"] = overlap(answer.mask(), truth)
    scores["box"] = overlap(asker.box(image, box).mask(), truth)
    grow = (0.05 * (box[2] - box[0]), 0.05 * (box[3] - box[1]))
    loose = (box[0] - grow[0], box[1] - grow[1], box[2] + grow[0], box[3] + grow[1])
    scores["loose box"] = overlap(asker.box(image, loose).mask(), truth)
    y, x = np.ogrid[: truth.shape[0], : truth.shape[1]]
    away = ((y + 0.5 - (box[1] + box[3]) / 2) / (box[3] - box[1]) * 2) ** 2
    away = away + ((x + 0.5 - (box[0] + box[2]) / 2) / (box[2] - box[0]) * 2) ** 2
    scores["ellipse"] = overlap(away <= 1, truth)
    scores["moved mask"] = overlap(asker.rough(image, _moved(truth)).mask(), truth)
    return scores


def measure(
    asker: Asker, cases: Sequence[Case], clicks: int = 3
) -> dict[str, dict[str, float]]:
    """Mean scores by kind of image, with the number of objects."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for case in cases:
        found[case.plane.modality].append(measure_case(asker, case, clicks))
    result = {}
    for kind, scores in found.items():
        result[kind] = {
            name: float(np.mean([one[name] for one in scores])) for name in scores[0]
        }
        result[kind]["below half"] = float(np.mean([one["click"] < 0.5 for one in scores]))
        result[kind]["objects"] = float(len(scores))
    return result


def choose_runs(stacks: Sequence[Stack], limit: int, longest: int) -> list[Any]:
    """Objects to follow: stack, id, first plane, direction, planes; ends included."""
    runs = []
    for stack in stacks:
        rng = np.random.default_rng(0)
        numbers = [n for n, planes in stack.present.items() if len(planes) >= 4]
        picked = rng.choice(numbers, min(limit, len(numbers)), replace=False)
        for number in sorted(int(n) for n in picked):
            present = stack.present[number]
            sizes = [
                stack.planes[p].areas[stack.planes[p].row(number) or 0] for p in present
            ]
            start = present[int(np.argmax(sizes))]
            direction = 1 if present[-1] - start >= start - present[0] else -1
            stop = len(stack.planes) - 1 if direction > 0 else 0
            planes = list(range(start, stop + direction, direction))[: longest + 1]
            runs.append((stack, number, planes))
    return runs


def measure_runs(
    asker: Asker, runs: Sequence[Any], presence: float = 0.5
) -> dict[str, dict[str, float]]:
    """Follow objects plane by plane from their true mask, by stack.

    ``present``: mean IoU where the object is, every plane answered. ``all``: ends counted,
    a run ends where the presence is below the threshold twice. ``one``: from the true
    neighbour. ``copy``: the first mask, kept, where the object is. ``found``: whether
    presence is right, from true neighbours.
    """
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for stack, number, planes in runs:
        scores = found[stack.dataset]
        first = stack.planes[planes[0]]
        mask = truth_before = first.labels == number
        image, ended, doubts = first.image, False, 0
        start_mask = mask
        for position in planes[1:]:
            plane = stack.planes[position]
            truth = plane.labels == number
            answer = asker.follow(plane.image, NeighbourPlane(image, mask))
            following = answer.mask()
            if truth_before.any():
                one = asker.follow(plane.image, NeighbourPlane(image, truth_before))
                right = (one.presence > presence) == bool(truth.any())
                scores["found"].append(float(right))
                if truth.any():
                    scores["one"].append(overlap(one.mask(), truth))
            doubts = doubts + 1 if answer.presence < presence else 0
            if doubts >= 2 or not following.any():
                ended = True
            if truth.any():
                scores["present"].append(overlap(following, truth))
                scores["copy"].append(overlap(start_mask, truth))
            if truth.any() or not ended:
                scores["all"].append(0.0 if ended else overlap(following, truth))
            if following.any():
                mask = following
            image, truth_before = plane.image, truth
            if ended and not truth.any():
                break
    return {
        name: {key: float(np.mean(values)) for key, values in scores.items()}
        for name, scores in found.items()
    }


def table(result: dict[str, dict[str, float]], columns: Sequence[str]) -> str:
    """Lines of text, with the mean of all kinds below."""
    width = max(len(name) for name in result) + 1
    lines = [" " * width + " ".join(f"{c:>11}" for c in columns)]
    for name, scores in result.items():
        cells = " ".join(f"{scores.get(c, np.nan):11.3f}" for c in columns)
        lines.append(f"{name:<{width}}{cells}")
    means = [np.nanmean([s.get(c, np.nan) for s in result.values()]) for c in columns]
    lines.append(f"{'mean':<{width}}" + " ".join(f"{m:11.3f}" for m in means))
    return "\n".join(lines)
