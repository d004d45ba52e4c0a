from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.fakes import FakeSegmenter
from tests.widgets.conftest import FIRST, SECOND, Desk, blobs

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def desk(make_napari_viewer: Any, session: SegmentSession, wait: Wait) -> Desk:
    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="blobs")
    return Desk(viewer, session, wait)


def connections(viewer: Any, image: Any) -> list[int]:
    """How many callbacks hang on what the widget connects to."""
    emitters = [
        viewer.layers.events.inserted,
        viewer.layers.events.removed,
        viewer.layers.events.renamed,
        viewer.layers.selection.events.active,
        viewer.dims.events.current_step,
        viewer.dims.events.order,
        viewer.dims.events.ndisplay,
        image.events.data,
        image.events.contrast_limits,
    ]
    # Cameras announce changes by psygnal, which counts its slots itself.
    return [len(getattr(emitter, "callbacks", emitter)) for emitter in emitters]


def test_closing_the_dock_undoes_everything(
    make_napari_viewer: Any, session: SegmentSession, wait: Wait
) -> None:
    viewer = make_napari_viewer()
    image = viewer.add_image(blobs(), name="blobs")
    before = connections(viewer, image), dict(viewer.keymap)
    desk = Desk(viewer, session, wait)
    points = desk.form.points.value
    desk.object_at(FIRST)
    desk.click(SECOND)
    desk.see()
    viewer.window.remove_dock_widget(desk.widget)
    names = [layer.name for layer in viewer.layers]
    assert names == ["blobs", "Cells", "Prompts: points"]
    assert dict(viewer.keymap) == before[1]
    assert points.keymap == {}
    assert connections(viewer, image)[:-2] == before[0][:-2]
    points.add([(1.0, 1.0)])
    viewer.layers["blobs"].contrast_limits = (0, 99)
    assert desk.controller.prediction is None


def test_closing_removes_what_was_made_and_not_used(desk: Desk) -> None:
    desk.wait(lambda: desk.controller.model is not None)
    desk.widget.start_boxes()
    assert desk.labels.size
    assert len(desk.viewer.layers) == 4
    desk.viewer.window.remove_dock_widget(desk.widget)
    assert [layer.name for layer in desk.viewer.layers] == ["blobs"]


def test_closing_while_a_prediction_runs(desk: Desk, fake: FakeSegmenter) -> None:
    fake.gate = threading.Event()
    desk.click(FIRST)
    desk.wait(lambda: len(fake.predicted) == 1)
    desk.viewer.window.remove_dock_widget(desk.widget)
    fake.gate.set()
    desk.session.thread.submit(lambda context: None).result(10)
    desk.wait(lambda: True)
    assert desk.controller.prediction is None
    assert "Preview" not in desk.viewer.layers


def test_closing_the_viewer_while_a_prediction_runs(
    desk: Desk, fake: FakeSegmenter
) -> None:
    fake.gate = threading.Event()
    desk.click(FIRST)
    desk.wait(lambda: len(fake.predicted) == 1)
    desk.viewer.close()
    fake.gate.set()
    desk.session.thread.submit(lambda context: None).result(10)


def test_open_again_after_closing(
    desk: Desk, thread: InferenceThread, fake: FakeSegmenter, wait: Wait
) -> None:
    desk.object_at(FIRST)
    desk.viewer.window.remove_dock_widget(desk.widget)
    again = Desk(desk.viewer, SegmentSession(thread=thread, loader=fake.load), wait)
    assert again.form.labels.value.name == "Cells"
    assert again.object_at(SECOND) == 2


def test_opened_without_an_image(
    make_napari_viewer: Any, session: SegmentSession, wait: Wait
) -> None:
    viewer = make_napari_viewer()
    desk = Desk(viewer, session, wait)
    wait(lambda: desk.controller.model is not None)
    assert desk.form.image.value is None
    desk.controller.refresh()
    assert "Open an image" in desk.status
    for action in ("accept", "discard", "toggle_sign", "toggle_tool", "export"):
        getattr(desk.widget, action)()
    desk.controller.show_model_view()
    desk.controller.undo()
    assert len(viewer.layers) == 0
    viewer.add_image(blobs(), name="late")
    wait(lambda: len(viewer.layers) == 2)
    assert viewer.layers.selection.active == desk.form.points.value
    assert desk.object_at(FIRST) == 1


