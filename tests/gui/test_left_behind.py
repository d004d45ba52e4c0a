"""What goes on while another image, no layer or no image at all is chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractItemView, QAbstractSlider
from tests.brightness import BrightSegmenter, disks
from tests.fakes import FakeSegmenter, FollowingSegmenter
from tests.gui.test_propagate import Follow
from tests.gui.window import CONTROL, LEFT, NO_MODIFIER, Window
from tests.random_models import random_model
from tests.widgets.propagation import Gate, gate, two_discs

from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.shared.docks import find_dock, open_dock

__all__ = ["gate"]

CENTRES = {"A": [(14, 14), (46, 46)], "B": [(14, 60), (46, 20), (30, 40)]}


def press(button: Any) -> None:
    assert button.isEnabled(), button.text()
    QTest.mouseClick(button, LEFT, NO_MODIFIER, button.rect().center())


class Found:
    """A with all its objects found and not accepted; B can be opened over it."""

    def __init__(self, window: Window, thread: InferenceThread, planes: int = 1) -> None:
        self.window = window
        self.planes = planes
        self.images = {"A": self._open("A")}
        session = SegmentSession(thread=thread, loader=BrightSegmenter().load)
        self.place = window.open_widget(session).place
        self.everything = open_dock(window.viewer, "Everything")
        self.everything.form.size.value = 17
        window.settle()
        press(self.everything.buttons["run"])
        self.settle()
        assert self.everything.controller.arrangement.count == 2

    def _open(self, name: str) -> Any:
        image, _ = disks((64, 90), CENTRES[name], 8)
        if self.planes > 1:
            image = np.stack([image] * self.planes)
        return self.window.viewer.add_image(image, name=name)

    def open_second(self) -> None:
        self.images["B"] = self._open("B")
        self.window.settle()
        assert self.place.chosen.image is self.images["B"]

    def settle(self) -> None:
        self.window.wait(lambda: self.everything.controller.settled, 30)
        self.window.settle()

    def accept(self, name: str = "commit") -> None:
        press(self.everything.buttons[name])
        self.settle()

    def count(self, name: str) -> int:
        """Objects in the labels of an image."""
        labels = self.place.labels_of(self.images[name])
        return 0 if labels is None else int(labels.data.max())


def test_objects_found_in_one_image_never_go_into_another(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    found = Found(open_window(), thread)
    found.open_second()
    found.accept()
    assert (found.count("A"), found.count("B")) == (2, 0)
    assert f"in '{found.place.labels_of(found.images['A']).name}'" in (
        found.everything.status_line.text()
    )


def test_objects_of_an_image_that_was_deleted_do_not_go_into_the_next(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    found = Found(open_window(), thread)
    found.open_second()
    found.window.viewer.layers.remove(found.images["A"])
    found.window.settle()
    found.accept()
    assert (found.count("A"), found.count("B")) == (2, 0)


def test_what_is_followed_is_in_the_image_where_it_was_found(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    found = Found(open_window(), thread, planes=3)
    found.open_second()
    found.accept("propagate")
    assert (found.count("A"), found.count("B")) == (2, 0)
    assert found.place.chosen.image is found.images["A"]
    propagate = find_dock(found.window.viewer, "Propagate")
    assert propagate.form.what.value == "plane"
    # which cannot be seen
    assert "'A', which lies under 'B'" in propagate.panel.status_line.text()


def test_what_was_in_an_image_that_is_gone_is_not_followed_in_another(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    found = Found(open_window(), thread, planes=3)
    found.open_second()
    found.window.viewer.layers.remove(found.images["A"])
    found.window.settle()
    found.accept("propagate")
    assert (found.count("A"), found.count("B")) == (2, 0)
    assert find_dock(found.window.viewer, "Propagate") is None
    assert "'A' was removed" in found.everything.status_line.text()


def test_a_folder_leaves_the_objects_of_an_open_image_alone(
    open_window: Callable[[], Window], thread: InferenceThread, tmp_path: Path
) -> None:
    window = open_window()
    image, _ = disks((64, 90), CENTRES["A"], 8)
    mine = window.viewer.add_image(image, name="A")
    for name in ("im1", "im2"):
        tifffile.imwrite(tmp_path / f"{name}.tif", disks((64, 90), CENTRES["B"], 8)[0])
    widget = window.open_widget(SegmentSession(thread=thread, loader=FakeSegmenter().load))
    window.viewer.fit_to_view()
    window.settle()
    window.click(mine, (14, 14))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    labels = widget.place.labels_of(mine)
    before = labels.data.copy()
    assert before.any()
    series = open_dock(window.viewer, "Series")
    series.open_folder(tmp_path)
    window.wait(lambda: not series.busy)
    window.settle()
    window.click(mine, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    press(series.buttons["save"])
    window.wait(lambda: not series.busy)
    assert labels in window.viewer.layers and mine in window.viewer.layers
    np.testing.assert_array_equal(labels.data, before)
    saved = read_labels(tmp_path / "im1_labels.tif").labels
    assert np.unique(saved).tolist() == [0, 1]
    assert saved[30, 40] == 1 and saved[14, 14] == 0


def test_accepting_a_propagation_makes_the_labels_that_were_deleted(
    open_window: Callable[[], Window], thread: InferenceThread, gate: Gate
) -> None:
    window = open_window()
    layer = window.viewer.add_image(two_discs(), name="discs", axis_labels=("z", "y", "x"))
    window.viewer.dims.set_current_step(0, 3)
    loader = FollowingSegmenter(random_model()).load
    window.open_widget(SegmentSession(thread=thread, loader=loader))
    window.viewer.fit_to_view()
    window.settle()
    window.click(layer, (3, 66, 70))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    follow = Follow(window)
    follow.widget.form.what.value = "plane"
    gate.close()
    follow.press("start")
    gate.let(1)
    window.wait(lambda: follow.controller.desk.stage in ("announced", "running"))
    if follow.controller.desk.stage == "announced":
        follow.press("start")
    gate.let(1)
    follow.until("running")
    deleted = window.widget.form.labels.value
    window.viewer.layers.remove(deleted)
    gate.release()
    follow.until("review")
    follow.press("accept")
    follow.until("idle")
    made = window.widget.form.labels.value
    assert made is not None and made is not deleted
    assert [bool((plane == 1).any()) for plane in made.data] == [True] * len(made.data)


def test_an_emptied_viewer_takes_the_next_image(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    """An empty Shapes and an empty Points layer right after an image crash the canvas."""
    window = open_window()
    window.viewer.add_image(disks((64, 90), CENTRES["A"], 8)[0], name="A")
    widget = window.open_widget(SegmentSession(thread=thread, loader=FakeSegmenter().load))
    window.settle()
    widget.start_boxes()
    window.settle()
    rows = next(
        view
        for view in widget.window().findChildren(QAbstractItemView)
        if type(view).__name__ == "QtLayerList"
    )
    QTest.mouseClick(rows.viewport(), LEFT, NO_MODIFIER, QPoint(40, 12))
    QTest.keyClick(rows, Qt.Key.Key_A, CONTROL)
    QTest.keyClick(rows, Qt.Key.Key_Delete)
    window.settle()
    assert len(window.viewer.layers) == 0
    made: list[str] = []
    window.viewer.layers.events.inserted.connect(
        lambda event: made.append(type(event.value).__name__)
    )
    layer = window.viewer.add_image(disks((64, 90), CENTRES["B"], 8)[0], name="B")
    window.settle()
    widget.start_boxes()
    window.viewer.fit_to_view()
    window.settle()
    assert made == ["Image", "Points", "Shapes"], "the order that does not crash"
    widget.start()
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    assert widget.place.labels_of(layer).data[30, 40] == 1


def test_a_series_opened_from_a_script(
    open_window: Callable[[], Window],
    npe2pm: PluginManager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """napari hands a script wrapped widgets, which are not what they wrap."""
    npe2pm.register(PluginManifest.from_distribution("napari-cellprompt"))
    fake = FakeSegmenter()
    monkeypatch.setattr(
        "napari_cellprompt.session.segment.load_for_session",
        lambda name, device, cache_bytes, disk_bytes=0: fake.load(name, device, 0),
    )
    for name in ("im1", "im2"):
        tifffile.imwrite(tmp_path / f"{name}.tif", disks((64, 90), CENTRES["B"], 8)[0])
    window = open_window()
    add = window.viewer.window.add_plugin_dock_widget
    add("napari-cellprompt", "Segment")
    _, series = add("napari-cellprompt", "Series")
    window.settle()
    series.open_folder(tmp_path)
    window.wait(lambda: not series.busy)
    assert series.buttons["save"].isEnabled()
    press(series.buttons["save"])
    window.wait(lambda: not series.busy)
    assert (tmp_path / "im1_labels.tif").is_file()
    assert "im2.tif" in series.status_line.text()


def test_keys_work_after_everything_and_after_a_slider(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    """Nothing, or a slider, had the focus, and the keys of the text were dead."""
    found = Found(open_window(), thread)
    window, main = found.window, found.everything.window()

    def key(name: Qt.Key, modifier: Any = NO_MODIFIER) -> None:
        QTest.keyClick(main.focusWidget() or main, name, modifier)
        window.settle()

    native = found.everything.form.score.native
    slider = native.findChild(QAbstractSlider) or native
    slider.setFocus()
    QTest.keyClick(slider, Qt.Key.Key_Right)
    found.settle()
    found.accept()
    assert found.count("A") == 2
    key(Qt.Key.Key_Z, CONTROL)
    assert found.count("A") == 0
    sign = window.widget.panel.buttons["sign"]
    before = sign.text()
    key(Qt.Key.Key_T)
    assert sign.text() != before
    key(Qt.Key.Key_T)
    window.viewer.fit_to_view()
    window.settle()
    window.click(found.images["A"], CENTRES["A"][0])
    window.see_mask()
    key(Qt.Key.Key_A)
    labels = found.place.labels_of(found.images["A"])
    assert labels.data[CENTRES["A"][0]] > 0 and labels.data[CENTRES["A"][1]] == 0
