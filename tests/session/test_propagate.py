from __future__ import annotations

import threading

import numpy as np
import pytest
from tests.followers import discs, follow_bright
from tests.random_models import random_model

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.session.propagate import PropagationRun, Seed
from napari_cellprompt.session.segment import LoadedSegmenter, SegmentSession
from napari_cellprompt.session.thread import InferenceThread

WAIT = 20


@pytest.fixture(scope="module")
def segmenter() -> PlaneSegmenter:
    return PlaneSegmenter(random_model())


@pytest.fixture
def session(segmenter, monkeypatch):
    follow_bright(monkeypatch)
    thread = InferenceThread()
    session = SegmentSession(
        thread=thread, loader=lambda *_: LoadedSegmenter(segmenter, "random", "cpu")
    )
    session.load_model("random").result(WAIT)
    yield session
    assert thread.shutdown(WAIT)


@pytest.fixture
def stack() -> np.ndarray:
    return discs([dict.fromkeys(range(12), (40.0, 50.0, 9.0))])


@pytest.fixture
def run(session, stack) -> PropagationRun:
    return PropagationRun(session, ImageStack(stack))


def seed(stack, plane=5, number=1, columns=slice(None)) -> Seed:
    mask = np.zeros(stack[plane].shape, bool)
    mask[:, columns] = stack[plane][:, columns] > 128
    return Seed(number, plane, Prompts(mask=encode(mask)))


def test_planes_and_progress_come_as_they_are_done(run, stack) -> None:
    planes, progress = [], []
    summary = run.start(
        [seed(stack)],
        on_plane=lambda plane, outcomes: planes.append((plane, outcomes[0].state)),
        on_progress=progress.append,
    ).result(WAIT)
    assert planes[0] == (5, "prompted")
    assert [plane for plane, _ in planes[1:]] == [6, 7, 8, 9, 10, 11, 4, 3, 2, 1, 0]
    assert [item.done for item in progress] == list(range(1, 12))
    assert {item.total for item in progress} == {11}
    assert progress[-1].seconds_left == 0
    assert (summary.done, summary.remaining, summary.cancelled) == (11, 0, False)
    assert sorted(run.outcomes()) == [(1, plane) for plane in range(12)]
    assert not run.running


def test_cancel_keeps_what_is_done_and_resume_goes_on(run, stack) -> None:
    planes = []

    def on_plane(plane, outcomes) -> None:
        planes.append(plane)
        if plane == 7:
            run.cancel()

    summary = run.start([seed(stack)], stop=10, on_plane=on_plane).result(WAIT)
    assert planes == [5, 6, 7]
    assert (summary.cancelled, summary.remaining) == (True, 8)
    again = run.resume(on_plane=on_plane).result(WAIT)
    assert planes == [5, 6, 7, 8, 9, 10, 4, 3, 2, 1, 0]
    assert (again.cancelled, again.remaining) == (False, 0)


def test_a_click_gets_its_turn_between_planes(run, session, stack) -> None:
    order = []

    def on_plane(plane, outcomes) -> None:
        order.append(plane)
        if plane == 6:
            session.submit(lambda *_: order.append("click"), kind="test")

    run.start([seed(stack)], on_plane=on_plane).result(WAIT)
    assert order[:4] == [5, 6, "click", 7]


def test_a_correction_in_the_middle_of_a_run_sticks(run, stack) -> None:
    left = seed(stack, plane=9, columns=slice(0, 40))
    corrected = []

    def on_plane(plane, outcomes) -> None:
        if plane == 7 and not corrected:
            corrected.append(run.correct(left))

    run.start([seed(stack)], on_plane=on_plane).result(WAIT)
    outcome = corrected[0].result(WAIT)
    assert outcome.state == "prompted"
    found = run.outcomes()
    assert found[1, 9].mask.area == outcome.mask.area
    assert len(found) == 12


def test_changes_are_shown_before_they_are_final(run, stack) -> None:
    run.start([seed(stack)]).result(WAIT)
    before = {place: item.mask.area for place, item in run.outcomes().items()}
    run.lock(1, 10).result(WAIT)
    run.correct(seed(stack, plane=8, columns=slice(0, 40))).result(WAIT)
    done = []
    changes = run.repropagate([1], on_plane=lambda plane, _: done.append(plane)).result(
        WAIT
    )
    assert sorted(done) == [6, 7, 9]
    assert {item.plane for item in changes.planes} <= {6, 7, 9}
    assert changes.summary.remaining == 0
    run.discard_changes().result(WAIT)
    after = {place: item.mask.area for place, item in run.outcomes().items()}
    assert {place[1] for place in after if after[place] != before[place]} == {8}
    run.repropagate([1]).result(WAIT)
    run.accept_changes()
    assert run.outcomes()[1, 10].state == "locked"


def test_changes_that_nobody_agreed_to_are_no_part_of_what_was_known(run, stack) -> None:
    run.start([seed(stack)]).result(WAIT)
    run.correct(seed(stack, plane=8, columns=slice(0, 40))).result(WAIT)
    corrected = {place: item.mask.area for place, item in run.outcomes().items()}
    stack[9:, :, 45:] = 20  # from now on the object looks different there
    assert run.repropagate([1]).result(WAIT).planes
    undecided = {place: item.mask.area for place, item in run.outcomes().items()}
    assert undecided != corrected
    run.swap(run.swap(None).result(WAIT)).result(WAIT)
    after = {place: item.mask.area for place, item in run.outcomes().items()}
    assert after == corrected


