"""Ellipses, lassos, lines and many points, drawn with the mouse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.fakes import FakeSegmenter
from tests.gui.window import CONTROL, LEFT, NO_MODIFIER, SHIFT, Window

from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

SQUARES = ((20, 30), (60, 90), (90, 30))


@pytest.fixture
def fake() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def desk(
    open_window: Callable[[], Window], thread: InferenceThread, fake: FakeSegmenter
) -> Any:
    window = open_window()
    image = np.zeros((120, 160), dtype=np.uint16)
    for row, column in SQUARES:
        image[row : row + 20, column : column + 20] = 4000
    layer = window.viewer.add_image(image, name="squares", scale=(0.5, 0.5))
    window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    window.viewer.fit_to_view()
    window.settle()
    return window, layer


def ids(window: Window) -> list[int]:
    return np.unique(window.widget.form.labels.value.data).tolist()


def said(window: Window) -> str:
    return window.widget.panel.status_line.text()


def draw(window: Window, mode: str) -> Any:
    """The Shapes layer with a tool of napari's in hand."""
    window.widget.start_boxes()
    boxes = window.widget.form.boxes.value
    boxes.mode = mode
    window.settle()
    return boxes


def stroke(
    window: Window, layer: Any, places: list[tuple[float, float]], modifier: Any
) -> None:
    """Press, move from place to place, release."""
    first, *others = [window.at(layer, place) for place in places]
    QTest.mouseMove(window.canvas, first)
    QTest.mousePress(window.canvas, LEFT, modifier, first)
    before = first
    for place in others:
        for share in (0.34, 0.67, 1.0):
            QTest.mouseMove(window.canvas, before + (place - before) * share)
            window.qtbot.wait(5)
        before = place
    QTest.mouseRelease(window.canvas, LEFT, modifier, before)
    window.qtbot.wait(30)


def test_two_ellipses_and_a_box_are_three_objects(desk: Any, fake: FakeSegmenter) -> None:
    window, layer = desk
    draw(window, "add_ellipse")
    for row, column in SQUARES[:2]:
        window.drag(layer, (row - 3, column - 3), (row + 23, column + 23))
        window.see_mask()
    assert "Ellipses: count by the pixels inside" in said(window)
    draw(window, "add_rectangle")
    row, column = SQUARES[2]
    window.drag(layer, (row - 3, column - 3), (row + 23, column + 23))
    window.see_mask()
    first, second, third = window.widget.controller.state.objects
    assert first.box is None and second.box is None and third.mask is None
    mask = decode(first.mask)
    assert mask[30, 40] and not mask[18, 28]
    assert "3 objects" in said(window)
    window.picture("ellipses")
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0, 1, 2, 3]
    window.key(Qt.Key.Key_Z, CONTROL)
    assert ids(window) == [0]


def test_a_lasso_is_a_mask(desk: Any) -> None:
    window, layer = desk
    draw(window, "add_polygon_lasso")
    around = [(18, 28), (18, 52), (42, 52), (30, 40), (42, 28), (19, 27)]
    stroke(window, layer, around, NO_MODIFIER)
    window.see_mask()
    [prompts] = window.widget.controller.state.objects
    assert prompts.mask is not None and prompts.box is None
    mask = decode(prompts.mask)
    assert mask[25, 40] and not mask[40, 40]
    assert "Polygon: counts by the pixels inside" in said(window)
    window.picture("lasso")
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0, 1]


def test_lines_mark_the_object_and_with_shift_the_background(desk: Any) -> None:
    window, layer = desk
    boxes = draw(window, "add_path")
    stroke(window, layer, [(25, 35), (30, 45), (35, 38)], NO_MODIFIER)
    window.see_mask()
    assert "The line marks the object" in said(window)
    stroke(window, layer, [(22, 60), (38, 64)], SHIFT)
    window.wait(lambda: len(window.widget.controller.state.prompts.strokes) == 2)
    window.see_mask()
    window.settle()
    signs = [sign for _, sign in window.widget.controller.state.prompts.strokes]
    assert signs == [1, 0]
    assert "Lines: 1 on the object, 1 on background." in said(window)
    yellow, red = boxes.edge_color
    assert yellow[1] > red[1]
    # the switch does the same as the key
    boxes.mode = "add_line"
    window.key(Qt.Key.Key_T)
    window.drag(layer, (60, 40), (70, 50))
    window.see_mask()
    signs = [sign for _, sign in window.widget.controller.state.prompts.strokes]
    assert signs == [1, 0, 0]
    window.picture("lines")
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0, 1]
    assert len(boxes.data) == 0
    window.key(Qt.Key.Key_Z, CONTROL)
    window.settle()
    assert [sign for _, sign in window.widget.controller.state.prompts.strokes] == [1, 0, 0]


def test_one_object_per_point(desk: Any, fake: FakeSegmenter) -> None:
    window, layer = desk
    for row, column in SQUARES:
        window.click(layer, (row + 10, column + 10))
    window.see_mask()
    assert len(window.widget.controller.state.objects) == 1
    window.key(Qt.Key.Key_U)
    window.see_mask()
    assert window.widget.panel.buttons["each"].isChecked()
    assert len(window.widget.controller.state.objects) == 3
    assert fake.batches[-1] >= 2
    window.click(layer, (22, 42), SHIFT)
    window.wait(lambda: len(window.widget.controller.state.objects[0].points) == 2)
    window.see_mask()
    assert all(one.labels.count(0) == 1 for one in window.widget.controller.state.objects)
    assert "3 objects" in said(window)
    window.picture("one_per_point")
    window.key(Qt.Key.Key_A)
    assert ids(window) == [0, 1, 2, 3]
    assert len(window.widget.form.points.value.data) == 0
    window.key(Qt.Key.Key_Z, CONTROL)
    assert ids(window) == [0]
    assert len(window.widget.form.points.value.data) == 4


def test_the_choice_is_there_at_the_next_start(
    desk: Any, thread: InferenceThread, fake: FakeSegmenter
) -> None:
    window, _ = desk
    window.key(Qt.Key.Key_U)
    window.widget.shut_down()
    again = window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    assert again.place.one_per_point
    assert again.panel.buttons["each"].isChecked()


def test_a_tap_draws_no_box(desk: Any, fake: FakeSegmenter) -> None:
    window, layer = desk
    boxes = draw(window, "add_rectangle")
    window.click(layer, (30, 40))
    window.wait(lambda: "Drag to draw a box" in said(window))
    assert len(boxes.data) == 0 and not window.widget.panel.buttons["accept"].isEnabled()
    window.drag(layer, (17, 27), (43, 53))
    window.see_mask()
    assert len(boxes.data) == 1 and window.widget.panel.buttons["accept"].isEnabled()
    window.key(Qt.Key.Key_Z, CONTROL)
    window.key(Qt.Key.Key_Z, CONTROL)
    window.wait(lambda: "nothing to undo" in said(window))
    assert len(boxes.data) == 0
