from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.types import PlaneKey, Prompts
from napari_cellprompt.session.objects import ObjectPlane, ObjectRecord
from napari_cellprompt.session.quality import (
    draw,
    rank_correlation,
    report_of,
    wilson_interval,
)


def records(count: int, classes: tuple[str, ...] = ("",)) -> list[ObjectRecord]:
    key = PlaneKey("", (0,), (1, 2), None, None)
    plane = ObjectPlane(key, Prompts(), 0.9, 20, (0, 0, 4, 5))
    return [
        ObjectRecord(
            number + 1,
            (replace(plane, trust=number / count),),
            class_name=classes[number % len(classes)],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(("right", "count"), [(0, 5), (3, 30), (29, 30), (30, 30), (1, 1)])
def test_interval_is_the_one_of_scipy(right: int, count: int) -> None:
    from scipy.stats import binomtest

    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, count) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_no_share_of_nothing() -> None:
    with pytest.raises(CellpromptError, match="no share"):
        wilson_interval(1, 0)


def test_rank_correlation_is_the_one_of_scipy() -> None:
    from scipy.stats import spearmanr

    generator = np.random.default_rng(1)
    first = generator.integers(0, 6, 25).astype(float)
    second = first + generator.normal(0, 2, 25).round()
    expected = spearmanr(first, second).statistic
    assert rank_correlation(first.tolist(), second.tolist()) == pytest.approx(expected)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2], [1, 2]) is None


def test_a_seed_draws_the_same_sample_and_another_one_another() -> None:
    known = records(200)
    first = draw(known, 30, seed=4)
    assert first == draw(known[::-1], 30, seed=4)
    assert first != draw(known, 30, seed=5)
    assert len({item.id for item in first.drawn}) == 30
    assert first.population == 200


def test_every_object_is_equally_likely() -> None:
    known, seen = records(10), np.zeros(11)
    for seed in range(400):
        for item in draw(known, 3, seed=seed).drawn:
            seen[item.id] += 1
    assert np.abs(seen[1:] / 400 - 0.3).max() < 0.09


def test_classes_get_their_share_and_none_is_left_out() -> None:
    known = records(90) + [replace(r, id=r.id + 100, class_name="rare") for r in records(3)]
    names = [item.class_name for item in draw(known, 30).drawn]
    assert names.count("rare") == 1
    assert names.count("") == 29


def test_fewer_objects_than_wanted_are_all_drawn_and_drafts_are_not() -> None:
    known = records(5)
    known[0] = replace(known[0], state="draft")
    assert {item.id for item in draw(known, 30).drawn} == {2, 3, 4, 5}
    with pytest.raises(CellpromptError, match="no accepted object"):
        draw([known[0]], 30)


def test_report_counts_what_was_looked_at() -> None:
    sample = draw(records(40, ("a", "b")), 10, seed=3)
    with pytest.raises(CellpromptError, match="No object"):
        report_of(sample)
    ids = [item.id for item in sample.drawn]
    for number, object_id in enumerate(ids[:8]):
        if number < 6:
            sample = sample.judged(object_id, "right", 1.0)
        elif number == 6:
            sample = sample.judged(object_id, "mended", 0.5)
        else:
            sample = sample.judged(object_id, "no object", 0.0)
    assert sample.next is not None
    assert sample.next.id == ids[8]
    report = report_of(sample, {"layer": "Objects"})
    assert (report.right, report.looked_at) == (6, 8)
    assert report.mean_iou == pytest.approx(6.5 / 8)
    assert sum(count for count, _ in report.by_class.values()) == 8
    values = json.loads(report.to_json())
    assert values["share_right"] == 0.75
    assert values["provenance"]["layer"] == "Objects"
    assert values["objects"][0]["verdict"] == "right"
    assert "6 (75%, 95 % Wilson interval 41% to 93%)" in report.methods()
    assert "mended" in report.to_text()


def test_a_verdict_needs_an_object_of_the_sample_and_an_iou() -> None:
    sample = draw(records(4), 2)
    with pytest.raises(CellpromptError, match="not in the sample"):
        sample.judged(99, "right", 1.0)
    with pytest.raises(CellpromptError, match="0 to 1"):
        sample.judged(sample.drawn[0].id, "mended", 1.5)
