"""All that the engine does goes through the protocol: a model of thresholds drives it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.fake_model import FakeModel
from tests.followers import discs, painted

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.tasks.everything import EverythingSettings, find_on_plane
from napari_cellprompt.tasks.examples.applying import apply_to_plane, choose
from napari_cellprompt.tasks.examples.teaching import empty_bank, teach


@pytest.fixture
def segmenter() -> PlaneSegmenter:
    return PlaneSegmenter(FakeModel())


@pytest.fixture
def image() -> np.ndarray:
    """Three small discs and a large one."""
    small = [(20.0, 20.0), (20.0, 60.0), (70.0, 20.0)]
    places = [{0: (x, y, 6.0)} for x, y in small]
    return discs([*places, {0: (66.0, 66.0, 18.0)}], (1, 96, 96))[0]


def moving(frames: int = 8, away: tuple[int, ...] = ()) -> np.ndarray:
    """A disc that goes two pixels a frame; frames of ``away`` are blank."""
    stack = discs([{t: (30.0 + 2 * t, 40.0, 9.0) for t in range(frames)}], (frames, 96, 96))
    stack[list(away)] = 0
    return stack


def followed(
    segmenter: PlaneSegmenter, stack: np.ndarray, axes: str = "TYX", **settings: object
) -> StackPropagator:
    engine = StackPropagator(
        segmenter, ImageStack(stack, axes=axes), PropagationSettings(**settings)
    )
    engine.prompt(1, 0, painted(stack[0]))
    for _ in engine.propagate():
        pass
    return engine


def states(engine: StackPropagator) -> dict[int, str]:
    return {plane: engine.outcome(1, plane).state for plane in engine.planes(1)}


def test_segment(segmenter, image) -> None:
    plane = PlaneSource.from_image(image)
    prediction = segmenter.predict(plane, Prompts(points=((66.0, 66.0),), labels=(1,)))
    expected = np.zeros(image.shape, bool)
    expected[48:, 48:] = image[48:, 48:] > 128
    np.testing.assert_array_equal(prediction.best.mask.to_plane(), expected)


def test_everything(segmenter, image) -> None:
    found = find_on_plane(segmenter, PlaneSource.from_image(image), EverythingSettings())
    covered = sum(item.mask.to_plane().astype(int) for item in found)
    assert len(found) == 4
    np.testing.assert_array_equal(covered, image > 128)


def test_propagate(segmenter) -> None:
    stack = moving()
    engine = followed(segmenter, stack)
    for plane in range(len(stack)):
        mask = engine.outcome(1, plane).mask
        np.testing.assert_array_equal(mask.to_plane(), stack[plane] > 128)


def test_fewshot(segmenter, image) -> None:
    plane, bank = PlaneSource.from_image(image), empty_bank(segmenter)
    labels = np.zeros(image.shape, np.uint8)
    labels[:30, :30][image[:30, :30] > 128] = 1
    assert teach(segmenter, plane, labels, bank) == 1
    scored = apply_to_plane(segmenter, plane, bank)
    assert len(scored) == 4
    best = max(scored, key=lambda item: item.score)
    worst = min(scored, key=lambda item: item.score)
    assert best.found.area < worst.found.area
    assert best in choose(scored, best.score)


# -- frames that show nothing ---------------------------------------------------
@pytest.mark.parametrize("away", [(4,), (3, 4)], ids=["one", "two in a row"])
def test_blank_frames_of_a_movie_do_not_end_objects(segmenter, away) -> None:
    stack = moving(away=away)
    engine = followed(segmenter, stack)
    for plane in range(len(stack)):
        mask = engine.outcome(1, plane).mask
        if plane in away:
            assert mask is None
            assert engine.outcome(1, plane).state == "absent"
        else:
            np.testing.assert_array_equal(mask.to_plane(), stack[plane] > 128)


def test_a_frame_that_is_not_a_number_is_passed_over(segmenter) -> None:
    stack = moving().astype(np.float32)
    stack[4] = np.nan
    engine = StackPropagator(segmenter, ImageStack(stack, axes="TYX", limits=(0, 255)))
    engine.prompt(1, 0, painted(stack[0]))
    for _ in engine.propagate():
        pass
    assert states(engine)[4] == "absent"
    assert states(engine)[7] == "tracked"


def test_a_run_that_stopped_in_a_gap_goes_on_behind_it(segmenter) -> None:
    stack = moving(away=(4,))
    engine = StackPropagator(segmenter, ImageStack(stack, axes="TYX"))
    engine.prompt(1, 0, painted(stack[0]))
    for stop in (4, 7):
        for _ in engine.propagate(stop=stop):
            pass
        engine.restore(engine.snapshot())
    assert states(engine)[7] == "tracked"


def test_estimated_memory_is_never_more_than_the_cache_holds(segmenter) -> None:
    stack = moving()
    engine = StackPropagator(segmenter, ImageStack(stack, axes="TYX"))
    engine.prompt(1, 0, painted(stack[0]))
    assert engine.estimate().nbytes == 1500 + 10