def test_what_is_said_while_changes_are_found_stays(run, stack) -> None:
    run.start([seed(stack)]).result(WAIT)
    before = {place: item.mask.area for place, item in run.outcomes().items()}
    run.correct(seed(stack, plane=8, columns=slice(0, 40))).result(WAIT)
    said = []

    def on_plane(plane, outcomes) -> None:
        if not said:
            said.append(run.correct(seed(stack, plane=2, columns=slice(0, 40))))
            said.append(run.lock(1, 9))
            run.cancel()

    run.repropagate([1], on_plane=on_plane).result(WAIT)
    run.discard_changes().result(WAIT)
    found = run.outcomes()
    assert found[1, 2].mask.area == said[0].result(WAIT).mask.area < before[1, 2]
    assert (found[1, 9].state, found[1, 9].mask.area) == ("locked", before[1, 9])


def test_locks_and_clears_and_removal(run, stack) -> None:
    run.start([seed(stack)]).result(WAIT)
    assert run.lock(1, 8).result(WAIT).state == "locked"
    assert run.unlock(1, 8).result(WAIT).state == "tracked"
    assert run.clear(1, 3).result(WAIT).mask is None
    assert (1, 2) not in run.outcomes()
    assert [item.plane for item in run.confidence(1)] == list(range(3, 12))
    run.remove(1).result(WAIT)
    assert len(run.outcomes()) == 0
    assert run.confidence(1) == []


def test_the_worst_planes_come_first(session) -> None:
    sizes = dict.fromkeys(range(12), (40.0, 50.0, 9.0)) | {8: (40.0, 50.0, 5.0)}
    stack = discs([sizes])
    run = PropagationRun(session, ImageStack(stack))
    run.start([seed(stack)]).result(WAIT)
    worst = run.worst_plane(1)
    assert {worst, run.worst_plane(1, after=worst)} == {8, 9}


def test_estimates_take_the_seeds(run, stack) -> None:
    seeds = [seed(stack)]
    estimate = run.estimate(seeds, start=3).result(WAIT)
    assert estimate.planes == 8
    assert estimate.seconds > 0
    planes = []
    run.start(seeds, start=3, on_plane=lambda plane, _: planes.append(plane)).result(WAIT)
    assert len(planes) == 8


def test_divisions_become_daughters(session) -> None:
    mother = dict.fromkeys(range(5), (44.0, 50.0, 14.0))
    left = dict.fromkeys(range(5, 12), (34.0, 50.0, 7.0))
    right = dict.fromkeys(range(5, 12), (54.0, 50.0, 7.0))
    stack = discs([mother, left, right])
    run = PropagationRun(session, ImageStack(stack))
    run.start([seed(stack, plane=2)]).result(WAIT)
    (division,) = run.divisions()
    run.reject_division(division)
    assert run.divisions() == []
    assert run.accept_division(division).result(WAIT) == (2, 3)
    assert run.parents == {2: 1, 3: 1}
    run.resume().result(WAIT)
    found = run.outcomes()
    assert {place for place in found if found[place].mask is not None} == {
        *((1, plane) for plane in range(5)),
        *((number, plane) for number in (2, 3) for plane in range(5, 12)),
    }


def test_one_run_at_a_time(run, stack) -> None:
    gate = threading.Event()
    future = run.start([seed(stack)], on_plane=lambda *_: gate.wait(WAIT))
    with pytest.raises(PromptError, match="is running"):
        run.start([seed(stack)])
    run.cancel()
    gate.set()
    assert future.result(WAIT).cancelled


def test_errors_reach_who_asked_and_end_the_run(run, stack) -> None:
    def broken(plane, outcomes) -> None:
        raise ValueError("shown to nobody")

    with pytest.raises(ValueError, match="shown to nobody"):
        run.start([seed(stack)], on_plane=broken).result(WAIT)
    assert not run.running
    with pytest.raises(PromptError, match="stop must lie in 0 to 11"):
        run.start([seed(stack)], stop=99).result(WAIT)
    with pytest.raises(PromptError, match="Object 4 has no mask on plane 5"):
        run.lock(4, 5).result(WAIT)
    assert run.start([seed(stack)]).result(WAIT).remaining == 0


def test_a_shut_down_thread_ends_the_run(run, session, stack) -> None:
    entered = threading.Event()
    future = run.start([seed(stack)], on_plane=lambda *_: entered.set())
    assert entered.wait(WAIT)
    session.thread.shutdown(WAIT)
    assert future.exception(WAIT) is not None
    assert not run.running


def test_another_model_goes_on_with_what_is_known(run, session, stack) -> None:
    run.start([seed(stack)], stop=7).result(WAIT)
    other = PlaneSegmenter(random_model())
    session._loader = lambda *_: LoadedSegmenter(other, "other", "cpu")
    session.load_model("other").result(WAIT)
    planes = []
    run.start([], on_plane=lambda plane, _: planes.append(plane)).result(WAIT)
    assert planes == [8, 9, 10, 11]


def test_progress_counts_only_what_was_tracked(session) -> None:
    stack = discs([dict.fromkeys(range(12), (40.0, 50.0, 9.0))])
    run = PropagationRun(session, ImageStack(stack))
    run.start([seed(stack, number=5)]).result(WAIT)
    progress = []
    summary = run.start(
        [seed(stack, number=2)], stop=8, on_progress=progress.append
    ).result(WAIT)
    assert summary.done == 8
    assert [item.done for item in progress] == list(range(1, 9))
    assert {item.total for item in progress} == {8}
