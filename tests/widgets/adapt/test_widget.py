from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.fakes import FakeSegmenter
from tests.small_focus import discs, small_focus_file
from tests.widgets.conftest import Desk

from napari_cellprompt.core.zoo.traits import CROP_WISE
from napari_cellprompt.core.zoo.user_models import user_models
from napari_cellprompt.session.adapt import Adaptation, AdaptJob, Outcome
from napari_cellprompt.session.choices import read_choices, remember
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.adapt.collecting import collector_of
from napari_cellprompt.widgets.shared.docks import open_dock

TINY = {"steps": 1, "seconds": 600.0, "most_clicks": 1, "batch": 2}


class Learning(FakeSegmenter):
    """A threshold that says it can learn."""

    traits = CROP_WISE


class Given:
    """A run whose end the test decides."""

    def __init__(self, job: AdaptJob, tell: Callable[[float], None]) -> None:
        self.job, self.tell = job, tell
        self.marked = job.collect()
        self.future: Future[Outcome] = Future()

    def cancel(self) -> None:
        self.future.set_exception(CancelledError())


class Bench:
    """Segment with accepted discs, and Adapt beside it."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.widget = open_dock(desk.viewer, "Adapt")
        self.runs: list[Given] = []

        def start(job: AdaptJob, tell: Callable[[float], None]) -> Given:
            self.runs.append(Given(job, tell))
            return self.runs[-1]

        self.widget.controller._start = start

    def press(self, name: str) -> None:
        button = self.widget.buttons[name]
        assert button.isEnabled() and not button.isHidden(), name
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def shown(self, name: str) -> bool:
        return not self.widget.buttons[name].isHidden()

    @property
    def text(self) -> str:
        return str(self.widget.status_line.text())


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def desk(make_napari_viewer: Any, thread: InferenceThread, wait: Any) -> Desk:
    viewer = make_napari_viewer()
    viewer.add_image(discs(12)[0], name="cells")
    return Desk(viewer, SegmentSession(thread=thread, loader=Learning().load), wait)


def accept(desk: Desk, count: int) -> None:
    _, labels = discs(12)
    for number in range(1, count + 1):
        rows, columns = np.nonzero(labels == number)
        desk.object_at((float(columns.mean()), float(rows.mean())))


def outcome_of(tmp_path: Path, job: AdaptJob, better: bool) -> Outcome:
    path = small_focus_file(tmp_path)
    before = {"click": 0.6, "box": 0.75, "corrections": 1.25, "objects": 3}
    after = {"click": 0.7, "box": 0.8, "corrections": 1.0, "objects": 3}
    return Outcome(job.name, path, better, before, after)


def test_it_is_offered_once_in_a_sentence(desk: Desk) -> None:
    accept(desk, 9)
    assert "Adapt" not in desk.status
    _, labels = discs(12)
    for number in (10, 11):
        rows, columns = np.nonzero(labels == number)
        desk.object_at((float(columns.mean()), float(rows.mean())))
        said = "10 objects are accepted: with Adapt model ..." in desk.status
        assert said == (number == 10)
        reminder = desk.widget.panel.model_line.text()
        assert reminder.endswith("it can learn from 10 accepted objects")
    desk.wait(lambda: read_choices().adapt_offered)
    desk.widget.adapt()
    assert "learn" not in desk.widget.panel.model_line.text()


def test_it_is_not_offered_again_another_day(desk: Desk) -> None:
    remember(adapt_offered=True)
    accept(desk, 10)
    assert "Object 10" in desk.status and "Adapt" not in desk.status
    assert "learn" not in desk.widget.panel.model_line.text()


def test_a_better_model_is_used_and_given_back(desk: Desk, tmp_path: Path) -> None:
    bench = Bench(desk)
    assert not bench.widget.buttons["adapt"].isEnabled()
    accept(desk, 7)
    before = desk.labels.copy()
    bench.press("adapt")
    [run] = bench.runs
    assert run.job.model == "cellprompt-focus" and run.job.images == "cells"
    assert run.job.name == "cellprompt-focus-adapted"
    [plane] = run.marked
    assert np.array_equal(plane.labels, before) and plane.series == ""
    assert np.array_equal(plane.image, discs(12)[0])
    run.tell(0.4)
    desk.wait(lambda: bench.widget.bar.value() == 40)
    assert not bench.widget.buttons["adapt"].isEnabled() and not bench.shown("use")
    run.future.set_result(outcome_of(tmp_path, run.job, better=True))
    desk.wait(lambda: bench.shown("use"))
    assert "better on these objects. Use it?" in bench.text
    assert not bench.widget.buttons["adapt"].isEnabled(), "the offer waits for an answer"
    shown = bench.widget.figures.text()
    assert "3 objects held out" in shown
    assert all(figure in shown for figure in ("0.60", "0.70", "0.75", "0.80", "1.2", "1.0"))
    bench.press("use")
    desk.wait(lambda: desk.widget.models.name == "cellprompt-focus-adapted")
    assert "cellprompt-focus-adapted" in user_models()
    assert "in use from now on" in bench.text
    bench.press("back")
    assert desk.widget.models.name == "cellprompt-focus"
    assert not bench.shown("back")
    desk.wait(bench.widget.buttons["adapt"].isEnabled)
    assert "cellprompt-focus-adapted stays in the list" in bench.text
    assert np.array_equal(desk.labels, before), "what was accepted stays as it is"


@pytest.mark.parametrize("better", [True, False])
def test_a_model_that_nobody_wants_is_deleted(
    desk: Desk, tmp_path: Path, better: bool
) -> None:
    bench = Bench(desk)
    accept(desk, 6)
    bench.press("adapt")
    outcome = outcome_of(tmp_path, bench.runs[0].job, better)
    bench.runs[0].future.set_result(outcome)
    if better:
        desk.wait(lambda: bench.shown("not_now"))
        bench.press("not_now")
    desk.wait(lambda: not outcome.path.exists())
    assert "cellprompt-focus stays in use" in bench.text
    assert better or ("no better" in bench.text and "gains 0.02 of IoU" in bench.text)
    assert "0.60" in bench.widget.figures.text(), "the figures stay"
    assert not bench.shown("use") and not user_models()


def test_a_run_is_stopped(desk: Desk) -> None:
    bench = Bench(desk)
    accept(desk, 6)
    bench.press("adapt")
    bench.press("cancel")
    desk.wait(lambda: "Stopped" in bench.text)
    assert bench.widget.buttons["adapt"].isEnabled()


def test_models_that_do_not_learn_are_named(
    make_napari_viewer: Any, session: SegmentSession, wait: Any
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(discs(8)[0], name="cells")
    desk = Desk(viewer, session, wait)
    bench = Bench(desk)
    accept(desk, 6)
    assert not bench.widget.buttons["adapt"].isEnabled()
    assert "cannot be adapted" in bench.widget.about.text()


def test_planes_of_a_stack_are_a_series(
    make_napari_viewer: Any, session: SegmentSession, wait: Any
) -> None:
    viewer = make_napari_viewer()
    image, labels = discs(8)
    viewer.add_image(np.stack([image] * 5), name="stack")
    desk = Desk(viewer, session, wait)
    pixels = desk.labels
    pixels[1:4] = labels
    viewer.dims.set_point(0, 3)
    marked = collector_of(viewer, desk.widget.place)()
    assert [plane.position for plane in marked] == [3, 2, 1]
    assert {plane.series for plane in marked} == {"stack"}
    assert all(np.array_equal(plane.labels, labels) for plane in marked)


def test_a_real_process_learns_while_the_window_goes_on(
    desk: Desk, tmp_path: Path, qtbot: Any
) -> None:
    bench = Bench(desk)
    accept(desk, 8)
    model = str(small_focus_file(tmp_path))

    def start(job: AdaptJob, tell: Callable[[float], None]) -> Adaptation:
        return Adaptation(replace(job, model=model, settings=TINY), tell, nice=0)

    bench.widget.controller._start = start
    bench.press("adapt")
    assert bench.widget.controller.run is not None
    qtbot.waitUntil(lambda: bench.widget.controller.run is None, timeout=300_000)
    assert "better" in bench.text
    assert "3 objects held out" in bench.widget.figures.text()


def test_a_real_process_ends_with_stop(desk: Desk, tmp_path: Path, qtbot: Any) -> None:
    bench = Bench(desk)
    accept(desk, 8)
    model = str(small_focus_file(tmp_path))
    started: list[Adaptation] = []

    def start(job: AdaptJob, tell: Callable[[float], None]) -> Adaptation:
        settings = {**TINY, "steps": 10**6}
        changed = replace(job, model=model, settings=settings)
        started.append(Adaptation(changed, tell, nice=0))
        return started[-1]

    bench.widget.controller._start = start
    bench.press("adapt")
    qtbot.waitUntil(lambda: started[0]._process is not None, timeout=60_000)
    bench.press("cancel")
    qtbot.waitUntil(lambda: "Stopped" in bench.text, timeout=60_000)
    assert started[0]._process.poll() is not None
    folder = tmp_path / "cache" / "adapted"
    assert not list(folder.iterdir())
