"""The loop that follows objects, with a follower whose answers are known."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest
from tests.followers import discs, follow_bright

from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.propagate.types import Estimate
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.tasks.divisions import divide
from napari_cellprompt.tasks.following import (
    Seed,
    Span,
    Tally,
    announce,
    follow_objects,
    follow_planes,
    prompt_seeds,
)
from napari_cellprompt.tasks.report import Report


@pytest.fixture
def engine(model, monkeypatch) -> StackPropagator:
    follow_bright(monkeypatch)
    stack = discs([dict.fromkeys(range(8), (44.0, 50.0, 12.0))], (8, 96, 96))
    return StackPropagator(PlaneSegmenter(model), ImageStack(stack, axes="ZYX"))


def seed(engine: StackPropagator, plane: int = 3, number: int = 5) -> Seed:
    grey = engine.stack.plane(plane).read(0, 96, 0, 96)
    return Seed(number, plane, Prompts(mask=encode(grey > 128)))


def test_objects_are_prompted_plane_by_plane(engine) -> None:
    seeds = [seed(engine, 6), seed(engine, 2, number=7), seed(engine, 2)]
    prompted = list(prompt_seeds(engine, seeds))
    assert [plane for plane, _ in prompted] == [2, 6]
    assert [[item.id for item in outcomes] for _, outcomes in prompted] == [[7, 5], [5]]


def test_steps_add_up(engine) -> None:
    list(prompt_seeds(engine, [seed(engine)]))
    steps = list(follow_planes(engine, Span(start=1, direction="both")))
    assert [step.plane for step in steps] == [4, 5, 6, 7, 2, 1]
    assert [step.tracked for step in steps] == [1] * 6
    assert [step.left for step in steps] == [5, 4, 3, 2, 1, 0]
    assert all(step.seconds > 0 for step in steps)


def test_progress_is_told_and_a_stopped_run_goes_on(engine) -> None:
    list(prompt_seeds(engine, [seed(engine)]))
    told: list[tuple[int, int]] = []
    report = Report(
        progress=lambda *steps: told.append(steps), cancelled=lambda: len(told) == 3
    )
    assert follow_objects(engine, report=report).tracked == 3
    assert told == [(1, 7), (2, 7), (3, 7)]
    said: list[str] = []
    assert follow_objects(engine, report=Report(say=said.append)).tracked == 4
    assert said[-1].startswith("4 planes of objects in ")
    assert follow_objects(engine).tracked == 0


def test_nothing_is_followed_where_nothing_is_known(engine) -> None:
    assert follow_objects(engine) == Tally(0, 0.0)
    assert divide([], Span(), Report()) == []


def test_only_long_runs_are_announced(engine, monkeypatch) -> None:
    list(prompt_seeds(engine, [seed(engine)]))
    said: list[str] = []
    announce(engine, Span(), Report(say=said.append))
    assert said == []
    monkeypatch.setattr(engine, "estimate", lambda **_: Estimate(7, 150.0, 3 << 20))
    announce(engine, Span(), Report(say=said.append))
    assert said == [
        "7 planes of 1 object: about 2 min, at most 3 MB of features and memories"
    ]


def test_a_stop_while_the_time_is_estimated_is_no_error(engine, monkeypatch) -> None:
    def stopped(**_: object) -> Estimate:
        raise CancelledError

    monkeypatch.setattr(engine, "estimate", stopped)
    announce(engine, Span(), Report())
