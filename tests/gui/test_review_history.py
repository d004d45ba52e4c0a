"""Ctrl+Z, clicks on other objects and cuts while a propagation is looked through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.fakes import FollowingSegmenter
from tests.gui.test_propagate import Follow
from tests.gui.window import CONTROL, LEFT, SHIFT, Window
from tests.random_models import random_model
from tests.widgets.propagation import Gate, gate, two_discs

from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

__all__ = ["gate"]


@pytest.fixture
def desk(
    open_window: Callable[[], Window], thread: InferenceThread, gate: Gate
) -> tuple[Window, Any, Follow]:
    """Two accepted discs, both followed through all planes and ready for a look."""
    window = open_window()
    image = two_discs()
    layer = window.viewer.add_image(image, name="discs", axis_labels=("z", "y", "x"))
    window.viewer.dims.set_current_step(0, 3)
    follower = FollowingSegmenter(random_model())
    window.open_widget(SegmentSession(thread=thread, loader=follower.load))
    window.viewer.fit_to_view()
    window.settle()
    for row, column in ((30, 33), (66, 70)):
        window.click(layer, (3, row, column))
        window.see_mask()
        window.key(Qt.Key.Key_A)
    follow = Follow(window)
    follow.fake = follower
    follow.widget.form.what.value = "plane"
    follow.start()
    follow.until("review")
    window.settle()
    return window, layer, follow


def areas(follow: Follow, object_id: int) -> list[int]:
    data = follow.controller.desk.preview.layer.data
    return [int(np.count_nonzero(plane == object_id)) for plane in data]


def undo(window: Window) -> None:
    window.key(Qt.Key.Key_Z, CONTROL)
    window.settle()


def status(follow: Follow) -> str:
    return str(follow.widget.panel.status_line.text())


def state(follow: Follow, object_id: int, plane: int) -> str | None:
    known = follow.controller.desk.run.engine.outcomes().get((object_id, plane))
    return None if known is None else known.state


def test_undo_takes_back_this_review_and_says_what_was_before(desk: Any) -> None:
    window, _, follow = desk
    labels = follow.labels.copy()
    old = areas(follow, 1)
    # not here, a lock, a cut
    follow.strip(6, row=0)
    window.key(Qt.Key.Key_Q, SHIFT)
    window.wait(lambda: areas(follow, 1)[6] == 0)
    window.wait(lambda: follow.controller.desk.stage == "review")
    window.qtbot.wait(900)
    window.wait(lambda: follow.controller.desk.stage in ("review", "changes"))
    if follow.controller.desk.stage == "changes":
        window.qtbot.mouseClick(follow.widget.changes.others[0], LEFT)
        follow.until("review")
    follow.strip(4, row=0)
    window.key(Qt.Key.Key_A, SHIFT)
    window.wait(lambda: state(follow, 1, 4) == "locked")

    undo(window)
    window.wait(lambda: state(follow, 1, 4) != "locked")
    assert "locking of plane 4" in status(follow)
    undo(window)
    window.wait(lambda: areas(follow, 1) == old)
    assert "'Not here' for object 1 on plane 6" in status(follow)
    np.testing.assert_array_equal(follow.labels, labels)
    # nothing of the review is left: a word first
    undo(window)
    assert "Ctrl+Z once more takes back what was before: Object 2" in status(follow)
    np.testing.assert_array_equal(follow.labels, labels)
    undo(window)
    assert set(np.unique(follow.labels)) == {0, 1}


def test_a_correction_goes_back_and_comes_again(desk: Any) -> None:
    window, layer, follow = desk
    old = areas(follow, 1)
    follow.strip(4, row=0)
    window.click(layer, (4, 30, 36), SHIFT)
    window.wait(lambda: areas(follow, 1)[4] < old[4])
    window.wait(lambda: "No other plane" in status(follow))
    cut = areas(follow, 1)
    points = window.widget.form.points.value
    assert len(points.data) == 1
    undo(window)
    window.wait(lambda: areas(follow, 1) == old)
    assert len(points.data) == 0
    window.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    window.wait(lambda: areas(follow, 1) == cut)
    assert len(points.data) == 1


def test_a_click_in_another_object_turns_to_it_and_changes_nothing(desk: Any) -> None:
    window, layer, follow = desk
    assert follow.controller.desk.object_id == 1
    follow.strip(4, row=0)
    before = [areas(follow, number) for number in (1, 2)]
    window.click(layer, (4, 66, 70))
    window.settle()
    assert follow.controller.desk.object_id == 2
    assert "Object 2 is chosen now" in status(follow)
    window.qtbot.wait(900)
    assert follow.controller.desk.stage == "review"
    assert [areas(follow, number) for number in (1, 2)] == before
    assert len(window.widget.form.points.value.data) == 0
    window.picture("turned_to")


def test_shift_click_alone_cuts_from_the_mask_that_is_there(desk: Any) -> None:
    window, layer, follow = desk
    follow.strip(5, row=1)
    assert state(follow, 2, 5) == "tracked"
    before = areas(follow, 2)[5]
    window.click(layer, (5, 66, 74), SHIFT)
    window.wait(lambda: areas(follow, 2)[5] < before)
    assert areas(follow, 2)[5] > before / 2
    assert state(follow, 2, 5) == "prompted"


def test_keep_old_restores_all_and_use_can_be_undone(desk: Any) -> None:
    window, layer, follow = desk
    old = areas(follow, 1)
    follow.strip(4, row=0)
    # From now on the object looks different to the model on later planes.
    layer.data[5:, 34:45, :50] = 20
    window.click(layer, (4, 36, 34), SHIFT)
    follow.until("changes")
    assert areas(follow, 1)[4] < old[4]
    window.picture("changes_asked")
    window.qtbot.mouseClick(follow.widget.changes.no, LEFT)
    window.wait(lambda: areas(follow, 1) == old)
    assert follow.controller.desk.stage == "review"
    window.click(layer, (4, 36, 34), SHIFT)
    follow.until("changes")
    window.qtbot.mouseClick(follow.widget.changes.yes, LEFT)
    window.wait(lambda: areas(follow, 1)[5] < old[5])
    undo(window)
    window.wait(lambda: areas(follow, 1)[5:] == old[5:])
    assert areas(follow, 1)[4] < old[4]
    undo(window)
    window.wait(lambda: areas(follow, 1) == old)


def test_redo_of_a_correction_asks_again_before_it_replaces_planes(desk: Any) -> None:
    window, layer, follow = desk
    old = areas(follow, 1)
    follow.strip(4, row=0)
    layer.data[5:, 34:45, :50] = 20
    window.click(layer, (4, 36, 34), SHIFT)
    follow.until("changes")
    undo(window)
    window.wait(lambda: areas(follow, 1) == old)
    window.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    window.wait(lambda: areas(follow, 1)[4] < old[4])
    assert areas(follow, 1)[5:] == old[5:]
    follow.until("changes")
    assert areas(follow, 1)[5:] == old[5:]
    # it is the correction that goes, also now
    window.qtbot.mouseClick(follow.widget.changes.no, LEFT)
    window.wait(lambda: areas(follow, 1) == old)


def test_undo_of_a_second_correction_brings_no_changes_nobody_agreed_to(desk: Any) -> None:
    window, layer, follow = desk
    old = areas(follow, 1)
    follow.strip(4, row=0)
    layer.data[5:, 34:45, :50] = 20
    window.click(layer, (4, 36, 34), SHIFT)
    follow.until("changes")
    first = areas(follow, 1)
    window.click(layer, (4, 33, 37), SHIFT)
    window.wait(lambda: areas(follow, 1)[4] < first[4])
    follow.until("changes")
    undo(window)
    window.wait(lambda: areas(follow, 1) == first)
    assert areas(follow, 1)[5:] == old[5:]
    known = follow.controller.desk.run.engine.outcomes()[1, 5].mask
    assert known is not None and known.area == old[5]


def test_the_accepted_propagation_is_one_step(desk: Any) -> None:
    window, _, follow = desk
    before = follow.labels.copy()
    follow.press("accept")
    follow.until("idle")
    assert np.count_nonzero(follow.labels) > np.count_nonzero(before)
    undo(window)
    np.testing.assert_array_equal(follow.labels, before)
    undo(window)
    assert set(np.unique(follow.labels)) == {0, 1}


def ready_to_draw(window: Window, follow: Follow) -> None:
    """Object 1 on plane 5, with a layer for shapes."""
    follow.controller.desk.object_id = 1
    follow.controller.review.object_chosen()
    window.viewer.dims.set_current_step(0, 5)
    window.settle()
    window.widget.place.need_boxes()
    window.settle()


@pytest.mark.parametrize("kind", ["ellipse", "polygon"])
def test_a_closed_shape_corrects_by_the_pixels_inside(
    desk: tuple[Window, Any, Follow], kind: str
) -> None:
    window, _, follow = desk
    ready_to_draw(window, follow)
    corners = [(5, 10, 20), (5, 10, 50), (5, 54, 50), (5, 54, 20)]
    if kind == "polygon":
        corners[2:] = [(5, 54, 35)]
    before = areas(follow, 1)
    follow.fake.corrected.clear()
    window.widget.place.chosen.boxes.add([np.array(corners, float)], shape_type=kind)
    window.wait(lambda: areas(follow, 1)[5] != before[5])
    [asked] = follow.fake.corrected
    assert asked.box is None and asked.sketch
    inside = decode(asked.mask)
    # neither the box around it nor the shape as it is: the model was asked
    assert inside.sum() < 0.85 * 44 * 30
    assert areas(follow, 1)[5] == inside.sum()
    undo(window)
    window.wait(lambda: areas(follow, 1)[5] == before[5])


def test_a_click_that_takes_away_cuts_from_a_closed_shape(
    desk: tuple[Window, Any, Follow],
) -> None:
    window, layer, follow = desk
    ready_to_draw(window, follow)
    ring = [(5, 10, 20), (5, 10, 50), (5, 54, 50), (5, 54, 20)]
    window.widget.place.chosen.boxes.add([np.array(ring, float)], shape_type="ellipse")
    window.wait(lambda: bool(follow.fake.corrected))
    follow.fake.corrected.clear()
    window.widget.start()
    window.click(layer, (5, 30, 35), SHIFT)
    window.wait(lambda: bool(follow.fake.corrected))
    [asked] = follow.fake.corrected
    assert asked.sketch and asked.labels == (0,)
