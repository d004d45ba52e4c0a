from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tests.brightness import BrightSegmenter, disks
from tests.gui.window import CONTROL, Window
from tests.widgets.conftest import labels_of, paint

from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.shared.docks import find_dock, open_dock

CENTRES = [(14, 14), (14, 44), (44, 14), (46, 46), (30, 70)]


class Search:
    """The widget in a viewer, used with its buttons."""

    def __init__(self, window: Window, thread: InferenceThread) -> None:
        self.segmenter = BrightSegmenter()
        self.session = SegmentSession(thread=thread, loader=self.segmenter.load)
        self.window = window
        self.segment = window.open_widget(self.session)
        self.widget = open_dock(window.viewer, "Everything")
        self.controller = self.widget.controller
        self.widget.form.size.value = 17
        window.settle()

    def press(self, name: str) -> None:
        button = self.widget.buttons[name]
        assert button.isEnabled(), name
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)

    def settle(self) -> None:
        self.window.wait(lambda: self.controller.settled, 30)

    def find(self) -> None:
        self.press("run")
        self.settle()

    @property
    def status(self) -> str:
        return self.widget.status_line.text()

    @property
    def labels(self) -> np.ndarray:
        return labels_of(self.segment)


@pytest.fixture
def search(
    make_napari_viewer: Any, qtbot: Any, thread: InferenceThread
) -> Callable[[np.ndarray], Search]:
    def opened(image: np.ndarray) -> Search:
        viewer = make_napari_viewer(show=True)
        viewer.add_image(image, name="cells")
        return Search(Window(viewer, qtbot), thread)

    return opened


def test_find_filter_accept_undo(search) -> None:
    image, truth = disks((64, 90), CENTRES, 8)
    image[2:7, 60:65] = 230  # dust
    desk = search(image)
    desk.find()
    assert desk.controller.arrangement.count == 6
    assert "6 objects of" in desk.status
    assert desk.controller.preview.layer.data.max() == 6
    assert not desk.labels.any(), "nothing may be written before it is accepted"
    desk.press("discard")
    assert "forgotten" in desk.status
    desk.find()
    decoded = desk.segmenter.network.decoded
    desk.widget.form.min_area.value = 100
    desk.settle()
    assert desk.controller.arrangement.count == 5
    assert "by area" in desk.status
    assert desk.segmenter.network.decoded == decoded, "filters must not run the model"
    desk.window.picture("everything found")
    desk.press("commit")
    desk.settle()
    assert average_precision(desk.labels, truth)[0] == 1.0
    assert desk.controller.preview.layer is None
    assert "5 objects in" in desk.status
    desk.segment.controller.undo()
    assert not desk.labels.any()
    desk.segment.controller.redo()
    assert desk.labels.max() == 5


