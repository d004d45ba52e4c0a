"""Objects of other programs, refined one by one or all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.fakes import FakeSegmenter
from tests.gui.window import CONTROL, LEFT, Window

from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread


@pytest.fixture
def fake() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def desk(
    open_window: Callable[[], Window], thread: InferenceThread, fake: FakeSegmenter
) -> Any:
    window = open_window()
    image = np.zeros((2, 90, 120), dtype=np.uint16)
    given = np.zeros((2, 90, 120), dtype=np.int32)
    for plane in range(2):
        for number in range(20):
            row, column = divmod(number, 5)
            y, x = 6 + 20 * row, 6 + 22 * column
            image[plane, y : y + 12, x : x + 14] = 4000
            # larger than the object: the model takes what is bright in it
            given[plane, y - 2 : y + 14, x - 2 : x + 16] = 50 + number
    layer = window.viewer.add_image(image, name="squares")
    window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    labels = window.viewer.add_labels(given, name="from elsewhere")
    window.viewer.dims.set_current_step(0, 0)
    window.widget.start()
    window.viewer.fit_to_view()
    window.settle()
    return window, layer, labels


def press(button: Any) -> None:
    assert button.isEnabled()
    QTest.mouseClick(button, LEFT)


def unfold(window: Window) -> Any:
    panel = window.widget.refining
    section = panel.parent()
    while section is not None and not hasattr(section, "expand"):
        section = section.parent()
    if section is not None:
        section.expand()
    window.settle()
    return panel


def test_one_object_of_another_layer_becomes_a_new_one(desk: Any) -> None:
    window, _, labels = desk
    panel = unfold(window)
    assert panel.labels.value == labels
    labels.selected_label = 57
    assert panel.one_button.text() == "Refine object 57"
    before = labels.data.copy()
    press(panel.one_button)
    window.see_mask()
    [prompts] = window.widget.controller.state.objects
    np.testing.assert_array_equal(decode(prompts.mask), labels.data[0] == 57)
    assert "counts by the pixels inside" in window.widget.panel.status_line.text()
    window.picture("refine_one")
    window.widget.place.need_boxes()
    window.key(Qt.Key.Key_A)
    made = window.widget.form.labels.value
    assert made != labels
    assert np.count_nonzero(made.data == 1) == 12 * 14
    np.testing.assert_array_equal(labels.data, before)


def test_an_object_of_the_own_layer_is_replaced(desk: Any) -> None:
    window, layer, _ = desk
    window.click(layer, (0, 12, 12))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    own = window.widget.form.labels.value
    painted = own.data.copy()
    painted[0, 60:84, 4:24] = 9
    own.data = painted
    panel = unfold(window)
    window.viewer.layers.selection.active = own
    assert panel.labels.value == own
    own.selected_label = 9
    press(panel.one_button)
    window.see_mask()
    window.key(Qt.Key.Key_A)
    assert np.count_nonzero(own.data == 9) == 12 * 14
    assert np.count_nonzero(own.data == 1) == 12 * 14
    window.key(Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(own.data, painted)


def test_all_objects_go_into_a_new_layer_while_clicks_are_answered(
    desk: Any, fake: FakeSegmenter
) -> None:
    window, layer, labels = desk
    panel = unfold(window)
    before = labels.data.copy()
    fake.seconds = 0.01
    press(panel.all_button)
    window.wait(lambda: "object 16 of 20" in panel.all.progress)
    assert panel.all_button.text() == "Stop"
    assert "plane 1 of 2" in panel.line.text()
    window.click(layer, (0, 12, 12))
    window.see_mask()
    assert panel.all.running
    window.wait(lambda: not panel.all.running)
    made = window.viewer.layers["from elsewhere refined"]
    assert made.data.dtype == np.int32
    np.testing.assert_array_equal(np.unique(made.data), [0, *range(50, 70)])
    image = np.asarray(layer.data)
    np.testing.assert_array_equal(made.data > 0, image > 0)
    assert (made.data[image > 0] == before[image > 0]).all()
    np.testing.assert_array_equal(labels.data, before)
    window.picture("refine_all")


def test_stop_leaves_everything_as_it_was(desk: Any, fake: FakeSegmenter) -> None:
    window, _, _ = desk
    panel = unfold(window)
    names = [layer.name for layer in window.viewer.layers]
    fake.seconds = 0.05
    press(panel.all_button)
    window.wait(lambda: panel.all.running and "object" in panel.all.progress)
    press(panel.all_button)
    assert not panel.all.running
    window.qtbot.wait(300)
    assert [layer.name for layer in window.viewer.layers] == names
    assert "stopped" in window.widget.panel.status_line.text()
