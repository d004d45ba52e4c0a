"""An object on all planes between those on which it is known."""

import numpy as np
import pytest
from tests.core.fill.test_gap import both, disc, iou

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.fill import gap as gap_module
from napari_cellprompt.core.fill.between import Between, neighbours, planes_between
from napari_cellprompt.core.types import CroppedMask


def ball(centre: int, radius: int, planes) -> dict[int, CroppedMask]:
    return {z: disc(40, 50, (radius**2 - (z - centre) ** 2) ** 0.5) for z in planes}


def test_known_planes_are_left_as_they_are():
    known = {2: disc(30, 30, 8), 6: disc(40, 50, 8)}
    filled = Between(known)
    assert filled.known == [2, 6]
    assert filled.missing == [3, 4, 5]
    assert filled.at(2) is known[2]
    assert filled.at(6) is known[6]


def test_the_caps_of_a_ball_are_round():
    truth = ball(15, 14, range(3, 28))
    filled = Between({z: truth[z] for z in (3, 9, 15, 21, 27)})
    scores = [iou(filled.at(z), truth[z]) for z in filled.missing]
    straight = Between({z: truth[z] for z in (9, 15)})
    assert np.mean(scores) > 0.93
    # with two planes there is no curve to follow
    assert filled.at(12).area > straight.at(12).area


def test_each_gap_is_prepared_once_and_only_when_it_is_asked_for(monkeypatch):
    made = []
    plain = gap_module.Gap.between

    def counted(first, second):
        made.append(1)
        return plain(first, second)

    monkeypatch.setattr(gap_module.Gap, "between", counted)
    filled = Between({z: disc(40, 50, 10) for z in (0, 10, 20)})
    assert not made
    for z in range(1, 10):
        filled.at(z)
    assert len(made) == 1
    filled.at(11)
    assert len(made) == 2


def test_empty_planes_are_not_known():
    empty = CroppedMask(np.zeros((80, 100), bool), (0, 0), (80, 100))
    filled = Between({0: disc(40, 50, 8), 2: empty, 4: disc(40, 50, 8)})
    assert filled.known == [0, 4]
    assert filled.at(2).area > 0


@pytest.mark.parametrize("known", [{}, {3: disc(40, 50, 8)}], ids=["none", "one"])
def test_one_plane_is_not_enough(known):
    with pytest.raises(PromptError, match="two planes at least"):
        Between(known)


def test_planes_of_different_sizes_are_refused():
    with pytest.raises(PromptError, match="one size"):
        Between({0: disc(9, 9, 5), 3: disc(9, 9, 5, (20, 20))})


@pytest.mark.parametrize("plane", [1, 9])
def test_nothing_is_filled_beyond_the_ends(plane):
    with pytest.raises(PromptError, match="2 to 6"):
        Between({2: disc(30, 30, 8), 6: disc(40, 50, 8)}).at(plane)


def test_planes_and_neighbours():
    assert planes_between([]) == []
    assert planes_between([4, 7, 5]) == [6]
    assert neighbours([1, 4, 9], 6) == (4, 9)


@pytest.mark.parametrize("apart", [10, 30], ids=["near", "far"])
def test_parts_that_move_apart_stay_parts(apart):
    first = both(disc(40, 45, 5), disc(40, 57, 5))
    second = both(disc(40, 45 - apart, 5), disc(40, 57 + apart, 5))
    half = Between({0: first, 2: second}).at(1)
    assert iou(half, both(disc(40, 45 - apart / 2, 5), disc(40, 57 + apart / 2, 5))) > 0.9


def test_two_parts_that_move_together_keep_their_partners():
    first = both(disc(20, 20, 6), disc(20, 40, 9))
    second = both(disc(60, 30, 6), disc(60, 50, 9))
    half = Between({0: first, 2: second}).at(1)
    assert iou(half, both(disc(40, 25, 6), disc(40, 45, 9))) > 0.9