def test_buttons_stay_in_place_while_something_is_looked_for(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    button, bar = desk.widget.buttons["commit"], desk.widget.bar
    place = button.mapTo(desk.widget, button.rect().topLeft())
    gate = threading.Event()
    features = desk.segmenter.model.features

    def waiting(plane: Any, view: Any, *, cancelled: Any = None) -> Any:
        assert gate.wait(20)
        return features(plane, view, cancelled=cancelled)

    desk.segmenter.model.features = waiting
    desk.press("run")
    desk.window.settle()
    assert bar.isVisible()
    assert button.mapTo(desk.widget, button.rect().topLeft()) == place
    gate.set()
    desk.settle()
    desk.window.settle()
    assert not bar.isVisible()
    assert button.mapTo(desk.widget, button.rect().topLeft()) == place


def test_undo_by_key_holds_with_another_labels_layer_active(search) -> None:
    """That layer's own undo had the key, and nothing happened."""
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    layers = desk.window.viewer.layers
    desk.find()
    other = desk.window.viewer.add_labels(np.zeros_like(image, dtype=int), name="mine")
    layers.selection.active = other
    desk.press("commit")
    desk.settle()
    assert desk.labels.max() == 5
    desk.window.key(Qt.Key.Key_Z, CONTROL)
    desk.window.wait(lambda: not desk.labels.any(), 5)
    assert "undone" in desk.status
    # with the layer itself active its own undo does the same
    desk.find()
    layers.selection.active = target = desk.segment.form.labels.value
    desk.press("commit")
    desk.settle()
    assert layers.selection.active == target
    desk.window.key(Qt.Key.Key_Z, CONTROL)
    desk.window.wait(lambda: not desk.labels.any(), 5)


def test_what_was_found_is_told_and_can_be_accepted_without_its_image(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    desk.find()
    desk.window.viewer.layers.remove("cells")
    desk.window.settle()
    assert "5 objects of 5" in desk.status
    desk.press("commit")
    desk.settle()
    assert desk.window.viewer.layers["Cells"].data.max() == 5
    assert desk.widget.buttons["commit"].isEnabled() is False


def test_accepted_objects_are_kept_and_ids_go_on(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    paint(desk.segment, np.s_[10:18, 10:30], 7)
    desk.find()
    desk.press("commit")
    desk.settle()
    assert (desk.labels == 7).sum() == 160
    assert set(np.unique(desk.labels)) == {0, 7, 8, 9, 10, 11, 12}


def test_a_stack_is_linked_in_one_undo_step(search) -> None:
    planes = [disks((64, 90), [(y, x + z) for y, x in CENTRES], 8) for z in range(3)]
    desk = search(np.stack([plane for plane, _ in planes]))
    desk.widget.form.planes.value = "all"
    desk.find()
    assert desk.controller.arrangement.count == 5
    desk.press("commit")
    desk.settle()
    truth = np.stack([labels for _, labels in planes])
    assert average_precision(desk.labels, truth)[0] == 1.0
    desk.segment.form.labels.value.undo()
    assert not desk.labels.any()


def test_the_size_is_found_out_on_one_plane_of_a_stack(search, monkeypatch) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(np.stack([np.zeros_like(image), image, image]))
    sizes: list[float | None] = []
    find = desk.segmenter.model.find

    def watch(plane: Any, settings: Any, **options: Any) -> Any:
        sizes.append(settings.size)
        return find(plane, settings, **options)

    monkeypatch.setattr(desk.segmenter.model, "find", watch)
    desk.widget.form.size.value = 0
    desk.widget.form.planes.value = "all"
    desk.find()
    assert sizes[:2] == [None, None], "nothing is on the first plane"
    assert sizes[2] == pytest.approx(17, abs=3)


def test_only_the_plane_on_screen(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(np.stack([image, np.zeros_like(image), image]))
    desk.window.viewer.dims.set_current_step(0, 2)
    desk.find()
    desk.press("commit")
    desk.settle()
    assert [bool(plane.any()) for plane in desk.labels] == [False, False, True]


def test_a_region(search) -> None:
    image, truth = disks((64, 90), CENTRES, 8)
    desk = search(image)
    shapes = desk.window.viewer.add_shapes([np.array([[0, 0], [0, 30], [30, 30], [30, 0]])])
    desk.widget.form.region.value = shapes
    desk.find()
    points = [item.point for item in desk.controller._run.found[0]]
    assert {int(truth[round(y), round(x)]) for x, y in points} == {1}
    shapes.selected_data = {0}
    shapes.remove_selected()
    desk.press("run")
    assert "has no shape on this plane" in desk.status


def test_stop_keeps_what_was_found(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(np.stack([image] * 3))
    gate, second = threading.Event(), threading.Event()
    features = desk.segmenter.model.features

    def waiting(plane: Any, view: Any, *, cancelled: Any = None) -> Any:
        if plane.key.index == (1,):
            second.set()
            assert gate.wait(20)
        return features(plane, view, cancelled=cancelled)

    desk.segmenter.model.features = waiting
    desk.widget.form.planes.value = "all"
    desk.press("run")
    desk.window.wait(second.is_set, 30)
    assert desk.widget.buttons["cancel"].isEnabled()
    desk.press("cancel")
    gate.set()
    desk.settle()
    assert list(desk.controller._run.found) == [0]
    assert desk.controller.arrangement.count == 5
    desk.press("discard")
    assert desk.controller.preview.layer is None
    assert not desk.labels.any()


def test_stop_keeps_what_a_plane_gave_so_far(search, monkeypatch) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    shown = threading.Event()
    find = type(desk.segmenter.model).find

    def slowly(self: Any, plane: Any, settings: Any, **options: Any) -> Any:
        found = find(self, plane, settings, region=options["region"])
        options["arrived"](found[:2])
        assert shown.wait(30)
        assert options["cancelled"]()
        raise CancelledError

    monkeypatch.setattr(type(desk.segmenter.model), "find", slowly)
    desk.press("run")
    desk.window.wait(lambda: desk.controller.preview.layer.data.any(), 30)
    assert desk.controller.running, "objects are seen before the plane is done"
    desk.press("cancel")
    shown.set()
    desk.settle()
    assert desk.controller.arrangement.count > 0
    desk.press("commit")
    desk.window.wait(lambda: desk.labels.any(), 30)


def test_the_size_is_that_of_accepted_objects(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    assert desk.controller.accepted_size is None
    desk.find()
    desk.press("commit")
    desk.window.wait(lambda: len(np.unique(desk.labels)) > 3, 30)
    assert desk.controller.accepted_size == pytest.approx(17, abs=2)


def test_filters_that_cannot_be_are_said(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    desk.find()
    desk.widget.form.max_area.value = 10
    desk.widget.form.min_area.value = 50
    assert "must not be above max_area" in desk.status
    assert not desk.labels.any()


def test_closing_segment_ends_it(search) -> None:
    image, _ = disks((64, 90), CENTRES, 8)
    desk = search(image)
    desk.find()
    desk.window.viewer.window.remove_dock_widget(desk.segment)
    assert desk.controller.preview.layer is None
    assert not desk.widget.buttons["run"].isEnabled()
    assert "Segment was closed" in desk.status


def test_what_is_found_goes_on_to_propagation(search) -> None:
    planes = [disks((64, 90), [(y, x + z) for y, x in CENTRES], 8) for z in range(3)]
    desk = search(np.stack([plane for plane, _ in planes]))
    desk.window.viewer.dims.set_current_step(0, 0)
    desk.find()
    desk.press("propagate")
    desk.settle()
    follow = find_dock(desk.window.viewer, "Propagate")
    assert follow.form.what.value == "plane"
    assert set(np.unique(desk.labels[0])) == {0, 1, 2, 3, 4, 5}
    assert not desk.labels[1:].any()


def test_the_chooser_of_models_leads_to_more(search) -> None:
    desk = search(np.zeros((64, 90), np.uint8))
    before = desk.segment.form.model.value
    desk.segment.form.model.value = "More models ..."
    desk.window.settle()
    assert find_dock(desk.window.viewer, "Models") is not None
    assert desk.segment.form.model.value == before
