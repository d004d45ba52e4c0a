"""What propagation does with what the model finds; the model is a threshold."""

from __future__ import annotations

import numpy as np
import pytest
from tests.followers import areas, discs, followed, painted, seed, still

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.types import Prompts


def test_an_object_is_followed_both_ways_to_its_ends(engine) -> None:
    stack = discs([still(range(3, 9))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    assert followed(it) == [6, 7, 8, 9, 4, 3, 2]
    size = (stack[5] > 128).sum()
    found = areas(it)
    assert all(abs(found[p] - size) <= 0.1 * size for p in range(3, 9))
    states = {p: it.outcome(1, p).state for p in it.planes(1)}
    assert states[9] == states[2] == "ended"
    assert states[5] == "prompted"
    assert it.outcome(1, 10) is None


@pytest.mark.parametrize(
    ("options", "planes"),
    [
        pytest.param({"direction": "forward"}, [6, 7, 8, 9, 10, 11], id="forward"),
        pytest.param({"direction": "backward"}, [4, 3, 2, 1, 0], id="backward"),
        pytest.param({"start": 4, "stop": 7}, [6, 7, 4], id="range"),
        pytest.param({"start": 8, "stop": 9}, [6, 7, 8, 9], id="range beyond the prompt"),
        pytest.param({"start": 5, "stop": 5}, [], id="the prompted plane alone"),
    ],
)
def test_directions_and_ranges(engine, options, planes) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    assert it.count(**options) == len(planes)
    assert followed(it, **options) == planes


def test_a_second_run_does_only_what_is_missing(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    assert followed(it, stop=7) == [6, 7, 4, 3, 2, 1, 0]
    assert followed(it) == [8, 9, 10, 11]
    assert followed(it) == []


def test_cancelling_keeps_what_is_done_and_resumes(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    done: list[int] = []
    for plane, _ in it.propagate(cancelled=lambda: len(done) >= 3):
        done.append(plane)
    assert done == [6, 7, 8]
    assert it.planes(1) == [5, 6, 7, 8]
    assert followed(it) == [9, 10, 11, 4, 3, 2, 1, 0]


def test_a_tile_follows_the_object(engine) -> None:
    moving = {p: (60.0 + 10 * p, 150.0, 8.0) for p in range(12)}
    stack = discs([moving], (12, 300, 300))
    it = engine(stack)
    it.prompt(1, 0, painted(stack[0]))
    followed(it)
    found = areas(it)
    assert min(found.values()) > 0.9 * (stack[0] > 128).sum()
    views = {view for _, view, _ in SamFollower.looked}
    assert 2 <= len(views) <= 6


def test_the_whole_field_can_be_looked_at(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack, geometry="field")
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    assert {type(view).__name__ for _, view, _ in SamFollower.looked} == {"FieldView"}
    size = (stack[5] > 128).sum()
    assert all(abs(found - size) <= 0.15 * size for found in areas(it).values())


def test_objects_of_one_tile_are_tracked_together_and_never_overlap(engine) -> None:
    stack = discs([still(range(12), x=30), still(range(12), x=60)])
    it = engine(stack)
    it.prompt_many(5, {7: seed(stack[5], 30, 50, 15), 3: seed(stack[5], 60, 50, 15)})
    followed(it)
    assert all(ids == (7, 3) for _, _, ids in SamFollower.looked)
    both = it.outcome(7, 8).mask.to_plane() & it.outcome(3, 8).mask.to_plane()
    assert not both.any()


def test_a_locked_mask_keeps_its_pixels(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    it.prompt(2, 5, painted(stack[5]))
    list(it.propagate(ids=[1], stop=6))
    locked = it.lock(1, 6).mask.to_plane()
    list(it.propagate(ids=[2], stop=6))
    assert np.array_equal(it.outcome(1, 6).mask.to_plane(), locked)
    assert not (it.outcome(2, 6).mask.to_plane() & locked).any()


def test_news_hold_objects_that_lost_pixels(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(5, 5, painted(stack[5]))
    followed(it, stop=7)
    it.prompt(2, 6, painted(stack[6]))
    ids = {plane: {o.id for o in news} for plane, news in it.propagate(ids=[2], stop=7)}
    assert ids[7] == {2, 5}
    assert it.outcome(5, 7).mask.area == 0


def test_divisions_are_found_and_accepted(engine) -> None:
    left = dict.fromkeys(range(6, 12), (34.0, 50.0, 7.0))
    right = dict.fromkeys(range(6, 12), (54.0, 50.0, 7.0))
    mother = dict.fromkeys(range(6), (44.0, 50.0, 14.0))
    stack = discs([mother, left, right])
    it = engine(stack)
    it.prompt(1, 2, painted(stack[2]))
    followed(it)
    (division,) = it.divisions()
    assert (division.id, division.plane) == (1, 6)
    with pytest.raises(PromptError, match="two new ids"):
        it.split(division, (1, 4))
    it.split(division, (4, 5))
    followed(it)
    assert [p for p, area in areas(it, 1).items() if area] == [0, 1, 2, 3, 4, 5]
    for daughter in (4, 5):
        assert [p for p, area in areas(it, daughter).items() if area] == list(range(6, 12))
    assert it.divisions() == []


def test_doubtful_planes_come_first(engine) -> None:
    sizes = dict.fromkeys(range(12), (40.0, 50.0, 9.0))
    sizes[8] = (40.0, 50.0, 5.0)
    stack = discs([sizes])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    assert it.worst_plane(1) in (8, 9)
    assert {it.worst_plane(1), it.worst_plane(1, after=it.worst_plane(1))} == {8, 9}
    found = {item.plane: item for item in it.confidence(1)}
    assert found[5].confidence == 1
    assert found[8].area_jump > 1
    assert all(0 <= item.confidence <= 1 for item in found.values())


def test_snapshots_bring_back_what_was(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    kept, before = it.snapshot(), areas(it)
    it.prompt(1, 7, seed(stack[7], 30, 50, 10))
    followed(it)
    assert {place[1] for place in it.differences(kept)} == {6, 7, 8, 9, 10, 11} - {
        place for place in range(12) if areas(it)[place] == before[place]
    }
    it.restore(kept)
    assert areas(it) == before


def test_removed_objects_are_gone(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    it.remove(1)
    assert it.ids == []
    with pytest.raises(PromptError, match="no object 1"):
        it.planes(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda it: list(it.propagate()), "no object to follow", id="none"),
        pytest.param(
            lambda it: it.prompt(1, 12, Prompts(points=((1, 1),), labels=(1,))),
            "plane must lie in 0 to 11",
            id="plane",
        ),
        pytest.param(
            lambda it: it.prompt(0, 1, Prompts(points=((1, 1),), labels=(1,))),
            "must be positive",
            id="id",
        ),
        pytest.param(
            lambda it: it.prompt(1, 1, Prompts(mask=encode(np.zeros((96, 96))))),
            "mask prompt is empty",
            id="empty mask",
        ),
        pytest.param(
            lambda it: it.prompt(1, 1, Prompts(mask=encode(np.ones((5, 5))))),
            "the plane has",
            id="mask of another size",
        ),
        pytest.param(lambda it: it.lock(1, 2), "no mask on plane 2", id="lock"),
        pytest.param(lambda it: it.clear(3, 2), "no object 3", id="clear"),
    ],
)
def test_bad_requests_are_told(engine, call, message) -> None:
    with pytest.raises(PromptError, match=message):
        call(engine(discs([still(range(12))])))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"direction": "up"}, "direction must be", id="direction"),
        pytest.param({"start": 7, "stop": 3}, "must not come after", id="order"),
        pytest.param({"stop": 12}, "stop must lie in 0 to 11", id="range"),
        pytest.param({"ids": [9]}, "no object 9", id="id"),
    ],
)
def test_bad_ranges_are_told(engine, options, message) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    with pytest.raises(PromptError, match=message):
        list(it.propagate(**options))


@pytest.mark.parametrize(
    "options",
    [
        {"geometry": "tile"},
        {"stop_object_score": 1.5},
        {"stop_overlap": -0.1},
        {"stop_patience": 0},
        {"stop_regrowth": 0.5},
        {"look": -1.0},
    ],
    ids=lambda value: next(iter(value)),
)
def test_bad_settings_are_told(options) -> None:
    with pytest.raises(PromptError, match=next(iter(options))):
        PropagationSettings(**options)
