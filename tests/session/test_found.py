from __future__ import annotations

import numpy as np
from tests.core.masks.test_found import SHAPE, square

from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.session.found import arrange


def test_ids_go_through_the_stack_and_filters_apply() -> None:
    planes = {
        0: [square(5, 5, 8), square(25, 30, 8)],
        1: [square(26, 31, 8), square(6, 5, 8), square(0, 40, 2)],
    }
    result = arrange(planes, (2, *SHAPE), FilterSettings(min_area=10))
    assert result.count == 2
    assert result.candidates == 5
    assert result.removed["area"] == 1
    assert result.labels[0][8, 8] == result.labels[1][8, 8] > 0
    assert result.labels[0][30, 34] == result.labels[1][30, 34] > 0
    masks = list(result.masks())
    assert [number for number, _, _ in masks] == [0, 0, 1, 1]
    for number, object_id, mask in masks:
        np.testing.assert_array_equal(mask.to_plane(), result.labels[number] == object_id)


def test_planes_that_are_not_neighbours_are_not_linked() -> None:
    squares = {0: [square(5, 5, 8)], 2: [square(5, 5, 8)]}
    result = arrange(squares, (3, *SHAPE), FilterSettings())
    assert result.count == 2
    assert not result.labels[1].any()


def test_nothing_at_all() -> None:
    result = arrange({}, (2, *SHAPE), FilterSettings())
    assert (result.count, result.candidates, list(result.masks())) == (0, 0, [])
    assert result.labels.shape == (2, *SHAPE)
