"""What prompts, locks and cleared planes do to propagation; the model is a threshold."""

from __future__ import annotations

import numpy as np
from tests.followers import areas, discs, followed, painted, still

from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.types import Prompts


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


def listened(it, monkeypatch) -> list[Prompts]:
    """What the model is asked from now on."""
    asked: list[Prompts] = []
    original = it.segmenter.predict_many
    monkeypatch.setattr(
        it.segmenter,
        "predict_many",
        lambda plane, prompts, **kw: asked.append(prompts[0]) or original(plane, prompts),
    )
    return asked


def test_points_on_a_tracked_plane_start_from_its_mask(engine, monkeypatch) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    it.prompt(1, 5, painted(stack[5]))
    followed(it)
    asked = listened(it, monkeypatch)
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


def test_a_sketch_is_asked_about_and_a_painted_mask_is_not(engine, monkeypatch) -> None:
    stack = discs([still(range(12))])
    it = engine(stack)
    asked = listened(it, monkeypatch)
    painted_mask = painted(stack[5])
    it.prompt(1, 5, painted_mask)
    assert not asked
    sketch = Prompts(mask=painted_mask.mask, sketch=True)
    it.prompt(1, 5, sketch)
    assert asked == [sketch]
    line = Prompts(mask=painted_mask.mask, strokes=((((40.0, 50.0), (44.0, 50.0)), 0),))
    it.prompt(1, 5, line)
    assert asked[1:] == [line]
