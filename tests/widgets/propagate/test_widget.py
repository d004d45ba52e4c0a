"""The Propagate widget with an engine that follows bright regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.fakes import FollowingSegmenter
from tests.widgets.propagation import (
    PLANES,
    Gate,
    PropagateDesk,
    follow_session,
    follower,
    gate,
    small_model,
    two_discs,
)

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.widgets.propagate.commit import parents_of
from napari_cellprompt.widgets.propagate.widget import PropagateWidget

__all__ = ["follow_session", "follower", "gate", "small_model"]

Wait = Callable[[Callable[[], bool]], None]
AXES = ("z", "y", "x")


@pytest.fixture
def desk(
    make_napari_viewer: Any, follow_session: SegmentSession, wait: Wait, gate: Gate
) -> PropagateDesk:
    viewer = make_napari_viewer()
    viewer.add_image(two_discs(), name="discs", axis_labels=AXES, scale=(2.0, 0.5, 0.5))
    viewer.dims.set_current_step(0, 3)
    return PropagateDesk(viewer, follow_session, wait)


def test_an_object_on_screen_goes_through_the_stack_into_labels(
    desk: PropagateDesk,
) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    area = int(np.count_nonzero(two_discs()[3, :50] > 128))
    expected = [0, area, area, area, area, area, area, 0]
    assert desk.areas(desk.preview) == pytest.approx(expected, rel=0.15)
    assert not desk.labels.any()
    assert "Done" in desk.controller.desk.status
    states = {plane: item.state for plane, item in desk.widget.strip.rows[0].planes.items()}
    assert (states[0], states[3], states[7]) == ("ended", "prompted", "ended")

    desk.controller.accept()
    desk.until("idle")
    assert desk.areas(desk.labels) == pytest.approx(expected, rel=0.15)
    assert "One undo" in desk.controller.desk.status
    written = desk.labels.copy()
    desk.segment.controller.undo()
    assert "undone" in desk.controller.desk.status
    desk.segment.controller.redo()
    np.testing.assert_array_equal(desk.labels, written)
    assert desk.controller.desk.preview.layer is None
    assert len(desk.points.data) == 0
    record = desk.segment.controller.place.acceptor.store(
        desk.segment.form.labels.value
    ).last
    assert (record.id, len(record.planes)) == (1, 6)

    desk.segment.controller.undo()
    assert not desk.labels.any()
    desk.segment.controller.redo()
    assert desk.areas(desk.labels) == pytest.approx(expected, rel=0.15)


def test_stopping_keeps_what_is_done_and_resumes(desk: PropagateDesk, gate: Gate) -> None:
    desk.see_object(3, 33, 30)
    gate.close()
    desk.widget.start()
    # The first look measures how long a plane takes.
    gate.let(1)
    desk.until("running")
    gate.let(2)
    desk.wait(lambda: (desk.controller.desk.progress or (0, 0))[0] == 2)
    assert "s each, about" in desk.controller.desk.status
    assert [plane for plane, area in enumerate(desk.areas(desk.preview)) if area] == [
        3,
        4,
        5,
    ]
    desk.widget.panel.buttons["cancel"].click()
    gate.let(1)
    desk.until("review")
    assert "press Resume" in desk.controller.desk.status
    looked = gate.looked
    assert desk.controller.desk.unfinished > 0
    gate.release()
    desk.widget.panel.buttons["resume"].click()
    desk.until("running")
    desk.until("review")
    assert np.flatnonzero(desk.areas(desk.preview)).tolist() == [*range(1, 7)]
    # What was done is not done again: at most the planes left and the two beyond the ends.
    assert gate.looked - looked <= 5
    assert not desk.widget.panel.buttons["resume"].isEnabled()


def _correct(desk: PropagateDesk) -> int:
    """Cut a hole into plane 4, and wait for what that changes; the area before."""
    desk.see_object(3, 33, 30)
    desk.propagate()
    before = desk.areas(desk.preview)[4]
    desk.click(4, 34, 30, positive=False)
    desk.wait(lambda: desk.areas(desk.preview)[4] < before)
    return before


def test_a_correction_shows_at_once_and_changes_others_when_wanted(
    desk: PropagateDesk, follower: FollowingSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _correct(desk)
    sent = follower.corrected[-1]
    assert (sent.points, sent.labels) == (((34.0, 30.0),), (0,))
    assert sent.mask is not None
    desk.wait(lambda: "No other plane has changed" in desk.controller.desk.status)
    outcome = desk.engine.outcomes()[1, 4]
    assert (outcome.state, outcome.mask.area < before) == ("prompted", True)

    # From now on the objects look different to the model on later planes.
    image = desk.segment.form.image.value.data
    image[5:, 30:45, :50] = 20
    old = desk.areas(desk.preview)
    desk.click(4, 40, 30, positive=False)
    desk.until("changes")
    assert desk.areas(desk.preview)[5:] == old[5:]
    entries = desk.widget.changes
    assert entries.items.count() >= 1
    assert entries.items.item(0).text().startswith("Plane 5, object 1: +")
    changes = next(layer for layer in desk.viewer.layers if layer.name == "Changes")
    assert set(np.unique(changes.data[5])) == {0, 2}
    assert not desk.widget.panel.buttons["accept"].isEnabled()
    entries.no.click()
    desk.until("review")
    # the corrected plane is as it was, too
    desk.wait(lambda: desk.areas(desk.preview) == old)
    assert "Changes" not in [layer.name for layer in desk.viewer.layers]

    desk.click(4, 36, 36, positive=False)
    desk.until("changes")
    entries.yes.click()
    desk.until("review")
    desk.wait(lambda: desk.areas(desk.preview)[5] < old[5])
    known = desk.engine.outcomes()[1, 5].mask
    assert desk.areas(desk.preview)[5] == (0 if known is None else known.area)


def test_the_prompts_of_the_user_come_back(desk: PropagateDesk) -> None:
    desk.click(0, 70, 66)
    desk.see_object(3, 33, 30)
    desk.propagate()
    assert desk.points.data.tolist() == [[3, 30, 33]]
    desk.click(5, 35, 30)
    desk.wait(lambda: "No other plane" in desk.controller.desk.status)
    desk.controller.discard()
    assert desk.controller.desk.stage == "idle"
    assert desk.points.data.tolist() == [[0, 66, 70], [3, 30, 33]]
    assert not desk.labels.any()
    desk.viewer.dims.set_current_step(0, 3)
    segment = desk.segment.controller
    desk.wait(lambda: segment.prediction is not None and not segment.waiting)


def test_a_step_by_button_leaves_a_layer_with_an_undo_of_its_own(
    desk: PropagateDesk,
) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    other = desk.viewer.add_labels(np.zeros_like(desk.preview), name="mine")
    desk.viewer.layers.selection.active = other
    desk.widget.panel.buttons["lock"].click()
    desk.wait(lambda: desk.viewer.layers.selection.active == desk.points)


def test_painting_into_the_preview_is_a_correction(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    layer = desk.controller.desk.preview.layer
    assert layer.selected_label == 1
    desk.viewer.dims.set_current_step(0, 5)
    layer.data_setitem((np.array([5, 5]), np.array([60, 60]), np.array([5, 6])), 1)
    desk.wait(lambda: desk.engine.outcomes()[1, 5].state == "prompted")
    mask = desk.engine.outcomes()[1, 5].mask.to_plane()
    np.testing.assert_array_equal(mask, desk.preview[5] == 1)
    assert mask[60, 5]
    # A click refines what was painted.
    desk.until("review")
    desk.click(5, 5, 60, positive=False)
    desk.wait(lambda: not desk.preview[5, 60, 5])
    # Erasing all of it says that the object is not here.
    desk.wait(lambda: desk.controller.desk.stage in ("review", "changes"))
    where = np.nonzero(layer.data[5:6])
    layer.data_setitem((where[0] + 5, where[1], where[2]), 0)
    desk.wait(lambda: desk.engine.outcomes()[1, 5].state == "absent")


def test_locking_clearing_and_doubtful_planes(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    review = desk.controller.review
    review.worst()
    first = desk.controller.desk.plane
    review.worst()
    assert first is not None
    assert desk.controller.desk.plane not in (first, 3)
    desk.controller.desk.go_to(5)
    review.lock()
    desk.wait(lambda: desk.engine.outcomes()[1, 5].state == "locked")
    review.lock()
    desk.wait(lambda: desk.engine.outcomes()[1, 5].state != "locked")
    review.lock()
    desk.wait(lambda: desk.engine.outcomes()[1, 5].state == "locked")
    desk.controller.desk.go_to(4)
    review.clear()
    desk.wait(lambda: desk.engine.outcomes()[1, 4].state == "absent")
    assert desk.areas(desk.preview)[4] == 0
    desk.wait(lambda: desk.controller.desk.stage == "review")
    assert desk.areas(desk.preview)[5] > 0


def test_all_objects_of_a_plane_are_one_step(desk: PropagateDesk) -> None:
    desk.accept_object(3, 33, 30)
    desk.accept_object(3, 70, 66)
    desk.form.what.value = "plane"
    desk.propagate()
    assert [row.id for row in desk.widget.strip.rows] == [1, 2]
    desk.widget.strip.object_picked.emit(2)
    assert desk.controller.desk.object_id == 2
    assert desk.controller.desk.preview.layer.selected_label == 2
    desk.controller.accept()
    desk.until("idle")
    assert [area > 0 for area in desk.areas(desk.labels, 1)] == [0, 1, 1, 1, 1, 1, 1, 0]
    assert all(desk.areas(desk.labels, 2))
    store = desk.segment.controller.place.acceptor.store(desk.segment.form.labels.value)
    assert len(store.get(2).planes) == PLANES
    desk.segment.controller.undo()
    assert "Objects 1, 2 are undone" in desk.segment.controller.status
    assert [area > 0 for area in desk.areas(desk.labels, 2)] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert len(store.get(2).planes) == 1


def test_numbers_of_objects(desk: PropagateDesk) -> None:
    desk.accept_object(3, 33, 30)
    desk.accept_object(3, 70, 66)
    desk.form.what.value = "ids"
    desk.form.ids.value = "2, 9"
    desk.widget.start()
    assert "Not on this plane of 'Cells': 9" in desk.controller.desk.status
    desk.form.ids.value = "2"
    desk.form.span.value = "from"
    desk.form.first.value, desk.form.last.value = 2, 4
    desk.propagate()
    assert [area > 0 for area in desk.areas(desk.preview, 2)] == [0, 0, 1, 1, 1, 0, 0, 0]


def test_what_there_is_to_follow_is_chosen_already(desk: PropagateDesk) -> None:
    assert desk.form.what.value == "screen"
    desk.accept_object(3, 70, 66)
    desk.segment.propagate()
    assert desk.form.what.value == "last"
    desk.see_object(3, 33, 30)
    desk.segment.propagate()
    assert desk.form.what.value == "screen"
    desk.segment.accept()
    desk.form.what.value = "plane"
    desk.segment.propagate()
    assert desk.form.what.value == "plane"


def test_the_last_object_up_to_here(desk: PropagateDesk) -> None:
    desk.accept_object(3, 70, 66)
    desk.form.what.value = "last"
    desk.form.span.value = "here"
    desk.viewer.dims.set_current_step(0, 5)
    desk.segment.controller.refresh()
    desk.propagate()
    assert [area > 0 for area in desk.areas(desk.preview)] == [0, 0, 0, 1, 1, 1, 0, 0]


def test_what_takes_long_is_announced(
    desk: PropagateDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_cellprompt.widgets.propagate.run.LONG", 0.0)
    desk.see_object(3, 33, 30)
    desk.widget.start()
    desk.until("announced")
    assert "planes in all: about" in desk.controller.desk.status
    assert "Press Propagate now" in desk.controller.desk.status
    assert desk.widget.panel.buttons["start"].text() == "Propagate now"
    desk.widget.start()
    desk.until("review")
    assert desk.areas(desk.preview)[4] > 0


def test_a_deleted_preview_comes_back(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    before = desk.areas(desk.preview)
    desk.viewer.layers.remove(desk.controller.desk.preview.layer)
    desk.controller.desk.go_to(5)
    desk.controller.review.lock()
    desk.wait(lambda: desk.controller.desk.preview.layer is not None)
    assert desk.areas(desk.preview) == before


def test_removing_the_image_leaves_the_review(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    found = desk.areas(desk.preview, 1)
    desk.viewer.layers.remove("discs")
    assert desk.controller.desk.stage == "review"
    assert desk.areas(desk.preview, 1) == found
    desk.controller.accept()
    desk.until("idle")
    (labels,) = (layer for layer in desk.viewer.layers if layer.name.startswith("Cells"))
    assert [int((plane == 1).sum()) for plane in labels.data] == found


def test_closing_segment_and_opening_it_again(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    desk.viewer.window.remove_dock_widget(desk.segment)
    assert (desk.controller.desk.stage, desk.widget.segment) == ("idle", None)
    assert "Segment was closed" in desk.controller.desk.status


def test_closing_gives_everything_back(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    assert desk.segment.controller.held
    desk.viewer.window.remove_dock_widget(desk.widget)
    assert not desk.segment.controller.held
    assert "Propagation" not in [layer.name for layer in desk.viewer.layers]
    assert desk.widget.keys.targets == []
    segment = desk.segment.controller
    desk.wait(lambda: segment.prediction is not None)


def test_accepting_waits_for_the_propagation(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    desk.segment.accept()
    assert "Accept or discard the propagation first" in desk.segment.controller.status
    assert not desk.labels.any()


def test_nothing_to_follow(desk: PropagateDesk) -> None:
    desk.widget.start()
    assert "no mask on screen" in desk.controller.desk.status
    desk.form.what.value = "last"
    desk.widget.start()
    assert "There is no Labels layer with objects" in desk.controller.desk.status
    desk.form.what.value = "plane"
    desk.widget.start()
    assert "There is no Labels layer with objects" in desk.controller.desk.status


def test_a_plane_alone(
    make_napari_viewer: Any, follow_session: SegmentSession, wait: Wait, gate: Gate
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(two_discs()[3], name="plane")
    desk = PropagateDesk(viewer, follow_session, wait)
    desk.widget.start()
    assert (
        desk.controller.desk.status
        == "'plane' has one plane only: open a stack or a movie."
    )


def test_a_division_in_a_movie(
    make_napari_viewer: Any, follow_session: SegmentSession, wait: Wait, gate: Gate
) -> None:
    """One disc becomes two that move apart."""
    frames = 8
    movie = np.full((frames, 96, 96), 20, dtype=np.uint8)
    rows, columns = np.mgrid[:96, :96]
    for frame in range(frames):
        apart = max(frame - 2, 0) * 5
        for x in (48 - apart, 48 + apart):
            movie[frame][np.hypot(columns - x, rows - 48) <= 10] = 220
    viewer = make_napari_viewer()
    viewer.add_image(movie, name="movie", axis_labels=("t", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    desk = PropagateDesk(viewer, follow_session, wait)
    assert desk.form.axis.value.plane_word == "frame"
    desk.see_object(1, 48, 48)
    desk.propagate()
    desk.wait(lambda: len(desk.controller.review.divisions.proposals) == 1)
    (division,) = desk.controller.review.divisions.proposals
    assert desk.widget.divisions.items.item(0).text() == (
        f"Frame {division.plane}: object 1 is in two parts"
    )
    # so is the refusal of one
    desk.widget.divisions.no.click()
    assert desk.controller.review.divisions.proposals == []
    history = desk.segment.place.steps.history
    desk.wait(lambda: "No division" in history.last.text)
    desk.segment.controller.undo()
    desk.wait(lambda: len(desk.controller.review.divisions.proposals) == 1)
    before = desk.preview.copy()
    desk.widget.divisions.yes.click()
    desk.until("running")
    desk.until("review")
    first = division.plane
    parent = [area > 0 for area in desk.areas(desk.preview, 1)]
    assert parent == [frame < first for frame in range(frames)]
    after = desk.preview.copy()

    def daughters() -> bool:
        seen = [[area > 0 for area in desk.areas(desk.preview, n)] for n in (2, 3)]
        return seen == [[frame >= first for frame in range(frames)]] * 2

    assert daughters()
    # the division is a step of the review
    proposals = desk.controller.review.divisions
    desk.segment.controller.undo()
    desk.wait(lambda: len(proposals.proposals) == 1)
    np.testing.assert_array_equal(desk.preview, before)
    assert desk.engine.parents == {}
    assert desk.controller.desk.object_id == 1
    assert f"division of object 1 on frame {first}" in desk.controller.desk.status
    desk.segment.controller.redo()
    desk.wait(daughters)
    desk.wait(lambda: not proposals.proposals)
    np.testing.assert_array_equal(desk.preview, after)
    assert desk.engine.parents == {2: 1, 3: 1}
    desk.controller.accept()
    desk.until("idle")
    labels = desk.segment.form.labels.value
    assert parents_of(labels) == {2: 1, 3: 1}
    store = desk.segment.controller.place.acceptor.store(labels)
    assert [store.get(number).parent for number in (1, 2, 3)] == [None, 1, 1]
    desk.segment.controller.undo()
    assert not desk.labels.any()


def test_a_division_that_is_none(desk: PropagateDesk) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    assert desk.controller.review.divisions.proposals == []
    assert not desk.widget.divisions.isVisibleTo(desk.widget)


def test_the_widget_opens_segment_by_itself(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    widget = PropagateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Propagate (Cellprompt)")
    docked = viewer.window.dock_widgets
    assert docked["Segment (Cellprompt)"] is widget.segment
