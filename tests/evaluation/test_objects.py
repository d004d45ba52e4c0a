"""Measuring known objects, with segmenters whose answers are known too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.core.masks.simulated import (
    correction,
    ellipse_iou,
    innermost,
    iou,
    moved,
)
from napari_cellprompt.core.types import (
    Box,
    Candidate,
    CroppedMask,
    Prediction,
    Prompts,
    Tile,
)
from napari_cellprompt.evaluation.everything import PlaneScore
from napari_cellprompt.evaluation.objects import (
    COLUMNS,
    KnownPlane,
    ObjectScore,
    evaluate,
    objects_of,
    pick_cases,
)
from napari_cellprompt.evaluation.picture import contact_sheet
from napari_cellprompt.evaluation.table import calibration_error, summarise


def plane(name: str = "squares", numbers: Sequence[int] = (1, 5)) -> KnownPlane:
    """Two squares of 12 pixels, and one of 2, which is too small to be measured."""
    labels = np.zeros((60, 80), np.uint32)
    labels[10:22, 10:22] = numbers[0]
    labels[30:42, 50:62] = numbers[1]
    labels[50:52, 5:7] = 9
    image = (labels > 0).astype(np.uint8) * 200
    return KnownPlane(name, PlaneSource.from_image(image), labels)


def answer(mask: np.ndarray, score: float = 0.8) -> Prediction:
    cropped = CroppedMask(mask, (0, 0), mask.shape)
    candidate = Candidate(cropped, np.where(mask, 1, -1).astype(np.float32), score)
    return Prediction((candidate,), 1.0, Tile(1.0, 0, 0, 64), 0.0)


class Brush:
    """Paints 5 x 5 pixels at every click; fills boxes; repeats masks."""

    def __init__(self) -> None:
        self.asked: list[Prompts] = []

    def predict_many(
        self, plane: PlaneSource, prompts: Sequence[Prompts]
    ) -> list[Prediction]:
        self.asked += prompts
        return [self._one(plane.shape, item) for item in prompts]

    def _one(self, shape: tuple[int, int], prompts: Prompts) -> Prediction:
        mask = np.zeros(shape, dtype=bool)
        for (x, y), label in zip(prompts.points, prompts.labels, strict=True):
            mask[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = label
        if prompts.box is not None:
            x0, y0, x1, y1 = (int(value) for value in prompts.box)
            mask[y0:y1, x0:x1] = True
        if prompts.mask is not None:
            mask = decode(prompts.mask)
        return answer(mask)


def test_every_kind_of_prompt_is_measured() -> None:
    brush = Brush()
    scores = evaluate(brush, pick_cases([plane()]))
    assert [score.size for score in scores] == [12, 12]
    for score in scores:
        assert score.click == pytest.approx(25 / 144)
        assert score.click < score.clicks3 < score.clicks5 < 1
        assert score.box == 1
        assert score.mask == score.moved == pytest.approx(11**2 / (2 * 144 - 11**2))
        assert score.ellipse == pytest.approx(np.pi / 4, abs=0.03)
        assert score.click_believed == score.box_believed == 0.8
    assert max(len(prompts.points) for prompts in brush.asked) == 5
    # the truth is never given away: one object's clicks lie on it, or correct too much
    labels = plane().labels
    first = [p for p in brush.asked if len(p.points) == 1]
    assert [labels[int(p.points[0][1]), int(p.points[0][0])] for p in first] == [1, 5]


def test_an_answer_that_is_right_needs_no_further_clicks() -> None:
    known = plane()

    class Oracle(Brush):
        def _one(self, shape: tuple[int, int], prompts: Prompts) -> Prediction:
            if prompts.points:
                x, y = (int(value) for value in prompts.points[0])
                return answer(known.labels == known.labels[y, x])
            return super()._one(shape, prompts)

    oracle = Oracle()
    scores = evaluate(oracle, pick_cases([known]))
    assert [score.clicks5 for score in scores] == [1, 1]
    assert max(len(prompts.points) for prompts in oracle.asked) == 1


@pytest.mark.parametrize("numbers", [(1, 5), (3, 4_000_000)], ids=["small", "huge"])
def test_objects_are_found_whatever_their_numbers(numbers: tuple[int, int]) -> None:
    cases = objects_of(plane(numbers=numbers))
    assert sorted(case.id for case in cases) == list(numbers)
    assert {case.box for case in cases} == {(10, 10, 22, 22), (50, 30, 62, 42)}
    assert all(case.truth.sum() == 144 for case in cases)


def test_a_plane_without_background_has_objects_too() -> None:
    labels = np.ones((20, 20), np.uint8)
    labels[:, 10:] = 2
    known = KnownPlane("full", PlaneSource.from_image(labels), labels)
    assert [case.id for case in objects_of(known)] == [1, 2]


def test_a_limited_choice_is_spread_and_repeatable() -> None:
    planes = [plane() for _ in range(30)]
    assert sum(len(group) for group in pick_cases(planes)) == 60
    groups = pick_cases(planes, 20)
    assert sum(len(group) for group in groups) <= 20
    chosen = [planes.index(group[0].plane) for group in groups]
    assert len(chosen) == 3 and chosen[0] == 0 and chosen[-1] == 29
    again = pick_cases(planes, 20)
    assert [[c.id for c in g] for g in groups] == [[c.id for c in g] for g in again]
    assert sum(len(group) for group in pick_cases(planes, 1)) == 1


def test_progress_is_told_by_plane() -> None:
    told: list[str] = []
    evaluate(Brush(), pick_cases([plane(), plane()]), progress=told.append)
    assert told == [
        "squares: plane 1, 2 objects so far",
        "squares: plane 2, 4 objects so far",
    ]


def score(dataset: str, value: float, believed: float) -> ObjectScore:
    return ObjectScore(dataset, 10, *([value] * 8), believed, believed)


def test_table_has_means_of_objects_and_of_sets() -> None:
    scores = [score("a", 0.5, 0.5), score("a", 0.7, 0.7), score("b", 0.9, 0.4)]
    table = summarise(scores)
    assert list(table) == ["a", "b", "all objects", "mean of the above sets"]
    assert table["a"]["objects"] == 2
    for field in COLUMNS:
        assert table["a"][field] == pytest.approx(0.6)
        assert table["all objects"][field] == pytest.approx(0.7)
        assert table["mean of the above sets"][field] == pytest.approx(0.75)
    assert table["a"]["click_ece"] == pytest.approx(0)
    assert table["b"]["box_ece"] == pytest.approx(0.5)
    assert list(summarise(scores[2:])) == ["b"]


def test_table_of_what_was_measured_in_part() -> None:
    planes = [
        PlaneScore("a", 0.5, 0.3, 4, 5, 1.0),
        PlaneScore("a", 0.7, 0.5, 4, 5, 1.0),
        PlaneScore("c", 0.2, 0.1, 4, 5, 1.0),
    ]
    table = summarise([score("b", 0.9, 0.4)], planes)
    assert list(table) == ["b", "a", "c", "all objects", "mean of the above sets"]
    assert table["a"] == pytest.approx({"ap50": 0.6, "ap": 0.4})
    assert table["mean of the above sets"]["ap50"] == pytest.approx(0.4)
    assert table["mean of the above sets"]["click"] == pytest.approx(0.9)
    assert "ap50" not in table["b"]
    assert "objects" not in summarise([], planes)["mean of the above sets"]


def test_calibration_error() -> None:
    assert calibration_error([], []) == 0
    assert calibration_error([0.9, 0.9, 0.1], [0.7, 0.9, 0.1]) == pytest.approx(0.2 / 3)
    # wrong one by one, but right on the average of the bin
    assert calibration_error([0.55, 0.55], [0.2, 0.9]) == pytest.approx(0)
    assert calibration_error([1.0, 1.2], [1.0, 1.0]) == pytest.approx(0.1)


def test_corrections_go_into_the_larger_mistake() -> None:
    truth = np.zeros((30, 30), dtype=bool)
    truth[5:15, 5:15] = True
    found = truth.copy()
    assert correction(CroppedMask(found, (0, 0), found.shape), truth) is None
    found[5:15, 12:15] = False
    assert correction(CroppedMask(found, (0, 0), found.shape), truth) == ((13.0, 6.0), 1)
    found[20:29, 20:29] = True
    assert correction(CroppedMask(found, (0, 0), found.shape), truth) == ((24.0, 24.0), 0)


def test_simple_measures() -> None:
    assert ellipse_iou(np.ones((40, 40), dtype=bool)) == pytest.approx(np.pi / 4, abs=0.01)
    mask = np.zeros((9, 9), dtype=bool)
    mask[2:7, 0:5] = True
    assert innermost(mask).tolist() == [2, 4]
    assert iou(CroppedMask(mask[2:7, 0:5], (2, 0), mask.shape), mask) == 1
    assert iou(CroppedMask(mask[:0], (0, 0), mask.shape), mask) == 0
    corner = np.zeros((9, 9), dtype=bool)
    corner[8, 8] = True
    assert (moved(corner, Box(8, 8, 9, 9)) == corner).all()


def test_the_sheet_shows_worst_first() -> None:
    known = plane()
    cases = objects_of(known) * 10
    scores = [score("squares", row / 20, 0.5) for row in range(20)]
    sheet = contact_sheet(Brush(), cases, scores)
    assert sheet.shape == (3 * 192, 6 * 192, 3)
    # a box is answered without a mistake: the truth hides its outline
    for colour, seen in (
        ((0, 255, 0), True),
        ((255, 40, 40), True),
        ((255, 220, 0), False),
    ):
        near = np.abs(sheet.astype(int) - colour).max(axis=2) < 60
        assert near.any() == seen, colour
    few = contact_sheet(Brush(), cases[:2], scores[:2])
    assert few.shape == (192, 6 * 192, 3)
