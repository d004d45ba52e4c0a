from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_cellprompt.core.types import PlaneKey, Prompts
from napari_cellprompt.session.object_rows import (
    doubtful,
    main_axis,
    outliers,
    plane_doubts,
    row_of,
    worst_planes,
)
from napari_cellprompt.session.objects import ObjectPlane, ObjectRecord


def tracked(areas: dict[int, int], object_id: int = 1, trust: float = 0.8) -> ObjectRecord:
    planes = tuple(
        ObjectPlane(
            PlaneKey("", (place,), (1, 2), None, None),
            Prompts(),
            0.9,
            area,
            (0, 0, 9, 9),
            trust,
            "tracked",
        )
        for place, area in areas.items()
    )
    return ObjectRecord(object_id, planes)


def test_row_is_in_order_and_calibrated() -> None:
    row = row_of(tracked({5: 20, 3: 10, 4: 15}), unit_size=0.5)
    assert row.planes == (3, 4, 5)
    assert row.areas.tolist() == [10, 15, 20]
    assert row.size == 22.5
    assert row.trust is not None
    assert abs(row.trust - 0.8) < 1e-9


def test_a_jump_of_the_area_stands_out_and_a_slope_does_not() -> None:
    areas = np.array([40, 50, 60, 150, 75, 80, 85])
    assert np.flatnonzero(outliers(range(7), areas)).tolist() == [3]
    slope = np.array([100, 120, 144, 173, 207, 249])
    assert not outliers(range(6), slope).any()
    assert not outliers(range(3), np.array([1, 100, 1])).any()


def test_worst_plane_is_the_one_with_the_least_trust_and_the_most_pixels() -> None:
    record = tracked({0: 100, 1: 100, 2: 100, 3: 100, 4: 30})
    planes = list(record.planes)
    planes[1] = replace(planes[1], trust=0.3)
    planes[4] = replace(planes[4], trust=0.2)
    record = replace(record, planes=tuple(planes))
    assert worst_planes(record)[:2] == [1, 4]
    planes[1] = replace(planes[1], origin="locked")
    assert 1 not in plane_doubts(replace(record, planes=tuple(planes)))


def test_doubtful_objects_come_by_trust_and_size_and_verified_ones_not_at_all() -> None:
    small = row_of(tracked({0: 10, 1: 10}, 1, trust=0.1))
    large = row_of(tracked({0: 900, 1: 900}, 2, trust=0.6))
    sure = row_of(replace(tracked({0: 9000}, 3, trust=0.1), state="verified"))
    assert [row.record.id for row in doubtful([small, sure, large])] == [2, 1]


def test_main_axis_is_the_one_along_which_objects_reach() -> None:
    def at(*index: int) -> ObjectRecord:
        key = PlaneKey("", index, (2, 3), None, None)
        return ObjectRecord(1, (ObjectPlane(key, Prompts(), 0, 1, (0, 0, 1, 1)),))

    assert main_axis([at(0, 3), at(1, 3), at(2, 4)]) == 0
    assert main_axis([at(0, 3), at(0, 4)]) == 1
    assert main_axis([]) == 0
