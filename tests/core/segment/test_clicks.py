"""Clicks are gone through in their order, each correcting the mask before it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.model import Answer
from napari_cellprompt.core.inference.sam import model as plane_module
from napari_cellprompt.core.inference.sam.clicks import carried, near_click
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.segment.clicks import steps_of
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Candidate, CroppedMask, Prediction, Prompts, Tile
from napari_cellprompt.core.zoo.load import LoadedModel, load_model

CLICKS = Prompts(points=((30.0, 30.0), (44.0, 31.0), (12.0, 50.0)), labels=(1, 1, 0))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("cellprompt-nano")


@pytest.fixture
def disc() -> PlaneSource:
    y, x = np.mgrid[:96, :96]
    image = np.where((y - 32) ** 2 + (x - 36) ** 2 < 300, 200, 20).astype(np.uint8)
    return PlaneSource.from_image(image)


@pytest.fixture
def decodings(monkeypatch) -> list[torch.Tensor | None]:
    """The mask prompt of every decoding, in their order."""
    seen: list[torch.Tensor | None] = []
    original = plane_module.decode_prompts

    def spy(network, features, points, labels, logits, **options):
        seen.append(logits)
        return original(network, features, points, labels, logits, **options)

    monkeypatch.setattr(plane_module, "decode_prompts", spy)
    return seen


def test_steps_grow_click_by_click() -> None:
    assert [step.points for step in steps_of(CLICKS)] == [
        CLICKS.points[:1],
        CLICKS.points[:2],
        CLICKS.points,
    ]


def test_the_first_step_needs_a_click_on_the_object() -> None:
    prompts = Prompts(points=((1.0, 1.0), (2.0, 2.0), (3.0, 3.0)), labels=(0, 1, 0))
    assert [len(step.points) for step in steps_of(prompts)] == [2, 3]


def test_a_box_comes_before_its_clicks_and_a_mask_with_them() -> None:
    box = Prompts(points=((5.0, 5.0),), labels=(0,), box=(0.0, 0.0, 9.0, 9.0))
    assert [len(step.points) for step in steps_of(box)] == [0, 1]
    assert all(step.box == box.box for step in steps_of(box))
    painted = Prompts(
        points=((5.0, 5.0), (6.0, 6.0)), labels=(1, 0), mask=encode(np.eye(9, dtype=bool))
    )
    assert steps_of(painted) == [painted]


def _step(logits: torch.Tensor, tile: Tile) -> Answer:
    empty = CroppedMask(np.zeros((1, 1), bool), (0, 0), (64, 64))
    candidate = Candidate(empty, np.zeros((1, 1), np.float32), 0.5)
    return Answer(Prediction((candidate,), 1.0, tile, 0.0), logits)


def test_logits_keep_their_place_in_another_tile() -> None:
    logits = torch.full((1, 1, 8, 8), -5.0)
    logits[0, 0, 4:6, 2:4] = 7.0
    source = Tile(1.0, 0, 0, 32)
    assert torch.equal(carried(_step(logits, source), source), logits)
    # rows 16 to 24 and columns 8 to 16 of the plane, seen twice as large from (12, 4)
    finer = carried(_step(logits, source), Tile(2.0, 12, 4, 16))
    assert finer.shape == logits.shape
    inside = finer[0, 0] > 0
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    assert (rows[0], rows[-1]) == (2, 5)
    assert (columns[0], columns[-1]) == (2, 5)


def test_nothing_was_found_beyond_the_tile_before() -> None:
    beyond = carried(
        _step(torch.full((1, 1, 8, 8), 40.0), Tile(1.0, 0, 0, 32)), Tile(1.0, 0, 64, 32)
    )
    assert torch.allclose(beyond, torch.full_like(beyond, -10.0))
    same = Tile(1.0, 0, 0, 32)
    clamped = carried(_step(torch.full((1, 1, 8, 8), 40.0), same), same)
    assert clamped.max() == 32


def test_each_click_is_given_the_mask_before_it(model, disc, decodings) -> None:
    found = PlaneSegmenter(model).predict(disc, CLICKS, size_hint=36)
    assert decodings[0] is None
    assert all(logits is not None and logits.max() > 0 for logits in decodings[1:])
    assert len(decodings) >= 3
    assert found.best.mask.area > 0


def test_one_more_click_is_one_more_step(model, disc, decodings) -> None:
    segmenter = PlaneSegmenter(model)
    two = Prompts(points=CLICKS.points[:2], labels=CLICKS.labels[:2])
    segmenter.predict(disc, two, size_hint=36)
    before = len(decodings)
    continued = segmenter.predict(disc, CLICKS, size_hint=36)
    assert len(decodings) == before + 1
    at_once = PlaneSegmenter(model).predict(disc, CLICKS, size_hint=36)
    assert np.array_equal(at_once.best.mask.to_plane(), continued.best.mask.to_plane())
    assert at_once.best.score == pytest.approx(continued.best.score, abs=1e-6)


def test_objects_with_other_numbers_of_clicks_together(model, disc) -> None:
    single = Prompts(points=CLICKS.points[:1], labels=(1,))
    boxed = Prompts(box=(18.0, 14.0, 54.0, 50.0))
    together = PlaneSegmenter(model).predict_many(disc, [single, CLICKS, boxed])
    for prompts, found in zip((single, CLICKS, boxed), together, strict=True):
        alone = PlaneSegmenter(model).predict(disc, prompts)
        both = alone.best.mask.to_plane() & found.best.mask.to_plane()
        either = alone.best.mask.to_plane() | found.best.mask.to_plane()
        assert both.sum() >= 0.99 * either.sum() > 0


def logits_of(*squares: tuple[int, int]) -> torch.Tensor:
    """``(32, 32)``: squares of 5 pixels around x, y."""
    found = torch.full((32, 32), -4.0)
    for x, y in squares:
        found[y - 2 : y + 3, x - 2 : x + 3] = 4.0
    return found


def test_a_click_changes_only_what_it_is_about() -> None:
    before = logits_of((6, 6), (20, 6))[None, None]
    # a third square where the click is, while the second one vanishes
    after = torch.stack([logits_of((6, 6), (6, 20)), logits_of((6, 6), (20, 6), (6, 20))])
    kept = near_click(after, before, (7.2, 19.6))
    assert torch.equal(kept[0], logits_of((6, 6), (20, 6), (6, 20)))
    assert torch.equal(kept[1], after[1])


@pytest.mark.parametrize("click", [(20.0, 8.4), (20.0, 10.4)])
def test_a_change_beside_the_click_belongs_to_it(click) -> None:
    before = logits_of((6, 6), (20, 6))[None, None]
    after = logits_of((6, 6))[None]
    assert torch.equal(near_click(after, before, click), after)


def test_another_answer_altogether_is_taken_as_it_is() -> None:
    after = logits_of((26, 26))[None]
    before = logits_of((6, 6))[None, None]
    assert torch.equal(near_click(after, before, (15.0, 15.0)), after)
    nothing = torch.full((1, 1, 32, 32), -4.0)
    assert torch.equal(near_click(after, nothing, (2.0, 2.0)), after)
