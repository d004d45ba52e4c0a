"""Objects followed through stacks and movies in the real window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from scipy import ndimage
from tests.fakes import FollowingSegmenter
from tests.followers import discs
from tests.gui.window import CONTROL, LEFT, NO_MODIFIER, SHIFT, Window
from tests.random_models import random_model
from tests.widgets.conftest import labels_of
from tests.widgets.propagation import Gate, gate, two_discs

from napari_cellprompt import _sample_data
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.propagate.widget import PropagateWidget

__all__ = ["gate"]


class Follow:
    """The Propagate widget in a window, used with the mouse and the keys."""

    def __init__(self, window: Window) -> None:
        self.window = window
        assert window.widget is not None
        window.widget.panel.buttons["propagate"].click()
        docked = window.viewer.window.dock_widgets
        widget = docked["Propagate (Cellprompt)"]
        assert isinstance(widget, PropagateWidget)
        self.widget = widget
        self.controller = widget.controller
        window.settle()

    def press(self, name: str) -> None:
        """Press a button of the widget that can be pressed."""
        button = self.widget.panel.buttons[name]
        assert button.isEnabled(), name
        QTest.mouseClick(button, LEFT, NO_MODIFIER, button.rect().center())

    def start(self) -> None:
        """Press Propagate, and once more where it says that it takes long."""
        self.press("start")
        self.window.wait(lambda: self.controller.desk.stage not in ("idle", "asking"), 30)
        if self.controller.desk.stage == "announced":
            self.press("start")

    def until(self, stage: str, seconds: float = 120) -> None:
        self.window.wait(lambda: self.controller.desk.stage == stage, seconds)

    def strip(self, plane: int, row: int | None = None) -> None:
        """Click on a plane in the strip."""
        place = self.widget.strip.centre_of(plane, row)
        QTest.mouseClick(
            self.widget.strip, LEFT, NO_MODIFIER, QPoint(int(place.x()), int(place.y()))
        )
        self.window.settle()

    @property
    def labels(self) -> np.ndarray:
        assert self.window.widget is not None
        return labels_of(self.window.widget)


def show(window: Window, sample: Any, plane: int) -> Any:
    """Open a sample image at one of its planes."""
    ((data, meta, _),) = sample()
    layer = window.viewer.add_image(data, **meta)
    window.viewer.dims.set_current_step(0, plane)
    return layer


@pytest.mark.slow
def test_a_nucleus_through_a_z_stack(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    window = open_window()
    ((truth, _, _),) = _sample_data.nuclei_3d_truth()
    plane = 12
    layer = show(window, _sample_data.nuclei_3d, plane)
    window.open_widget(SegmentSession(thread=thread))
    window.viewer.fit_to_view()
    window.settle()
    number = int(np.argmax(np.bincount(truth[plane].ravel())[1:])) + 1
    row, column = (int(value) for value in np.argwhere(truth[plane] == number).mean(axis=0))
    window.click(layer, (plane, row, column))
    window.see_mask()
    follow = Follow(window)
    follow.widget.form.span.value = "from"
    follow.widget.form.first.value, follow.widget.form.last.value = plane - 3, plane + 3
    # How well the bundled weights follow is measured elsewhere.
    for box in (follow.widget.form.object_score, follow.widget.form.area_ratio):
        box.value = 0.0
    follow.widget.form.overlap.value = 0.0
    window.picture("propagate_1_opened")
    follow.start()
    follow.until("review")
    window.picture("propagate_2_review")
    # One after another, the planes least to be trusted.
    window.key(Qt.Key.Key_W)
    worst = window.viewer.dims.current_step[0]
    assert worst != plane
    window.picture("propagate_3_doubtful")
    follow.strip(plane)
    assert window.viewer.dims.current_step[0] == plane
    window.key(Qt.Key.Key_A, SHIFT)
    window.wait(lambda: "is accepted" in follow.controller.desk.status)
    window.picture("propagate_4_locked")
    outcomes = follow.controller.desk.run.engine.outcomes()
    expected = {
        step: outcome.mask.area
        for (_, step), outcome in outcomes.items()
        if outcome.mask is not None
    }
    assert len(expected) > 1
    follow.press("accept")
    follow.until("idle")
    window.picture("propagate_5_accepted")
    areas = [int(np.count_nonzero(labels == 1)) for labels in follow.labels]
    assert areas == [expected.get(step, 0) for step in range(len(areas))]
    assert window.actions <= 10
    window.key(Qt.Key.Key_Z, CONTROL)
    assert not follow.labels.any()


@pytest.fixture
def disc_window(
    open_window: Callable[[], Window], thread: InferenceThread, gate: Gate
) -> tuple[Window, Any, Follow]:
    """Two discs in a stack, followed by brightness; the first has been clicked."""
    window = open_window()
    layer = window.viewer.add_image(
        two_discs(), name="discs", axis_labels=("z", "y", "x"), scale=(2.0, 0.5, 0.5)
    )
    window.viewer.dims.set_current_step(0, 3)
    follower = FollowingSegmenter(random_model())
    window.open_widget(SegmentSession(thread=thread, loader=follower.load))
    window.viewer.fit_to_view()
    window.settle()
    window.click(layer, (3, 30, 33))
    window.see_mask()
    return window, layer, Follow(window)


def test_correcting_with_the_mouse(disc_window: Any) -> None:
    window, layer, follow = disc_window
    follow.start()
    follow.until("review")
    window.picture("discs_1_review")
    follow.strip(4)
    layer.data[5:, 34:45, :50] = 20
    preview = follow.controller.desk.preview.layer
    before = [int(np.count_nonzero(plane)) for plane in preview.data]
    window.click(layer, (4, 36, 34), SHIFT)
    window.wait(lambda: np.count_nonzero(preview.data[4]) < before[4])
    follow.until("changes")
    follow.strip(5)
    window.picture("discs_2_changes")
    assert [int(np.count_nonzero(plane)) for plane in preview.data[5:]] == before[5:]
    window.qtbot.mouseClick(follow.widget.changes.yes, LEFT)
    window.wait(lambda: np.count_nonzero(preview.data[5]) < before[5])
    window.picture("discs_3_used")
    follow.press("accept")
    follow.until("idle")
    window.picture("discs_4_accepted")
    assert np.count_nonzero(follow.labels) > 0
    window.key(Qt.Key.Key_Z, CONTROL)
    assert not follow.labels.any()


def test_painting_with_the_brush(disc_window: Any) -> None:
    window, layer, follow = disc_window
    follow.start()
    follow.until("review")
    preview = follow.controller.desk.preview.layer
    follow.strip(4)
    window.viewer.layers.selection.active = preview
    preview.mode = "paint"
    preview.brush_size = 4
    window.drag(layer, (4, 60, 20), (4, 60, 30))
    window.wait(
        lambda: follow.controller.desk.run.engine.outcomes()[1, 4].state == "prompted"
    )
    window.picture("discs_5_painted")
    mask = follow.controller.desk.run.engine.outcomes()[1, 4].mask.to_plane()
    assert mask[60, 25]
    np.testing.assert_array_equal(mask, preview.data[4] == 1)


def test_keys_look_through_the_planes(disc_window: Any) -> None:
    window, _, follow = disc_window
    follow.start()
    follow.until("review")
    follow.strip(5)
    window.key(Qt.Key.Key_A, SHIFT)
    window.wait(
        lambda: follow.controller.desk.run.engine.outcomes()[1, 5].state == "locked"
    )
    follow.strip(2)
    window.key(Qt.Key.Key_Q, SHIFT)
    window.wait(
        lambda: follow.controller.desk.run.engine.outcomes()[1, 2].state == "absent"
    )
    window.key(Qt.Key.Key_W)
    assert window.viewer.dims.current_step[0] not in (2, 3)
    window.picture("discs_6_keys")
    follow.press("discard")
    assert follow.controller.desk.stage == "idle"
    assert follow.widget.keys.targets == []


def test_many_objects_over_many_planes_in_the_strip(
    open_window: Callable[[], Window], thread: InferenceThread, gate: Gate
) -> None:
    window = open_window()
    places = [
        dict.fromkeys(
            range(3 * i, 60 - 2 * i), (20.0 + 38 * (i % 4), 20.0 + 38 * (i // 4), 12.0)
        )
        for i in range(8)
    ]
    image = discs(places, (60, 96, 160))
    window.viewer.add_image(image, name="discs", axis_labels=("z", "y", "x"))
    window.viewer.dims.set_current_step(0, 30)
    follower = FollowingSegmenter(random_model())
    window.open_widget(SegmentSession(thread=thread, loader=follower.load))
    labels, _ = ndimage.label(image[30] > 128)
    (image_layer,) = (x for x in window.viewer.layers if x.name == "discs")
    window.widget.controller.place.target(image_layer).data[30] = labels
    follow = Follow(window)
    follow.widget.form.what.value = "plane"
    follow.start()
    follow.until("review")
    window.picture("many_objects")
    follow.strip(40, row=2)
    assert follow.controller.desk.object_id == 3
    assert window.viewer.dims.current_step[0] == 40
    follow.press("accept")
    follow.until("idle")
    assert set(np.unique(follow.labels)) == set(range(9))
    window.key(Qt.Key.Key_Z, CONTROL)
    assert np.flatnonzero(follow.labels.any(axis=(1, 2))).tolist() == [30]


@pytest.mark.slow
def test_dividing_nuclei_with_the_bundled_model(
    open_window: Callable[[], Window], thread: InferenceThread
) -> None:
    window = open_window()
    ((truth, _, _),) = _sample_data.divisions_truth()
    layer = show(window, _sample_data.divisions, 2)
    window.open_widget(SegmentSession(thread=thread))
    window.viewer.fit_to_view()
    window.settle()
    number = int(np.argmax(np.bincount(truth[2].ravel())[1:])) + 1
    row, column = (int(value) for value in np.argwhere(truth[2] == number).mean(axis=0))
    window.click(layer, (2, row, column))
    window.see_mask()
    follow = Follow(window)
    form = follow.widget.form
    assert form.axis.value.plane_word == "frame"
    form.span.value, form.first.value, form.last.value = "from", 2, 6
    follow.start()
    follow.until("review")
    window.picture("movie_1_review")
    outcomes = follow.controller.desk.run.engine.outcomes()
    assert {plane for _, plane in outcomes} <= set(range(2, 7))
    follow.press("accept")
    follow.until("idle")
    assert follow.labels[2].any()
    assert not follow.labels[7:].any()
