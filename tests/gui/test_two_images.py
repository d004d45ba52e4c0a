"""Two images of one size in one window: what belongs to one never gets into the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox
from tests.fakes import FakeSegmenter
from tests.gui.window import CONTROL, Window

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

PLACES = {"A": (30, 40), "B": (70, 100)}
"""The middle of the one square of each image."""


def square(name: str) -> np.ndarray:
    image = np.zeros((120, 160), dtype=np.uint16)
    row, column = PLACES[name]
    image[row - 10 : row + 10, column - 10 : column + 10] = 4000
    return image


class Two:
    """A window with A, the widget, and B when it is opened."""

    def __init__(self, window: Window, thread: InferenceThread) -> None:
        self.window = window
        self.viewer = window.viewer
        self.images = {"A": self.viewer.add_image(square("A"), name="A")}
        self.fake = FakeSegmenter()
        session = SegmentSession(thread=thread, loader=self.fake.load)
        self.widget = window.open_widget(session)
        self.viewer.fit_to_view()
        window.settle()

    def open_second(self, **options: Any) -> Any:
        self.images["B"] = self.viewer.add_image(square("B"), name="B", **options)
        self.window.settle()
        return self.images["B"]

    def click(self, name: str) -> None:
        """Click on the square of an image, and see its mask."""
        self.window.click(self.images["A"], PLACES[name])
        self.window.see_mask()

    def accept(self) -> None:
        self.window.key(Qt.Key.Key_A)

    def labels(self, name: str) -> Any:
        return self.widget.place.labels_of(self.images[name])

    def area(self, name: str) -> int:
        """Labelled pixels in the square of an image, and none elsewhere."""
        labels = self.labels(name)
        if labels is None:
            return 0
        row, column = PLACES[name]
        inside = labels.data[row - 10 : row + 10, column - 10 : column + 10]
        assert np.count_nonzero(labels.data) == np.count_nonzero(inside)
        return int(np.count_nonzero(inside))

    @property
    def status(self) -> str:
        return self.widget.panel.status_line.text()

    def choose(self, name: str) -> None:
        """Take an image in the chooser of the widget."""
        native = self.widget.form.image.native
        box = native if hasattr(native, "findText") else native.findChild(type(native))
        box.setCurrentIndex(box.findText(name))
        self.window.settle()


@pytest.fixture
def two(open_window: Callable[[], Window], thread: InferenceThread) -> Two:
    return Two(open_window(), thread)


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked; answered with No."""
    asked: list[str] = []

    def answer(parent: Any, title: str, question: str) -> Any:
        asked.append(question)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", answer)
    return asked


def test_an_image_opened_on_top_is_worked_on_with_layers_of_its_own(two: Two) -> None:
    two.click("A")
    mine = two.widget.place.chosen.points
    two.open_second()
    assert two.widget.form.image.value == two.images["B"]
    theirs = two.widget.form.points.value
    assert theirs is not mine and len(theirs.data) == 0
    assert two.viewer.layers.index(theirs) > two.viewer.layers.index(two.images["B"])
    assert two.widget.controller.prediction is None
    two.click("B")
    two.window.picture("two_images_second")
    two.accept()
    assert (two.area("A"), two.area("B")) == (0, 400)
    assert len(mine.data) == 1, "the click on A waits there"
    two.choose("A")
    two.window.see_mask()
    two.accept()
    assert (two.area("A"), two.area("B")) == (400, 400)
    assert two.labels("A") is not two.labels("B")


def test_an_image_that_was_chosen_by_hand_stays_and_is_named(two: Two) -> None:
    two.open_second()
    two.choose("A")
    assert two.widget.form.image.value == two.images["A"]
    assert "Clicks count for 'A', which lies under 'B'" in two.status
    asked = len(two.fake.predicted)
    two.click("A")
    assert len(two.fake.predicted) == asked + 1
    assert "'A', which lies under 'B'" in two.status
    two.window.picture("two_images_by_hand")
    two.accept()
    assert (two.area("A"), two.area("B")) == (400, 0)
    # switched off, B hides nothing any more
    two.images["B"].visible = False
    two.window.settle()
    assert "lies under" not in two.status


