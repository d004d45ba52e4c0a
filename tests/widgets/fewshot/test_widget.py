from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QFileDialog,
)
from tests.brightness import BrightSegmenter
from tests.gui.window import CONTROL, Window
from tests.two_kinds import disks_and_bars
from tests.widgets.conftest import labels_of

from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.layers.images import Pixels
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.shared.docks import open_dock


class Desk:
    """The widget in a viewer, used with its buttons."""

    def __init__(self, window: Window, thread: InferenceThread) -> None:
        self.segmenter = BrightSegmenter()
        session = SegmentSession(thread=thread, loader=self.segmenter.load)
        self.window = window
        self.segment = window.open_widget(session)
        self.widget = open_dock(window.viewer, "Few-shot")
        self.controller = self.widget.controller
        window.settle()

    def press(self, name: str) -> None:
        button = self.widget.buttons[name]
        assert button.isEnabled(), name
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def settle(self) -> None:
        self.window.wait(lambda: self.controller.settled, 30)

    def show_disks(self, disks: np.ndarray) -> None:
        layer = self.window.viewer.add_labels(
            np.where(np.isin(disks, (1, 3)), disks, 0), name="shown"
        )
        self.widget.form.labels.value = layer
        self.widget.form.which.value = "all"
        self.press("teach")

    @property
    def status(self) -> str:
        return self.widget.status_line.text()

    @property
    def labels(self) -> np.ndarray:
        return labels_of(self.segment)


@pytest.fixture
def desk(
    make_napari_viewer: Any, qtbot: Any, thread: InferenceThread
) -> Callable[[np.ndarray], Desk]:
    def opened(image: np.ndarray) -> Desk:
        viewer = make_napari_viewer(show=True)
        viewer.add_image(image, name="cells")
        return Desk(Window(viewer, qtbot), thread)

    return opened


def test_teach_find_choose_take_out_accept_undo(desk) -> None:
    image, disks, bars = disks_and_bars(0)
    it = desk(image)
    assert not it.widget.buttons["find"].isEnabled()
    it.show_disks(disks)
    assert it.widget.examples.count() == 2
    assert "2 examples" in it.status
    it.press("find")
    assert "5 of 9 objects" in it.status
    before = it.labels.copy()
    asked = it.segmenter.network.decoded
    it.widget.form.threshold.value = 0.0
    assert "9 of 9" in it.status
    it.widget.form.threshold.value = 0.5
    assert it.segmenter.network.decoded == asked, "the threshold must not run the model"
    it.press("review")
    layer = it.controller.preview.layer
    it.window.viewer.reset_view()
    it.window.settle()
    it.window.click(layer, (16, 16))
    assert "4 of 9" in it.status
    it.window.picture("few-shot")
    it.window.click(layer, (16, 16))
    assert "5 of 9" in it.status
    np.testing.assert_array_equal(it.labels, before)
    it.press("commit")
    target = it.segment.form.labels.value
    if target.name == "shown":
        written = np.where(before > 0, 0, it.labels)
        assert len(np.unique(written)) - 1 == 3
    else:
        assert average_precision(it.labels, disks)[0] == 1.0
    assert not it.labels[bars > 0].any()
    target.undo()
    np.testing.assert_array_equal(it.labels, before)


def test_a_stack_is_searched_plane_by_plane(desk) -> None:
    pictures = [disks_and_bars(seed) for seed in range(3)]
    it = desk(np.stack([p[0] for p in pictures]))
    it.window.viewer.dims.set_current_step(0, 0)
    shown = np.zeros((3, 96, 96), np.uint16)
    shown[0] = np.where(np.isin(pictures[0][1], (1, 3)), pictures[0][1], 0)
    it.widget.form.labels.value = it.window.viewer.add_labels(shown, name="shown")
    it.widget.form.which.value = "all"
    it.press("teach")
    it.press("find_all")
    it.window.wait(lambda: "15 of 27" in it.status, 30)
    drawn = np.squeeze(it.controller.preview.layer.data)
    for plane, (_, disks, _) in zip(drawn, pictures, strict=True):
        assert average_precision(plane, disks)[0] == 1.0


def test_examples_are_kept_and_removed(desk, tmp_path, monkeypatch) -> None:
    image, disks, _ = disks_and_bars(0)
    it = desk(image)
    it.show_disks(disks)
    path = str(tmp_path / "bank.safetensors")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (path, ""))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (path, ""))
    it.press("save")
    it.widget.examples.item(0).setSelected(True)
    it.press("remove")
    assert it.widget.examples.count() == 1
    it.press("load")
    assert it.widget.examples.count() == 2
    (tmp_path / "bank.safetensors").write_bytes(b"junk")
    it.press("load")
    assert "cannot be read" in it.status
    assert it.widget.examples.count() == 2


def test_an_empty_layer_teaches_nothing(desk) -> None:
    image, disks, _ = disks_and_bars(0)
    it = desk(image)
    it.show_disks(np.zeros_like(disks))
    assert "no objects" in it.status
    assert it.widget.examples.count() == 0


