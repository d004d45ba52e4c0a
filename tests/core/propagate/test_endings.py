"""Where propagation says that an object ends; the model is a threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.followers import areas, discs, followed, painted, seed, still

from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter


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
