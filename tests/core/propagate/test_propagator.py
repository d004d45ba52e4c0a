"""What propagation does with what the model finds; the model is a threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.followers import discs, follow_bright, painted

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts


@pytest.fixture
def engine(model, monkeypatch):
    """Makes an engine for a stack; what it looked at is in ``SamFollower.looked``."""
    follow_bright(monkeypatch)

    def make(stack, **settings):
        SamFollower.looked.clear()
        return StackPropagator(
            PlaneSegmenter(model), ImageStack(stack), PropagationSettings(**settings)
        )

    return make


def still(planes, x=40.0, y=50.0, radius=9.0) -> dict:
    return dict.fromkeys(planes, (x, y, radius))


def seed(stack, x, y, radius=30) -> Prompts:
    """Everything bright around a place."""
    mask = np.zeros(stack.shape, bool)
    mask[max(y - radius, 0) : y + radius, max(x - radius, 0) : x + radius] = True
    return Prompts(mask=encode(mask & (stack > 128)))


def followed(engine, **options) -> list[int]:
    return [plane for plane, _ in engine.propagate(**options)]


def areas(engine, object_id=1) -> dict[int, int]:
    found = {p: engine.outcome(object_id, p).mask for p in engine.planes(object_id)}
    return {p: 0 if mask is None else mask.area for p, mask in found.items()}


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


def test_between_two_prompts_each_plane_comes_from_the_nearer_one(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 2, painted(stack[2]))
    it.prompt(1, 9, painted(stack[9]))
    assert followed(it) == [3, 4, 5, 10, 11, 8, 7, 6, 1, 0]
    assert {p: it._objects[1].planes[p].step for p in (5, 6)} == {5: 1, 6: -1}


def test_a_correction_reaches_to_the_next_verified_plane(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    it.lock(1, 9)
    before = {p: it.outcome(1, p) for p in range(12)}
    half = (stack[7] > 128) & (np.arange(96) < 40)
    changed = it.prompt(1, 7, Prompts(mask=encode(half)))
    assert changed.state == "prompted"
    assert changed.mask.area == half.sum()
    assert it.stale(1) == [6, 8]
    assert sorted(followed(it)) == [6, 8]
    assert np.array_equal(it.outcome(1, 7).mask.to_plane(), half)
    for plane in (0, 4, 5, 9, 10, 11):
        assert np.array_equal(
            it.outcome(1, plane).mask.to_plane(), before[plane].mask.to_plane()
        )
    assert it.outcome(1, 9).state == "locked"


def test_points_on_a_tracked_plane_start_from_its_mask(engine, monkeypatch) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    asked = []
    original = it.segmenter.predict_many
    monkeypatch.setattr(
        it.segmenter,
        "predict_many",
        lambda plane, prompts, **kw: asked.append(prompts[0]) or original(plane, prompts),
    )
    minus = Prompts(points=((44.0, 50.0),), labels=(0,))
    tracked = it.outcome(1, 7).mask.to_plane()
    it.prompt(1, 7, minus)
    it.prompt(1, 7, Prompts(points=((40.0, 50.0),), labels=(1,)))
    expected = encode(tracked)
    assert [item.mask for item in asked] == [expected, expected]
    it.prompt(2, 7, Prompts(points=((40.0, 50.0),), labels=(1,)))
    assert asked[-1].mask is None


def test_nothing_is_followed_through_a_cleared_plane(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    assert it.clear(1, 8).mask is None
    assert it.planes(1) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert followed(it) == [6, 7]
    it.unlock(1, 8)
    assert sorted(followed(it)) == [6, 7, 8, 9, 10, 11]


def test_locking_changes_no_mask_and_can_be_taken_back(engine) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    before = areas(it)
    assert it.lock(1, 8).state == "locked"
    assert areas(it) == before
    assert followed(it) == []
    assert it.unlock(1, 8).state == "tracked"
    assert it.lock(1, 5).state == "locked"
    assert it.unlock(1, 5).state == "prompted"
    assert areas(it) == before


def test_an_object_whose_place_is_taken_elsewhere_has_ended(engine) -> None:
    stack = discs([still(range(7)), still(range(7, 12), x=70)])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    assert followed(it, direction="forward") == [6, 7]
    assert it.outcome(1, 7).state == "ended"


RADII = (11, 10, 9, 7, 5, 5, 8, 11, 11, 10, 8, 6)
"""Of an object and of the next one below it, which it touches."""


def test_an_object_that_grows_again_along_z_is_the_next_one(engine) -> None:
    stack = discs([{z: (48.0, 48.0, float(r)) for z, r in enumerate(RADII)}])
    it = engine(stack)
    it.prompt(1, 0, painted(stack[0]))
    followed(it)
    found = areas(it)
    assert [p for p, area in found.items() if area] == [0, 1, 2, 3, 4, 5]
    assert it.outcome(1, 6).state == "ended"
    never = engine(stack, stop_regrowth=0.0)
    never.prompt(1, 0, painted(stack[0]))
    assert len(followed(never)) == 11


BRIGHT = (220, 210, 190, 160, 130, 132, 145, 190, 220, 220, 210, 190)
"""Grey values of an object and of the next one below it, which has the same outline."""


def faded() -> np.ndarray:
    stack = discs([still(range(12))])
    for plane, grey in zip(stack, BRIGHT, strict=True):
        plane[plane > 128] = grey
    return stack


def test_an_object_that_stands_out_again_along_z_has_ended_where_it_was_faintest(
    engine,
) -> None:
    it = engine(faded())
    it.prompt(1, 0, painted(faded()[0]))
    told = {}
    for _, outcomes in it.propagate():
        told |= {(item.id, item.plane): item for item in outcomes}
    assert [p for p, area in areas(it).items() if area] == [0, 1, 2, 3, 4]
    # what was announced before is taken back, plane by plane
    assert [told[1, p].mask is None for p in range(1, 8)] == [False] * 4 + [True] * 3
    assert [it.outcome(1, p).state for p in (4, 5, 6, 7)] == ["tracked", *["ended"] * 3]
    assert it.outcome(1, 8) is None
    assert followed(it) == [], "a second run finds nothing left to do"
    never = engine(faded(), stop_regrowth=0.0)
    never.prompt(1, 0, painted(faded()[0]))
    assert len(followed(never)) == 11


def test_what_an_object_gives_back_others_have_again(engine) -> None:
    it = engine(faded())
    it.prompt(1, 0, painted(faded()[0]))
    it.prompt(2, 9, painted(faded()[9]))
    followed(it, ids=[2], direction="backward", start=5)
    told = {}
    for _, outcomes in it.propagate(ids=[1], stop=8):
        told |= {(item.id, item.plane): item for item in outcomes}
    size = (faded()[0] > 128).sum()
    assert told[1, 7].mask is None
    for plane in (5, 6):
        assert told[1, plane].mask is None
        assert told[2, plane].mask.area > 0.8 * size


def test_in_a_movie_cells_grow(engine, model) -> None:
    stack = discs([{t: (48.0, 48.0, float(r)) for t, r in enumerate(RADII)}])
    it = StackPropagator(PlaneSegmenter(model), ImageStack(stack, axes="TYX"))
    it.prompt(1, 0, painted(stack[0]))
    assert len(followed(it)) == 11


def test_where_an_interrupted_object_was_smallest_is_not_forgotten(engine) -> None:
    stack = discs([{z: (48.0, 48.0, float(r)) for z, r in enumerate(RADII)}])
    it = engine(stack)
    it.prompt(1, 0, painted(stack[0]))
    followed(it, stop=5)
    it._tracker.forget_all()
    followed(it)
    assert it.outcome(1, 6).state == "ended"


@pytest.mark.parametrize("bad", ["blank", "one value", "dim"])
def test_a_bad_frame_ends_no_object_of_a_movie(engine, model, bad) -> None:
    stack = discs([still(range(12)), still(range(12), x=75, y=30, radius=7)])
    if bad == "dim":
        stack[6] = np.minimum(stack[6], 60)
    else:
        stack[6] = 0 if bad == "blank" else 77
    it = StackPropagator(PlaneSegmenter(model), ImageStack(stack, axes="TYX"))
    it.prompt(1, 2, seed(stack[2], 40, 50, 15))
    it.prompt(2, 2, seed(stack[2], 75, 30, 12))
    followed(it)
    for object_id in (1, 2):
        states = [it.outcome(object_id, plane).state for plane in range(12)]
        assert states[6] == "absent"
        assert states[3:6] == ["tracked"] * 3
        assert states[7:] == ["tracked"] * 5


@pytest.mark.parametrize(
    ("axes", "doubtful", "expected"),
    [
        pytest.param("TYX", range(5, 12), ["tracked", "absent", "absent", "ended"], id="t"),
        pytest.param("TYX", (5, 7), ["tracked"] * 4, id="frames alone"),
        pytest.param("ZYX", range(5, 12), ["tracked"] * 4, id="z"),
    ],
)
def test_an_object_that_is_doubted_frame_after_frame_has_ended(
    engine, model, monkeypatch, axes, doubtful, expected
) -> None:
    """A bud was followed back beyond its birth, at a probability of 0.5 to 0.7."""
    certain = SamFollower.frames

    def unsure(follower, plane, *rest):
        frames = certain(follower, plane, *rest)
        score = 0.5 if plane in doubtful else 6.0  # 0.62 and 0.998
        return [replace(frame, object_logit=score) for frame in frames]

    monkeypatch.setattr(SamFollower, "frames", unsure)
    stack = discs([still(range(12))])
    it = StackPropagator(PlaneSegmenter(model), ImageStack(stack, axes=axes))
    it.prompt(1, 2, seed(stack[2], 40, 50, 15))
    followed(it)
    assert [it.outcome(1, plane).state for plane in (5, 6, 7, 8)] == expected


def test_an_object_that_stays_away_from_a_movie_has_ended(engine, model) -> None:
    stack = discs([still(range(4)), still(range(12), x=75, y=30, radius=7)])
    it = StackPropagator(PlaneSegmenter(model), ImageStack(stack, axes="TYX"))
    it.prompt(1, 1, seed(stack[1], 40, 50, 15))
    it.prompt(2, 1, seed(stack[1], 75, 30, 12))
    followed(it)
    states = [it.outcome(1, plane).state for plane in (3, 4, 5, 6)]
    assert states == ["tracked", "absent", "absent", "ended"]
    assert it.outcome(2, 11).state == "tracked"


@pytest.mark.parametrize("stop", [4, 5])
def test_a_run_that_is_resumed_within_a_gap_ends_where_it_would_have(
    engine, model, stop
) -> None:
    stack = discs([still(range(4)), still(range(12), x=75, y=30, radius=7)])
    it = StackPropagator(PlaneSegmenter(model), ImageStack(stack, axes="TYX"))
    it.prompt(1, 1, seed(stack[1], 40, 50, 15))
    it.prompt(2, 1, seed(stack[1], 75, 30, 12))
    followed(it, stop=stop)
    it.restore(it.snapshot())
    followed(it)
    assert it.outcome(1, 6).state == "ended"
    assert it.outcome(1, 7) is None


def test_frames_that_did_not_count_do_not_count_after_a_resume(engine, model) -> None:
    stack = discs([still(range(12)), still(range(12), x=75, y=30, radius=7)])
    stack[5] = 77
    stack[6:8] = np.minimum(stack[6:8], 60)
    it = StackPropagator(PlaneSegmenter(model), ImageStack(stack, axes="TYX"))
    it.prompt(1, 2, seed(stack[2], 40, 50, 15))
    it.prompt(2, 2, seed(stack[2], 75, 30, 12))
    followed(it, stop=6)
    it.restore(it.snapshot())
    followed(it)
    for object_id in (1, 2):
        states = [it.outcome(object_id, plane).state for plane in range(5, 12)]
        assert states == ["absent"] * 3 + ["tracked"] * 4


def test_patience_bridges_a_plane_where_the_object_is_missing(engine) -> None:
    stack = discs([still([0, 1, 2, 3, 4, 5, 7, 8, 9])])
    it = engine(stack, stop_patience=2)
    it.prompt(1, 3, painted(stack[3]))
    followed(it)
    assert [it.outcome(1, p).state for p in (6, 7, 9, 10, 11)] == [
        "absent",
        "tracked",
        "tracked",
        "absent",
        "ended",
    ]


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