def test_a_folder_is_labelled_stopped_and_gone_on_with(desk, tmp_path, monkeypatch) -> None:
    image, disks, _ = disks_and_bars(0)
    it = desk(image)
    it.show_disks(disks)
    for seed in range(1, 4):
        tifffile.imwrite(tmp_path / f"im{seed}.tif", disks_and_bars(seed)[0])
    (tmp_path / "im0.tif").write_bytes(b"no image")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    QTest.mouseClick(it.widget.buttons["folder"], Qt.MouseButton.LeftButton)
    it.window.wait(lambda: (tmp_path / "im1_labels.tif").exists(), 30)
    it.press("cancel")
    assert "Stopped" in it.status
    assert not (tmp_path / "im3_labels.tif").exists()
    it.press("folder")
    it.window.wait(lambda: "Series" in it.status, 30)
    assert "im0.tif" in it.status
    for seed in range(1, 4):
        found = read_labels(tmp_path / f"im{seed}_labels.tif").labels
        assert average_precision(found, disks_and_bars(seed)[1])[0] == 1.0
    (tmp_path / "im0.tif").unlink()
    it.press("folder")
    assert "All 3 images there have their labels" in it.status
    monkeypatch.setattr(
        QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "none")
    )
    it.press("folder")
    assert "no folder" in it.status


def test_examples_are_taken_from_where_segment_writes(desk) -> None:
    image, _, _ = disks_and_bars(0)
    opened = desk(image)
    assert opened.widget.form.labels.value is None
    opened.segment.start()
    row, column = np.argwhere(image == image.max())[0]
    layer = opened.window.viewer.layers["cells"]
    opened.window.click(layer, (int(row), int(column)))
    opened.window.see_mask()
    opened.window.key(Qt.Key.Key_A)
    written = opened.segment.controller.place.chosen.labels
    assert written is not None
    assert opened.widget.form.labels.value is written
    # what was chosen by hand stays
    other = opened.window.viewer.add_labels(np.zeros(image.shape, np.uint8), name="other")
    opened.widget.form.labels.value = other
    opened.window.viewer.add_labels(np.zeros(image.shape, np.uint8), name="third")
    assert opened.widget.form.labels.value is other


def test_after_a_slider_and_accept_all_the_keys_work_and_ids_are_not_used_again(
    desk,
) -> None:
    image, disks, _ = disks_and_bars(0)
    it = desk(image)
    it.segment.start()
    it.show_disks(disks)
    it.press("find")
    # the layer with the examples has an undo of its own
    it.window.viewer.layers.selection.active = it.window.viewer.layers["shown"]
    slider = it.widget.form.threshold.native
    QTest.mouseClick(slider, Qt.MouseButton.LeftButton)
    slider.setFocus()
    it.press("commit")
    focus = QApplication.focusWidget()
    assert not isinstance(focus, QAbstractSlider | QAbstractSpinBox | QAbstractButton)
    target = it.segment.form.labels.value
    highest = int(target.data.max())
    # to where the keyboard is, as the window system would
    QTest.keyClick(focus or it.window.canvas, Qt.Key.Key_Z, CONTROL)
    it.window.wait(lambda: int(it.segment.form.labels.value.data.max()) < highest)
    positive = it.segment.panel.buttons["sign"].text()
    QTest.keyClick(QApplication.focusWidget() or it.window.canvas, Qt.Key.Key_T)
    it.window.wait(lambda: it.segment.panel.buttons["sign"].text() != positive)
    QTest.keyClick(QApplication.focusWidget() or it.window.canvas, Qt.Key.Key_T)
    # the numbers of what was undone are kept, for redo to find them
    row, column = np.argwhere(disks == 1).mean(0)
    it.window.viewer.fit_to_view()
    it.window.settle()
    it.window.click(it.window.viewer.layers["cells"], (int(row), int(column)))
    it.window.see_mask()
    it.window.key(Qt.Key.Key_A)
    assert int(it.segment.form.labels.value.data.max()) == highest + 1


def test_looking_at_examples_shows_progress_and_stops(desk, monkeypatch) -> None:
    """It took 98 s without a word, and could not be stopped."""
    image, disks, _ = disks_and_bars(0)
    opened = desk(image)
    go_on, begun = threading.Event(), threading.Event()
    model = opened.segmenter.model

    def find(plane: Any, settings: Any, **options: Any) -> list[Any]:
        options["progress"](3, 10)
        begun.set()
        while not options["cancelled"]():
            if go_on.wait(0.01):
                return []
        raise CancelledError

    monkeypatch.setattr(type(model), "find", lambda self, *a, **o: find(*a, **o))
    layer = opened.window.viewer.add_labels(disks, name="shown")
    opened.widget.form.labels.value = layer
    opened.widget.form.which.value = "all"
    QTest.mouseClick(opened.widget.buttons["teach"], Qt.MouseButton.LeftButton)
    opened.window.wait(begun.is_set)
    opened.window.wait(lambda: opened.controller.progress == (3, 10))
    bar = opened.widget.bar
    assert (bar.isVisible(), bar.value(), bar.maximum()) == (True, 3, 10)
    opened.press("cancel")
    assert "no example was added" in opened.status
    assert opened.controller.bank is None


def test_a_folder_is_not_looked_at_with_other_channels_than_the_image(
    desk, tmp_path, monkeypatch
) -> None:
    image, disks, _ = disks_and_bars(0)
    it = desk(image)
    it.segment.channels.on.setChecked(True)
    place = it.segment.place
    it.window.wait(lambda: isinstance(place.pixels_of(place.chosen.image), Pixels))
    it.show_disks(disks)
    tifffile.imwrite(tmp_path / "im1.tif", disks_and_bars(1)[0])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    it.press("folder")
    assert "one channel at a time" in it.status
    assert not (tmp_path / "im1_labels.tif").exists()
    # the image itself is searched through its channels
    it.press("find")
    assert "like the examples" in it.status
