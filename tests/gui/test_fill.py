"""V fills an object in between its planes: real keys in a real window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tests.fakes import FakeSegmenter
from tests.gui.window import CONTROL, SHIFT, Window

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.segment.filling.filling import PREVIEW_NAME

SHAPE = (11, 120, 160)


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: SHAPE[1], : SHAPE[2]]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def place(z: int) -> tuple[float, float]:
    """Where the cell is that moves through all planes."""
    return 40 + 4 * z, 30 + 9 * z


@pytest.fixture
def movie(
    open_window: Callable[[], Window], thread: InferenceThread
) -> tuple[Window, Any, Any]:
    """A cell that moves by more than its size, and the widget."""
    window = open_window()
    image = np.zeros(SHAPE, np.uint16)
    for z in range(len(image)):
        image[z][disc(*place(z), 9)] = 2200
    layer = window.viewer.add_image(image, name="movie")
    window.viewer.dims.set_current_step(0, 0)
    widget = window.open_widget(SegmentSession(thread=thread, loader=FakeSegmenter().load))
    window.picture("fill_1_opened")
    return window, layer, widget


def accept(window: Window, layer: Any, z: int) -> None:
    window.viewer.dims.set_current_step(0, z)
    window.settle()
    window.click(layer, (z, *place(z)))
    window.see_mask()
    window.key(Qt.Key.Key_A)


def wait_for_fill(window: Window, widget: Any) -> None:
    window.wait(lambda: "filled in between" in widget.controller.status)


def planes_of(labels: Any, number: int = 1) -> list[int]:
    return np.flatnonzero((np.asarray(labels.data) == number).any((1, 2))).tolist()


def test_click_accept_click_v_accept(movie: tuple[Window, Any, Any]) -> None:
    window, layer, widget = movie
    accept(window, layer, 0)
    labels = widget.place.chosen.labels
    window.viewer.dims.set_current_step(0, 10)
    window.settle()
    window.click(layer, (10, *place(10)))
    window.see_mask()

    window.key(Qt.Key.Key_V)
    wait_for_fill(window, widget)
    # shown, and nothing written
    assert planes_of(labels) == [0]
    preview = window.viewer.layers[PREVIEW_NAME]
    assert len(np.flatnonzero(np.asarray(preview.data).any((1, 2)))) == 10
    window.viewer.dims.set_current_step(0, 5)
    window.picture("fill_2_preview")

    window.key(Qt.Key.Key_A)
    window.wait(lambda: not widget.filling.active)
    assert planes_of(labels) == list(range(11))
    assert PREVIEW_NAME not in window.viewer.layers
    # its click is used up, though another plane is on screen
    assert not len(widget.place.chosen.points.data)
    for z in range(1, 10):
        mask, truth = labels.data[z] == 1, disc(*place(z), 9)
        assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    window.picture("fill_3_accepted")

    window.key(Qt.Key.Key_Z, CONTROL)
    assert planes_of(labels) == [0]
    # the click on the other plane is back
    assert len(widget.place.chosen.points.data) == 1
    window.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert planes_of(labels) == list(range(11))
    window.key(Qt.Key.Key_Z, CONTROL)
    window.key(Qt.Key.Key_Z, CONTROL)
    window.key(Qt.Key.Key_Z, CONTROL)
    assert not labels.data.any()


def test_an_object_of_the_brush_leaves_others_alone(
    movie: tuple[Window, Any, Any],
) -> None:
    window, _, widget = movie
    painted = np.zeros(SHAPE, np.uint16)
    for z in (2, 8):
        painted[z][disc(*place(z), 9)] = 7
    painted[5, 40:80, 70:75] = 3
    labels = window.viewer.add_labels(painted.copy(), name="painted")
    widget.place.use("labels", labels)
    # objects go into a layer that was not made for this image: a modal question
    widget.place.ask = lambda question: True
    labels.selected_label = 7
    window.viewer.layers.selection.active = labels
    window.settle()

    window.key(Qt.Key.Key_V)
    wait_for_fill(window, widget)
    window.key(Qt.Key.Key_A)
    window.wait(lambda: not widget.filling.active)
    assert planes_of(labels, 7) == list(range(2, 9))
    np.testing.assert_array_equal(labels.data == 3, painted == 3)
    assert (labels.data[painted > 0] == painted[painted > 0]).all()
    # one step, of napari's own undo as well
    labels.undo()
    np.testing.assert_array_equal(labels.data, painted)


@pytest.mark.parametrize("key", [Qt.Key.Key_Q, Qt.Key.Key_Z], ids=["Q", "undo"])
def test_what_is_discarded_leaves_nothing(movie: tuple[Window, Any, Any], key: Any) -> None:
    window, layer, widget = movie
    accept(window, layer, 0)
    labels = widget.place.chosen.labels
    window.viewer.dims.set_current_step(0, 6)
    window.settle()
    window.click(layer, (6, *place(6)))
    window.see_mask()
    window.key(Qt.Key.Key_V)
    wait_for_fill(window, widget)
    window.key(key, CONTROL if key == Qt.Key.Key_Z else Qt.KeyboardModifier.NoModifier)
    assert PREVIEW_NAME not in window.viewer.layers
    assert planes_of(labels) == [0]
    # the mask on screen is still there to be accepted by itself
    window.key(Qt.Key.Key_A)
    assert planes_of(labels, 2) == [6]


def test_one_plane_is_answered_with_a_sentence(
    movie: tuple[Window, Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    window, layer, widget = movie
    told: list[str] = []
    monkeypatch.setattr(widget.controller, "_warn", told.append)
    window.key(Qt.Key.Key_V)
    assert "There is no object yet" in told[-1]
    accept(window, layer, 0)
    window.key(Qt.Key.Key_V)
    window.wait(lambda: len(told) > 1)
    assert "is on one plane only" in told[-1]
    assert not widget.filling.active


def test_the_message_stays_on_other_planes(
    movie: tuple[Window, Any, Any],
) -> None:
    window, layer, widget = movie
    accept(window, layer, 0)
    labels = widget.place.chosen.labels
    rows, columns = np.nonzero(disc(*place(6), 9))
    labels.data_setitem((np.full(rows.shape, 6), rows, columns), 1)
    window.key(Qt.Key.Key_V)
    wait_for_fill(window, widget)
    told = widget.controller.status
    for z in (3, 5, 2):
        window.viewer.dims.set_current_step(0, z)
        window.settle()
        assert widget.controller.status == told
    window.key(Qt.Key.Key_A)
    window.wait(lambda: not widget.filling.active)
    assert "pixels filled in" in widget.controller.status
    window.viewer.dims.set_current_step(0, 8)
    window.settle()
    assert "pixels filled in" in widget.controller.status
    # the next click is another action
    window.click(layer, (8, *place(8)))
    window.see_mask()
    assert "A accepts the mask" in widget.controller.status
    window.viewer.dims.set_current_step(0, 9)
    window.settle()
    assert "filled in" not in widget.controller.status