@pytest.mark.parametrize("which", ["points", "boxes", "labels"])
def test_deleted_layers_come_back_when_needed(desk: Desk, which: str) -> None:
    desk.wait(lambda: desk.controller.model is not None)
    desk.widget.start_boxes()
    assert desk.object_at(FIRST) == 1
    first = getattr(desk.form, which).value
    desk.viewer.layers.remove(first)
    assert getattr(desk.form, which).value is None
    (desk.widget.start_boxes if which == "boxes" else desk.widget.start)()
    assert desk.object_at(SECOND) == (1 if which == "labels" else 2)
    assert getattr(desk.form, which).value not in (None, first)


def test_labels_deleted_before_accepting(desk: Desk) -> None:
    desk.object_at(SECOND)
    first = desk.form.labels.value
    desk.click(FIRST)
    desk.see()
    desk.viewer.layers.remove(first)
    desk.widget.accept()
    assert desk.form.labels.value is not first
    assert np.unique(desk.labels).tolist() == [0, 1]


def test_deleted_preview_comes_back(desk: Desk) -> None:
    desk.click(FIRST)
    desk.see()
    desk.viewer.layers.remove(desk.controller.preview.layer)
    desk.click((13.0, 11.0))
    desk.see()
    assert desk.controller.preview.layer is not None


def test_deleted_image_leaves_a_calm_widget(desk: Desk) -> None:
    desk.click(FIRST)
    desk.see()
    desk.viewer.layers.remove(desk.form.image.value)
    assert desk.form.image.value is None
    desk.wait(lambda: desk.controller.prediction is None)
    assert "Open an image" in desk.status
    desk.widget.accept()
    desk.viewer.layers.clear()


def test_renaming_is_followed(desk: Desk) -> None:
    desk.viewer.layers["blobs"].name = "renamed"
    desk.object_at(SECOND)
    desk.form.labels.value.name = "kept"
    assert desk.form.image.value.name == "renamed"
    assert desk.object_at(FIRST) == 2
    assert (desk.viewer.layers["kept"].data == 2).any()


def test_swapping_the_image(desk: Desk) -> None:
    desk.object_at(FIRST)
    first = desk.form.labels.value
    other = np.zeros((40, 50), dtype=np.uint16)
    other[10:20, 10:20] = 3000
    image = desk.viewer.add_image(other, name="other")
    desk.form.image.value = image
    assert desk.form.labels.value is None
    assert desk.labels.shape == (40, 50)
    assert desk.object_at((15.0, 15.0)) == 1
    desk.form.image.value = desk.viewer.layers["blobs"]
    assert desk.form.labels.value is first
    assert desk.object_at(SECOND) == 2


def test_new_pixels_in_the_same_layer(desk: Desk, fake: FakeSegmenter) -> None:
    desk.click(FIRST)
    desk.see()
    desk.form.image.value.data = blobs()[::-1].copy()
    desk.wait(lambda: len(fake.predicted) == 2)


def test_two_viewers_do_not_disturb_each_other(
    make_napari_viewer: Any, thread: InferenceThread, fake: FakeSegmenter, wait: Wait
) -> None:
    desks = []
    for _ in range(2):
        viewer = make_napari_viewer()
        viewer.add_image(blobs(), name="blobs")
        session = SegmentSession(thread=thread, loader=fake.load)
        desks.append(Desk(viewer, session, wait))
    desks[0].click(FIRST)
    desks[1].click(SECOND)
    for desk in desks:
        desk.see()
    assert desks[0].controller.candidate.mask.area == 120
    assert desks[1].controller.candidate.mask.area == 128
    desks[0].viewer.window.remove_dock_widget(desks[0].widget)
    desks[1].widget.accept()
    assert (desks[1].labels == 1).any()


def test_works_with_the_viewer_that_napari_hands_to_plugins(
    make_napari_viewer_proxy: Any, session: SegmentSession, wait: Wait
) -> None:
    viewer = make_napari_viewer_proxy()
    viewer.add_image(blobs(), name="blobs")
    desk = Desk(viewer, session, wait)
    assert desk.object_at(FIRST) == 1
    assert desk.object_at(SECOND) == 2
    # the click of the object that is taken back, then the click itself
    desk.controller.undo()
    desk.controller.show_model_view()
    wait(lambda: desk.controller.model_view.layer is not None)
    desk.controller.undo()
    viewer.window.remove_dock_widget(desk.widget)
    assert [layer.name for layer in viewer.layers] == ["blobs", "Cells"]
