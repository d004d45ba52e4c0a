from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_cellprompt.core.masks.found import (
    FilterSettings,
    FoundObject,
    filter_candidates,
    shared_pixels,
)
from napari_cellprompt.core.types import Candidate, CroppedMask, Tile

SHAPE = (40, 50)


def square(y0: int, x0: int, side: int, **changes: Any) -> FoundObject:
    data = changes.pop("data", np.ones((side, side), bool))
    logits = np.where(data, 2.0, -2.0).astype(np.float32)
    mask = CroppedMask(data, (y0, x0), SHAPE)
    values: dict[str, Any] = {
        "object_score": 1.0,
        "stability": 0.9,
        "votes": 2,
        "consensus": 1.0,
        "agreement": 1.0,
        "touches_border": False,
        "point": (x0 + side / 2, y0 + side / 2),
        "tile": Tile(1.0, 0, 0, 50),
    }
    score = changes.pop("score", 0.8)
    return FoundObject(Candidate(mask, logits, score), **values | changes)


def test_each_filter_counts_what_it_removed() -> None:
    items = [
        square(0, 0, 2),
        square(0, 5, 20),
        square(0, 30, 5, score=0.2),
        square(10, 30, 5, object_score=0.1),
        square(20, 30, 5, stability=0.3),
        square(30, 30, 5, consensus=0.2),
        square(30, 10, 5, touches_border=True),
        square(30, 20, 5),
        square(31, 20, 5, score=0.7),
    ]
    settings = FilterSettings(
        min_area=10,
        max_area=300,
        min_score=0.5,
        min_object_score=0.5,
        min_stability=0.5,
        min_consensus=0.5,
        drop_border=True,
    )
    result = filter_candidates(items, settings)
    assert result.kept == (items[7],)
    assert result.removed == {
        "area": 2,
        "score": 1,
        "object score": 1,
        "stability": 1,
        "consensus": 1,
        "border": 1,
        "overlap": 1,
    }
    assert sum(result.removed.values()) + len(result.kept) == len(items)


def test_nothing_is_removed_by_default_but_overlap() -> None:
    items = [square(0, 0, 1, score=0.0, stability=0.0), square(5, 5, 4)]
    assert filter_candidates(items, FilterSettings()).kept == tuple(items)
    assert filter_candidates([], FilterSettings()).kept == ()


def test_limits_are_included() -> None:
    item = square(0, 0, 4, score=0.5)
    at = FilterSettings(min_area=16, max_area=16, min_score=0.5)
    assert filter_candidates([item], at).kept == (item,)
    assert filter_candidates([item], FilterSettings(min_area=17)).kept == ()
    assert filter_candidates([item], FilterSettings(min_score=0.51)).kept == ()


def test_the_better_of_two_that_overlap_stays() -> None:
    part, whole = square(5, 5, 4, score=0.6), square(4, 4, 8, score=0.8)
    assert filter_candidates([part, whole], FilterSettings()).kept == (whole,)
    assert filter_candidates([whole, part], FilterSettings()).kept == (whole,)
    # clicks that agree weigh more than a slightly better predicted score
    split = square(4, 4, 8, score=0.85, consensus=0.3, agreement=0.4)
    assert filter_candidates([part, split], FilterSettings()).kept == (part,)


def test_a_little_overlap_is_allowed() -> None:
    left, right = square(5, 5, 10), square(5, 12, 10)
    assert shared_pixels(left.mask, right.mask) == 30
    assert len(filter_candidates([left, right], FilterSettings(max_overlap=0.3)).kept) == 2
    assert len(filter_candidates([left, right], FilterSettings(max_overlap=0.29)).kept) == 1


def test_shared_pixels_of_masks_with_holes() -> None:
    ring = np.ones((6, 6), bool)
    ring[2:4, 2:4] = False
    assert shared_pixels(square(5, 5, 6, data=ring).mask, square(7, 7, 2).mask) == 0
    assert shared_pixels(square(5, 5, 6).mask, square(11, 5, 3).mask) == 0


def test_holes_and_islands() -> None:
    data = np.zeros((12, 12), bool)
    data[0:8, 0:8] = True
    data[3, 3] = False
    data[11, 11] = True
    item = square(4, 4, 12, data=data)
    (cleaned,) = filter_candidates([item], FilterSettings(clean_below=3)).kept
    assert cleaned.area == 64
    assert cleaned.mask.data[3, 3]
    assert not cleaned.mask.data[11, 11]
    np.testing.assert_array_equal(cleaned.candidate.logits > 0, cleaned.mask.data)
    assert item.mask.data[11, 11], "the candidate itself must stay as it was found"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"min_area": -1}, "min_area must not be negative: got -1"),
        ({"max_overlap": float("nan")}, "max_overlap must not be negative: got nan"),
        ({"min_area": 9, "max_area": 3}, "min_area 9 must not be above max_area 3"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        FilterSettings(**settings)


def test_of_an_object_seen_by_two_tiles_the_whole_one_stays() -> None:
    half = square(0, 0, 10, score=0.9, cut_by_tile=True)
    whole = square(0, 0, 14, score=0.8)
    assert filter_candidates([half, whole], FilterSettings()).kept == (whole,)
    assert filter_candidates([half], FilterSettings()).kept == (half,)
