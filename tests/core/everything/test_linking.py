from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.everything.linking import PlaneLinker


def plane(*squares: tuple[int, int, int]) -> np.ndarray:
    """Squares of 8 pixels: id, row, column."""
    labels = np.zeros((30, 40), np.uint8)
    for number, y, x in squares:
        labels[y : y + 8, x : x + 8] = number
    return labels


def link_planes(planes: list[np.ndarray], min_iou: float = 0.3) -> list[np.ndarray]:
    linker = PlaneLinker(min_iou)
    return [linker.add(plane) for plane in planes]


def test_ids_follow_objects_however_planes_number_them() -> None:
    planes = [
        plane((1, 2, 2), (2, 2, 20)),
        plane((7, 3, 21), (9, 3, 3)),
        plane((1, 4, 22), (2, 4, 4), (3, 20, 20)),
    ]
    linked = link_planes(planes)
    assert [int(p[6, 6]) for p in linked] == [1, 1, 1]
    assert [int(p[6, 24]) for p in linked] == [2, 2, 2]
    assert linked[2][24, 24] == 3
    for before, after in zip(planes, linked, strict=True):
        np.testing.assert_array_equal(before > 0, after > 0)


def test_an_id_is_never_used_again() -> None:
    linked = link_planes([plane((1, 2, 2)), plane(), plane((1, 2, 2))])
    assert [int(p.max()) for p in linked] == [1, 0, 2]


def test_near_is_not_enough() -> None:
    linked = link_planes([plane((1, 2, 2)), plane((1, 2, 10))])
    assert int(linked[1].max()) == 2
    # IoU of 3 rows of 8 shared: 24 / 104
    moved = [plane((1, 2, 2)), plane((1, 7, 2))]
    assert int(link_planes(moved, min_iou=0.24)[1].max()) == 2
    assert int(link_planes(moved, min_iou=0.23)[1].max()) == 1


def test_of_two_halves_one_keeps_the_id() -> None:
    whole = plane((1, 2, 2))
    halves = whole.copy()
    halves[2:10, 7:10] = 2
    linked = link_planes([whole, halves])
    assert (int(linked[1][5, 3]), int(linked[1][5, 8])) == (1, 2)


def test_ids_may_start_later() -> None:
    assert int(PlaneLinker(first_id=300).add(plane((1, 2, 2))).max()) == 300
    with pytest.raises(ValueError, match="min_iou"):
        PlaneLinker(0)
