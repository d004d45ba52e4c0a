"""Channels put together with mouse and keys, and what the model sees of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.fakes import FakeSegmenter
from tests.gui.window import LEFT, Window

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread


def cell() -> np.ndarray:
    """One object: its left half in the first channel, its right half dark in the second."""
    image = np.zeros((2, 90, 120), np.uint16)
    image[0, 20:50, 20:50] = 3000
    image[1] = 800
    image[1, 20:50, 50:80] = 100
    return image


@pytest.fixture
def fake() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def window(
    open_window: Callable[[], Window], thread: InferenceThread, fake: FakeSegmenter
) -> Window:
    window = open_window()
    window.viewer.add_image(cell(), name="cell", axis_labels=("c", "y", "x"))
    window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    window.viewer.dims.set_current_step(0, 0)
    window.widget.start()
    window.viewer.fit_to_view()
    window.settle()
    return window


def press(window: Window, button: Any) -> None:
    """Press a button, or the small square of a box that is ticked."""
    assert button.isVisible()
    assert button.isEnabled()
    window.actions += 1
    QTest.mouseClick(button, LEFT, pos=_inside(button))
    window.settle()


def _inside(button: Any) -> Any:
    place = button.rect().center()
    if not button.isCheckable() or button.metaObject().className() == "QPushButton":
        return place
    place.setX(8)
    return place


def write(window: Window, box: Any, text: str) -> None:
    """Type a number over the one that is there."""
    window.actions += 1
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, text)
    QTest.keyClick(box, Qt.Key.Key_Return)
    window.settle()


def test_an_object_of_two_channels(window: Window) -> None:
    widget = window.widget
    image = window.viewer.layers["cell"]
    panel, section = widget.channels, widget._channels
    assert not panel.isVisible()
    press(window, section.head)
    assert [row.choice.use for row in panel.rows] == ["off", "off"]
    assert not panel.rows[0].more.isVisible()
    press(window, panel.on)
    assert [row.choice.use for row in panel.rows] == ["red", "green"]
    assert "Channels: 2 of 2, together" in section.head.text()
    # the second channel is dark where the object is
    press(window, panel.rows[1].invert)
    window.wait(lambda: len(widget.place.composition) == 2)
    window.wait(lambda: widget.place.composition[1].invert)
    press(window, widget.panel.buttons["view"])
    view = widget.controller.model_view
    window.wait(lambda: view.layer is not None)
    window.wait(lambda: tuple(view.layer.data[0, 30, 60]) == (0, 255, 0))
    assert tuple(view.layer.data[0, 30, 30]) == (255, 0, 0)
    assert tuple(view.layer.data[0, 10, 10]) == (0, 0, 0)
    window.picture("channels")
    press(window, widget.panel.buttons["view"])
    assert view.layer is None
    window.click(image, (0, 35, 30))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    labels = widget.place.chosen.labels
    expected = np.zeros((90, 120), bool)
    expected[20:50, 20:80] = True
    np.testing.assert_array_equal(np.asarray(labels.data) == 1, expected)
    assert window.widget.width() < 420


def test_the_preview_follows_what_is_typed(window: Window) -> None:
    widget = window.widget
    press(window, widget._channels.head)
    panel = widget.channels
    press(window, panel.on)
    press(window, widget.panel.buttons["view"])
    view = widget.controller.model_view
    window.wait(lambda: view.layer is not None)
    sharp = np.asarray(view.layer.data)[0, :, :, 0].astype(int)
    assert set(np.unique(sharp)) == {0, 255}
    write(window, panel.rows[0].smooth, "3")
    window.wait(lambda: panel.rows[0].choice.smooth == 3.0)

    def smoothed() -> bool:
        data = np.asarray(view.layer.data)[0, :, :, 0]
        return 0 < data[35, 18] < 255

    window.wait(smoothed)
    # the keys belong to the canvas all the same
    QTest.keyClick(panel.rows[0].smooth, Qt.Key.Key_G)
    window.wait(lambda: widget.panel.buttons["box"].isChecked())
    press(window, panel.on)
    window.wait(lambda: widget.place.composition == ())
    window.wait(lambda: np.asarray(view.layer.data)[0, 35, 18, 0] == 0)
    assert widget.form.contrast.enabled
