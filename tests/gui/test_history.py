"""One history over clicks, boxes, discards and accepted objects; several boxes at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.fakes import FakeSegmenter
from tests.gui.window import CONTROL, SHIFT, Window

from napari_cellprompt.core.types import Prediction
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

SQUARES = ((20, 30), (60, 90), (90, 30))


class DoubtfulSegmenter(FakeSegmenter):
    """Finds something everywhere, and does not believe it."""

    def predict(self, *arguments: Any, **options: Any) -> Prediction:
        answer = super().predict(*arguments, **options)
        candidates = tuple(replace(found, score=0.13) for found in answer.candidates)
        return replace(answer, candidates=candidates, object_score=0.2)


@pytest.fixture
def make(open_window: Callable[[], Window], thread: InferenceThread) -> Any:
    def made(fake: FakeSegmenter, image: np.ndarray | None = None) -> Any:
        window = open_window()
        if image is None:
            image = np.zeros((120, 160), dtype=np.uint16)
            for row, column in SQUARES:
                image[row : row + 20, column : column + 20] = 4000
        layer = window.viewer.add_image(image, name="squares")
        window.open_widget(SegmentSession(thread=thread, loader=fake.load))
        window.viewer.fit_to_view()
        window.settle()
        return window, layer

    return made


@pytest.fixture
def desk(make: Any) -> Any:
    return make(FakeSegmenter())


def undo(window: Window) -> str:
    window.key(Qt.Key.Key_Z, CONTROL)
    window.settle()
    return str(window.widget.panel.status_line.text())


def redo(window: Window) -> str:
    window.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    window.settle()
    return str(window.widget.panel.status_line.text())


def ids(window: Window) -> list[int]:
    labels = window.widget.form.labels.value
    # the layer is made for the first object
    return [0] if labels is None else np.unique(labels.data).tolist()


def clicks(window: Window) -> int:
    return len(window.widget.form.points.value.data)


def test_discarded_clicks_come_back_before_an_accepted_object_goes(desk: Any) -> None:
    window, layer = desk
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    for row, column in ((70, 100), (72, 102), (68, 98)):
        window.click(layer, (row, column))
        window.see_mask()
    window.key(Qt.Key.Key_Q)
    window.settle()
    assert clicks(window) == 0
    assert "Deleting 3 clicks is undone" in undo(window)
    assert clicks(window) == 3 and ids(window) == [0, 1]
    window.see_mask()
    for left in (2, 1, 0):
        undo(window)
        assert clicks(window) == left and ids(window) == [0, 1]
    said = undo(window)
    assert "Object 1 is undone" in said
    # the object is gone, and its click is there again
    assert ids(window) == [0] and clicks(window) == 1
    undo(window)
    assert clicks(window) == 0
    # and all of it forth again
    redo(window)
    assert clicks(window) == 1
    assert "Object 1 is back" in redo(window)
    assert ids(window) == [0, 1] and clicks(window) == 0
    for there in (1, 2, 3):
        redo(window)
        assert clicks(window) == there
    redo(window)
    assert clicks(window) == 0


def test_a_click_that_was_taken_back_can_be_redone(desk: Any) -> None:
    window, layer = desk
    window.click(layer, (30, 40))
    window.see_mask()
    window.click(layer, (36, 46), SHIFT)
    window.see_mask()
    assert "The last click is undone" in undo(window)
    redo(window)
    points = window.widget.form.points.value
    assert clicks(window) == 2
    assert points.features["polarity"].tolist() == ["positive", "negative"]
    # the next click is an ordinary one
    window.click(layer, (25, 35))
    window.see_mask()
    assert points.features["polarity"].tolist()[-1] == "positive"


def test_a_stroke_of_the_brush_goes_before_the_object_below_it(desk: Any) -> None:
    window, layer = desk
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    labels = window.widget.form.labels.value
    labels.data_setitem((np.array([5, 5]), np.array([5, 6])), 7)
    said = undo(window)
    assert ids(window) == [0, 1] and "by hand" in said
    undo(window)
    assert ids(window) == [0]


def test_an_object_that_napari_undid_is_passed_over(desk: Any) -> None:
    window, layer = desk
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    window.widget.form.labels.value.undo()
    assert ids(window) == [0]
    assert "The last click is undone" in undo(window)
    assert ids(window) == [0] and clicks(window) == 0


def test_three_boxes_are_three_objects(desk: Any) -> None:
    window, layer = desk
    window.key(Qt.Key.Key_G)
    for row, column in SQUARES:
        window.drag(layer, (row - 4, column - 4), (row + 24, column + 24))
        window.see_mask()
    window.settle()
    assert "3 objects" in window.widget.panel.status_line.text()
    window.picture("three_boxes")
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0, 1, 2, 3]
    labels = window.widget.form.labels.value.data
    assert [np.count_nonzero(labels == n) for n in (1, 2, 3)] == [400] * 3
    assert len(window.widget.form.boxes.value.data) == 0
    assert "3 objects" in window.widget.panel.status_line.text()
    # one step: all of it back, boxes included
    undo(window)
    assert ids(window) == [0]
    assert len(window.widget.form.boxes.value.data) == 3


def test_what_was_not_used_is_not_deleted(desk: Any) -> None:
    window, layer = desk
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    window.key(Qt.Key.Key_G)
    for row, column in SQUARES[:2]:
        window.drag(layer, (row - 4, column - 4), (row + 24, column + 24))
        window.see_mask()
    boxes = window.widget.form.boxes.value
    boxes.add([[(2.0, 2.0), (2.4, 20.0)]], shape_type="rectangle")
    window.settle()
    window.key(Qt.Key.Key_A)
    # the first box is object 1 once more
    assert ids(window) == [0, 1, 3] or ids(window) == [0, 1, 2]
    said = window.widget.panel.status_line.text()
    assert "1 not" in said and "75%" in said
    assert boxes.shape_type == ["rectangle", "rectangle"]


@pytest.mark.parametrize(
    ("kind", "vertices", "said"),
    [
        (
            "ellipse",
            [(16, 26), (16, 54), (44, 54), (44, 26)],
            "Ellipse: counts by the pixels inside",
        ),
        ("polygon", [(16, 26), (16, 54), (44, 40)], "Polygon: counts by the pixels inside"),
        ("line", [(16, 26), (44, 54)], "The line marks the object"),
    ],
)
def test_shapes_that_are_no_boxes_say_how_they_count(
    desk: Any, kind: str, vertices: list[tuple[int, int]], said: str
) -> None:
    window, layer = desk
    window.widget.place.need_boxes()
    window.widget.form.boxes.value.add([np.array(vertices, float)], shape_type=kind)
    if kind == "line":
        window.click(layer, (30, 40))
    window.see_mask()
    assert said in window.widget.panel.status_line.text()


def test_probably_nothing_is_asked_about(make: Any) -> None:
    window, layer = make(DoubtfulSegmenter())
    window.click(layer, (30, 40))
    window.see_mask()
    status = window.widget.panel.status_line
    assert "Probably nothing is there" in status.text()
    window.picture("doubt")
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0] and "Press A again" in status.text()
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0, 1]
    # asked anew about the next one
    window.click(layer, (70, 100))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0, 1]


def test_an_image_without_a_finite_pixel_is_an_error(make: Any) -> None:
    window, layer = make(FakeSegmenter(), np.full((60, 80), np.nan, np.float32))
    window.click(layer, (30, 40))
    status = window.widget.panel.status_line
    window.wait(lambda: "finite" in status.text())
    assert window.widget.controller.prediction is None
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0]


def test_without_an_image_nothing_can_be_pressed(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    window = open_window()
    widget = window.open_widget(SegmentSession(thread=thread, loader=FakeSegmenter().load))
    window.wait(lambda: widget.controller.model is not None)
    window.settle()
    window.picture("no_image")
    assert "Open an image" in widget.panel.status_line.text()
    enabled = {name for name, button in widget.panel.buttons.items() if button.isEnabled()}
    assert enabled <= {"outline"}
    window.viewer.add_image(np.zeros((40, 50), np.uint8))
    window.settle()
    window.wait(lambda: "Click on an object" in widget.panel.status_line.text())
    assert widget.panel.buttons["click"].isEnabled()


def test_a_mask_that_is_an_object_already_is_refused(desk: Any) -> None:
    window, layer = desk
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    # all but a sliver is object 1
    labels = window.widget.form.labels.value
    labels.data[20:40, 49] = 0
    window.click(layer, (30, 41))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    said = window.widget.panel.status_line.text()
    assert "95% of this mask is object 1" in said
    assert ids(window) == [0, 1] and clicks(window) == 1


def test_without_an_image_the_other_widgets_wait_too(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    from napari_cellprompt.widgets.shared.docks import open_dock

    window = open_window()
    window.open_widget(SegmentSession(thread=thread, loader=FakeSegmenter().load))
    everything = open_dock(window.viewer, "Everything")
    fewshot = open_dock(window.viewer, "Few-shot")
    propagate = open_dock(window.viewer, "Propagate")
    window.settle()
    starts = [
        everything.buttons["run"],
        fewshot.buttons["teach"],
        propagate.panel.buttons["start"],
    ]
    assert not any(button.isEnabled() for button in starts)
    for line in (
        everything.status_line,
        fewshot.status_line,
        propagate.panel.status_line,
    ):
        assert line.text().startswith("Open an image")
    window.viewer.add_image(np.zeros((3, 40, 50), np.uint8))
    window.settle()
    window.wait(lambda: all(button.isEnabled() for button in starts))
    assert "Open an image" not in propagate.panel.status_line.text()
