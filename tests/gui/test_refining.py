"""Objects of other programs, refined one by one or all at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
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


class Heart:
    """Beats on the GUI thread; the longest pause is how long the window stood still."""

    def __init__(self) -> None:
        self._beats: list[float] = [time.perf_counter()]
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def pause(self) -> float:
        """Seconds, since the start or since this was asked last."""
        self._beat()
        longest = float(np.diff(self._beats).max())
        del self._beats[:-1]
        return longest

    def stop(self) -> None:
        self._timer.stop()

    def _beat(self) -> None:
        self._beats.append(time.perf_counter())


SLOW = 0.4
"""Seconds in which a plane of slow labels is read."""


@pytest.fixture
def slow(desk: Any) -> Any:
    """The same labels, read slowly wherever they are read."""
    window, layer, labels = desk
    given = np.asarray(labels.data)
    gate = {"sleep": 0.0, "reads": 0}

    def read(block_info: Any = None) -> np.ndarray:
        gate["reads"] += 1
        time.sleep(gate["sleep"])
        plane = block_info[None]["chunk-location"][0]
        return given[plane : plane + 1]

    lazy = da.map_blocks(
        read,
        chunks=((1,) * len(given), *((length,) for length in given.shape[1:])),
        dtype=given.dtype,
        meta=np.empty((0, 0, 0), given.dtype),
    )
    window.viewer.layers.remove(labels)
    lazy_layer = window.viewer.add_labels(lazy, name="from a slow disk")
    # what is made for the first mask and the first shape takes napari its time
    window.widget.start_boxes()
    window.click(layer, (0, 12, 12))
    window.widget.start()
    window.click(layer, (0, 12, 12))
    window.see_mask()
    window.widget.discard()
    window.settle()
    unfold(window)
    window.viewer.layers.selection.active = lazy_layer
    window.settle()
    gate["sleep"] = SLOW
    return window, lazy_layer, gate


@pytest.mark.alone
def test_one_object_is_read_beside_the_window(slow: Any) -> None:
    window, labels, gate = slow
    panel = window.widget.refining
    labels.selected_label = 57
    window.settle()
    before, heart = gate["reads"], Heart()
    window.widget.refining.one.start(labels)
    assert "Reading object 57" in window.widget.controller.status
    window.see_mask()
    pause = heart.pause()
    heart.stop()
    assert panel.labels.value == labels
    assert gate["reads"] > before
    assert pause < 0.1
    [prompts] = window.widget.controller.state.objects
    assert decode(prompts.mask).sum() == 16 * 18


def test_an_object_is_not_drawn_on_another_plane(slow: Any) -> None:
    window, labels, gate = slow
    labels.selected_label = 57
    window.widget.refining.one.start(labels)
    gate["sleep"] = 0.0
    window.viewer.dims.set_current_step(0, 1)
    window.wait(lambda: "was not drawn" in window.widget.controller.status)
    assert not len(window.widget.place.chosen.boxes.data)


def test_an_object_that_is_not_there_is_told(slow: Any) -> None:
    window, labels, _ = slow
    labels.selected_label = 3
    window.widget.refining.one.start(labels)
    window.wait(lambda: "no object 3 on this plane" in window.widget.controller.status)


@pytest.mark.alone
def test_the_window_goes_on_while_all_objects_are_refined(slow: Any) -> None:
    window, labels, gate = slow
    panel = window.widget.refining
    heart = Heart()
    # what napari itself needs for one layer more, on this machine
    made = window.viewer.add_labels(np.zeros(labels.data.shape, labels.data.dtype))
    window.settle()
    napari = heart.pause()
    window.viewer.layers.remove(made)
    window.viewer.layers.selection.active = labels
    window.settle()
    before = gate["reads"]
    heart.pause()
    panel.all.start(labels)
    window.wait(lambda: not panel.all.running)
    pause = heart.pause()
    heart.stop()
    assert gate["reads"] >= before + 2
    assert pause < napari + 0.1
    assert np.unique(window.viewer.layers["from a slow disk refined"].data).size == 21