@pytest.mark.parametrize("how", ["moved", "switched off", "deleted"])
def test_the_image_that_is_seen_is_followed(two: Two, how: str) -> None:
    two.open_second()
    two.click("B")
    layers = two.viewer.layers
    if how == "moved":
        layers.move(layers.index(two.images["A"]), len(layers))
    elif how == "switched off":
        two.images["B"].visible = False
    else:
        layers.remove(two.images["B"])
    two.window.settle()
    assert two.widget.form.image.value == two.images["A"]
    points = two.widget.form.points.value
    assert layers.index(points) > layers.index(two.images["A"])
    two.click("A")
    two.accept()
    assert two.area("A") == 400
    assert two.fake.predicted[-1].points[0] == pytest.approx((40, 30), abs=1)


def test_a_user_who_paints_keeps_the_brush(two: Two) -> None:
    two.open_second()
    labels = two.viewer.add_labels(np.zeros((120, 160), np.uint16), name="mine")
    labels.mode = "paint"
    two.images["B"].visible = False
    two.window.settle()
    assert two.widget.form.image.value == two.images["A"]
    assert two.viewer.layers.selection.active == labels and labels.mode == "paint"


def test_renamed_images_and_layers_stay_together(two: Two) -> None:
    two.click("A")
    two.accept()
    cells = two.labels("A")
    two.open_second()
    two.images["A"].name, two.images["B"].name = "B", "A"
    cells.name = "Prompts: points"
    two.click("B")
    two.accept()
    assert two.labels("A") is cells
    assert (two.area("A"), two.area("B")) == (400, 400)


def test_a_labels_layer_of_another_image_is_not_used_unasked(
    two: Two, questions: list[str]
) -> None:
    two.click("A")
    two.accept()
    cells = two.labels("A")
    two.open_second()
    two.widget.form.labels.value = cells
    two.click("B")
    assert questions == []
    two.accept()
    assert len(questions) == 1 and "holds the objects of 'A'" in questions[0]
    assert (two.area("A"), two.area("B")) == (400, 400)
    assert two.labels("B") is not cells


def test_labels_of_other_plugins_are_not_taken_for_ones_own(
    two: Two, questions: list[str]
) -> None:
    theirs = two.viewer.add_labels(np.zeros((120, 160), np.uint16), name="Cells")
    two.widget.start()
    two.click("A")
    two.accept()
    assert not theirs.data.any() and questions == []
    assert two.area("A") == 400


def test_undo_takes_back_in_the_image_that_is_chosen(two: Two) -> None:
    two.click("A")
    two.accept()
    two.open_second()
    two.click("B")
    two.accept()
    two.window.key(Qt.Key.Key_Z, CONTROL)
    assert (two.area("A"), two.area("B")) == (400, 0)


def test_channels_and_axes_chosen_for_an_image_are_kept(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    window = open_window()
    stack = np.stack([np.zeros((120, 160), np.uint16), square("A")])
    first = window.viewer.add_image(stack, name="channels")
    fake = FakeSegmenter()
    widget = window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    widget.form.channel_axis.value = 0
    widget.form.channel.value = 1
    colour = np.stack([np.zeros_like(square("B"), np.uint8)] * 3, axis=-1)
    second = window.viewer.add_image(colour, rgb=True, name="colour")
    window.settle()
    assert widget.form.image.value == second
    assert (widget.place.channel_axis, widget.place.channel) == (None, None)
    second.visible = False
    window.settle()
    assert widget.form.image.value == first
    assert (widget.form.channel_axis.value, widget.form.channel.value) == (0, 1)
    assert (widget.place.channel_axis, widget.place.channel) == (0, 1)
