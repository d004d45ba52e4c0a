from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.brightness import BrightSegmenter
from tests.gui.window import Window
from tests.two_kinds import disks_and_bars

from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.label_tiff import read_labels, write_labels
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.shared.docks import open_dock


class Desk:
    """The widget in an empty viewer, used with its buttons."""

    def __init__(self, window: Window, thread: InferenceThread) -> None:
        session = SegmentSession(thread=thread, loader=BrightSegmenter().load)
        self.window = window
        self.segment = window.open_widget(session)
        self.widget = open_dock(window.viewer, "Series")
        window.settle()

    def open(self, folder: Path) -> None:
        self.widget.open_folder(folder)
        self.settle()

    def press(self, name: str) -> None:
        button = self.widget.buttons[name]
        assert button.isEnabled(), name
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def settle(self) -> None:
        self.window.wait(lambda: not self.widget.busy, 30)
        self.window.settle()

    @property
    def status(self) -> str:
        return self.widget.status_line.text()


@pytest.fixture
def desk(make_napari_viewer: Any, qtbot: Any, thread: InferenceThread) -> Desk:
    return Desk(Window(make_napari_viewer(show=True), qtbot), thread)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        tifffile.imwrite(
            tmp_path / f"im{seed}.tif",
            disks_and_bars(seed)[0],
            imagej=True,
            resolution=(2, 2),
            metadata={"unit": "um"},
        )
    return tmp_path


def paint(it: Desk, value: int) -> None:
    """A small object in the Labels layer of Segment."""
    place = it.segment.place
    labels = place.target(place.chosen.image)
    labels.data_setitem((np.array([5, 5]), np.array([5, 6])), value)


def test_goes_through_a_folder_and_saves_as_it_goes(desk, folder: Path) -> None:
    desk.open(folder)
    image = desk.segment.form.chosen.image
    assert image.name == "im0"
    np.testing.assert_allclose(image.scale, (0.5, 0.5))
    paint(desk, 3)
    desk.press("save")
    saved = read_labels(folder / "im0_labels.tif")
    assert saved.labels[5, 5] == 3 and (saved.labels > 0).sum() == 2
    assert saved.scale == (0.5, 0.5)
    assert [layer.name for layer in desk.window.viewer.layers if "im" in layer.name] == [
        "im1"
    ]
    desk.press("skip")
    assert desk.segment.form.chosen.image.name == "im2"
    desk.press("back")
    assert desk.segment.form.chosen.image.name == "im1"
    paint(desk, 1)
    desk.press("save")
    paint(desk, 1)
    desk.press("save")
    assert "All 3 images are finished" in desk.status
    assert desk.widget.bar.value() == 3


def test_finished_images_are_skipped_and_bad_ones_named(desk, folder: Path) -> None:
    tifffile.imwrite(folder / "im0_labels.tif", np.zeros((96, 96), np.uint16))
    (folder / "im1.tif").write_bytes(b"no image")
    desk.open(folder)
    assert "im1.tif" in desk.status and "Skip" in desk.status
    desk.press("skip")
    assert desk.segment.form.chosen.image.name == "im2"
    desk.open(folder / "missing")
    assert "no folder" in desk.status


def test_save_next_and_previous_by_key(desk, folder: Path) -> None:
    desk.open(folder)
    control = Qt.KeyboardModifier.ControlModifier
    for key, name in ((Qt.Key.Key_PageDown, "im1"), (Qt.Key.Key_PageUp, "im0")):
        desk.window.key(key, control)
        desk.settle()
        assert desk.segment.form.chosen.image.name == name
    paint(desk, 1)
    desk.window.key(Qt.Key.Key_Return, control)
    desk.settle()
    assert (folder / "im0_labels.tif").is_file()
    assert desk.segment.form.chosen.image.name == "im1"
    desk.widget.shut_down()
    desk.window.key(Qt.Key.Key_PageDown, control)
    desk.settle()
    assert desk.segment.form.chosen.image.name == "im1", "the keys were given back"


def test_labels_that_were_not_saved_stay(desk, folder: Path) -> None:
    desk.open(folder)
    paint(desk, 1)
    mine = desk.segment.form.labels.value
    desk.press("skip")
    assert mine in desk.window.viewer.layers
    assert not (folder / "im0_labels.tif").exists()


def test_examples_are_applied_to_every_image(desk, folder: Path) -> None:
    fewshot = open_dock(desk.window.viewer, "Few-shot")
    desk.open(folder)
    disks = disks_and_bars(0)[1]
    layer = desk.window.viewer.add_labels(
        np.where(np.isin(disks, (1, 3)), disks, 0), scale=(0.5, 0.5)
    )
    fewshot.controller.teach(layer, "wanted", all_of_them=True)
    desk.window.wait(lambda: not fewshot.controller.running, 30)
    desk.press("skip")
    desk.window.wait(
        lambda: fewshot.controller.settled and bool(fewshot.controller.chosen), 30
    )
    found = np.squeeze(fewshot.controller.preview.layer.data)
    assert average_precision(found, disks_and_bars(1)[1])[0] == 1.0
    desk.window.picture("series")


def test_finished_images_are_reviewed_with_their_labels(desk, folder: Path) -> None:
    for seed in (0, 1):
        write_labels(
            folder / f"im{seed}_labels.tif",
            disks_and_bars(seed)[1],
            axes="YX",
            scale=(0.5, 0.5),
            unit="um",
        )
    desk.widget.finished.setChecked(True)
    desk.open(folder)
    assert "im0.tif has 5 objects" in desk.status
    shown = desk.segment.form.labels.value
    np.testing.assert_array_equal(shown.data, disks_and_bars(0)[1])
    np.testing.assert_allclose(shown.scale, (0.5, 0.5))
    desk.press("skip")
    assert shown not in desk.window.viewer.layers, "untouched labels go with their image"
    paint(desk, 40)
    mine = desk.segment.form.labels.value
    desk.press("skip")
    assert mine in desk.window.viewer.layers, "changed labels stay until they are saved"
    desk.press("back")
    paint(desk, 40)
    desk.press("save")
    saved = read_labels(folder / "im1_labels.tif").labels
    assert saved[5, 5] == 40
    assert desk.segment.form.chosen.image.name == "im2"
    desk.press("skip")
    assert "no image after this one" in desk.status


def test_the_next_image_is_shown_with_the_same_channels(desk, tmp_path: Path) -> None:
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 999, (2, 40, 50))
        tifffile.imwrite(
            tmp_path / f"im{number}.tif",
            pixels.astype(np.uint16),
            imagej=True,
            metadata={"axes": "CYX"},
        )
    desk.open(tmp_path)
    desk.segment.form.channel_axis.value = 0
    panel = desk.segment.channels
    panel.on.setChecked(True)
    panel.rows[1].smooth.setValue(1.0)
    desk.window.wait(lambda: desk.segment.place.composition[1].smooth == 1.0)
    chosen = desk.segment.place.composition
    desk.press("skip")
    assert desk.segment.form.chosen.image.name == "im1"
    assert desk.segment.form.channel_axis.value == 0
    assert desk.segment.place.composition == chosen
    assert panel.on.isChecked()
