from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.fakes import FakeSegmenter
from tests.widgets.conftest import FIRST, SECOND, Desk, blobs, paint

from napari_cellprompt.core.types import Prompts
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def desk(make_napari_viewer: Any, session: SegmentSession, wait: Wait) -> Desk:
    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="blobs")
    return Desk(viewer, session, wait)


@pytest.fixture
def stack_desk(make_napari_viewer: Any, session: SegmentSession, wait: Wait) -> Desk:
    viewer = make_napari_viewer()
    stack = np.zeros((3, 60, 80), dtype=np.uint8)
    stack[0] = blobs()
    stack[2, 20:30, 20:30] = 250
    viewer.add_image(stack, name="stack")
    viewer.dims.set_current_step(0, 0)
    return Desk(viewer, session, wait)


def test_opening_makes_layers_and_is_ready_to_click(desk: Desk) -> None:
    form, viewer = desk.form, desk.viewer
    assert form.image.value.name == "blobs"
    assert viewer.layers.selection.active == form.points.value
    assert form.points.value.mode == "add"
    assert [layer.name for layer in viewer.layers] == ["blobs", "Prompts: points"]
    assert (desk.labels.dtype, desk.labels.shape) == (np.uint16, (60, 80))
    desk.wait(lambda: desk.controller.model is not None)
    assert "Click on an object" in desk.status
    assert "cellprompt-focus on cpu" in desk.widget.panel.model_line.text()


def test_opening_prepares_the_middle_of_the_view(desk: Desk, fake: FakeSegmenter) -> None:
    desk.wait(lambda: len(fake.prepared) > 0)
    x, y = fake.prepared[0]
    assert (x, y) == pytest.approx((39.5, 29.5), abs=1)


def test_click_shows_a_mask_and_accept_writes_it(desk: Desk) -> None:
    desk.click(FIRST)
    desk.see()
    preview = desk.controller.preview.layer
    assert preview is not None
    assert np.count_nonzero(preview.data) == 120
    assert "Mask 1 of 3: 120 pixels" in desk.widget.panel.mask_line.text()
    assert not desk.labels.any()
    desk.widget.accept()
    assert np.count_nonzero(desk.labels == 1) == 120
    assert len(desk.form.points.value.data) == 0
    assert not preview.data.any()
    assert desk.viewer.layers.selection.active == desk.form.points.value
    assert desk.form.points.value.mode == "add"


def test_second_object_gets_the_next_id_and_the_size_hint(
    desk: Desk, fake: FakeSegmenter
) -> None:
    assert desk.object_at(FIRST) == 1
    assert desk.object_at(SECOND) == 2
    assert np.count_nonzero(desk.labels == 2) == 128
    assert fake.hints == [None, 12.0]


def test_all_predictions_run_on_one_other_thread(desk: Desk, fake: FakeSegmenter) -> None:
    desk.object_at(FIRST)
    desk.object_at(SECOND)
    assert len(fake.threads) == 1
    assert fake.threads.isdisjoint({threading.get_ident()})


def test_accept_before_the_mask_is_there(desk: Desk, fake: FakeSegmenter) -> None:
    fake.gate = threading.Event()
    desk.click(FIRST)
    desk.wait(lambda: len(fake.predicted) == 1)
    desk.widget.accept()
    assert not desk.labels.any()
    assert "The mask is not there yet: it is still computed." in desk.status
    assert "accepted as soon as it arrives" in desk.status
    fake.gate.set()
    desk.wait(lambda: bool(desk.labels.any()))
    assert np.count_nonzero(desk.labels == 1) == 120


def test_accept_before_the_model_is_there(
    make_napari_viewer: Any, thread: InferenceThread, fake: FakeSegmenter, wait: Wait
) -> None:
    loads = threading.Event()

    def load(*arguments: Any) -> Any:
        assert loads.wait(20)
        return fake.load(*arguments)

    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="blobs")
    desk = Desk(viewer, SegmentSession(thread=thread, loader=load), wait)
    desk.click(FIRST)
    desk.controller.refresh()
    desk.widget.accept()
    assert "it is still waiting for the model" in desk.status
    loads.set()
    wait(lambda: bool(desk.labels.any()))
    assert np.count_nonzero(desk.labels == 1) == 120


def test_accept_without_a_mask_says_so(desk: Desk) -> None:
    desk.wait(lambda: desk.controller.model is not None)
    desk.widget.accept()
    assert "click on an object first" in desk.status
    assert not desk.labels.any()


def test_stale_answers_are_dropped(desk: Desk, fake: FakeSegmenter) -> None:
    fake.gate = threading.Event()
    desk.click(FIRST)
    desk.wait(lambda: len(fake.predicted) == 1)
    desk.widget.discard()
    fake.gate.set()
    desk.click(SECOND)
    desk.see()
    assert desk.controller.candidate is not None
    assert desk.controller.candidate.mask.area == 128
    assert [len(prompts.points) for prompts in fake.predicted] == [1, 1]


def test_discard_clears_prompts_and_preview(desk: Desk) -> None:
    desk.click(FIRST)
    desk.see()
    desk.widget.discard()
    assert desk.controller.prediction is None
    assert len(desk.form.points.value.data) == 0
    assert not desk.controller.preview.layer.data.any()
    assert not desk.labels.any()


def test_moving_and_deleting_a_click_is_followed(desk: Desk, fake: FakeSegmenter) -> None:
    points = desk.form.points.value
    desk.click(FIRST)
    desk.see()
    points.data = np.array([[SECOND[1], SECOND[0]]])
    desk.wait(lambda: len(fake.predicted) == 2)
    assert fake.predicted[1].points == (SECOND,)
    desk.wait(lambda: desk.controller.candidate.mask.area == 128)
    points.selected_data = {0}
    points.remove_selected()
    desk.wait(lambda: desk.controller.prediction is None)


def test_a_changed_sign_is_followed(desk: Desk, fake: FakeSegmenter) -> None:
    points = desk.form.points.value
    desk.click(FIRST)
    desk.click((14.0, 12.0))
    desk.see()
    features = points.features.copy()
    features.loc[1, "polarity"] = "negative"
    points.features = features
    desk.wait(lambda: len(fake.predicted) == 2)
    assert fake.predicted[1].labels == (1, 0)


def test_box_prompts(desk: Desk, fake: FakeSegmenter) -> None:
    desk.widget.start_boxes()
    assert desk.viewer.layers.selection.active == desk.form.boxes.value
    assert desk.form.boxes.value.mode == "add_rectangle"
    desk.box(5.5, 3.5, 22.5, 18.5)
    desk.see()
    assert fake.predicted[0] == Prompts(box=(6.0, 4.0, 23.0, 19.0))
    desk.widget.accept()
    assert np.count_nonzero(desk.labels == 1) == 120
    assert len(desk.form.boxes.value.data) == 0
    assert desk.form.boxes.value.mode == "add_rectangle"


def test_sign_toggles_and_starts_positive_again(desk: Desk, fake: FakeSegmenter) -> None:
    desk.click(FIRST)
    desk.widget.toggle_sign()
    assert "background" in desk.widget.panel.buttons["sign"].text()
    desk.click((18.0, 14.0))
    desk.see()
    assert fake.predicted[-1].labels == (1, 0)
    assert list(desk.form.points.value.features["polarity"]) == ["positive", "negative"]
    desk.widget.accept()
    assert "object" in desk.widget.panel.buttons["sign"].text()
    desk.click(SECOND)
    desk.see()
    assert fake.predicted[-1].labels == (1,)


def test_candidates_are_cycled_and_the_shown_one_is_accepted(desk: Desk) -> None:
    desk.click(FIRST)
    desk.see()
    areas = []
    for _ in range(4):
        areas.append(desk.controller.candidate.mask.area)
        desk.controller.next_candidate()
    assert areas == [120, 80, 48, 120]
    desk.widget.accept()
    assert np.count_nonzero(desk.labels) == 80


def test_undo_and_redo_of_objects(desk: Desk) -> None:
    desk.object_at(FIRST)
    desk.object_at(SECOND)
    desk.controller.undo()
    assert desk.status == "Object 2 is undone."
    assert sorted(np.unique(desk.labels)) == [0, 1]
    assert len(desk.form.points.value.data) == 1
    desk.controller.undo()
    assert desk.status == "The last click is undone."
    assert len(desk.form.points.value.data) == 0
    assert sorted(np.unique(desk.labels)) == [0, 1]
    desk.controller.undo()
    assert desk.status == "Object 1 is undone."
    assert not desk.labels.any()
    desk.controller.undo()
    assert desk.status == "The last click is undone."
    desk.controller.undo()
    assert "no object to undo" in desk.status
    desk.controller.redo()
    assert desk.status == "The last click is back."
    desk.controller.redo()
    assert desk.status == "Object 1 is back."
    assert sorted(np.unique(desk.labels)) == [0, 1]
    desk.controller.redo()
    desk.controller.redo()
    assert desk.status == "Object 2 is back."
    assert sorted(np.unique(desk.labels)) == [0, 1, 2]
    desk.controller.redo()
    assert "nothing to redo" in desk.status


def test_ids_are_not_reused_after_undo(desk: Desk) -> None:
    desk.object_at(FIRST)
    desk.controller.undo()
    assert desk.object_at(SECOND) == 2


def test_undo_in_the_labels_layer_is_noticed(desk: Desk) -> None:
    desk.object_at(FIRST)
    labels = desk.form.labels.value
    store = desk.controller.place.acceptor.store(labels)
    assert len(store) == 1
    labels.undo()
    desk.controller.redo()
    assert desk.status == "Object 1 is back."
    assert len(store) == 1


def test_undo_takes_back_clicks_first(desk: Desk, fake: FakeSegmenter) -> None:
    desk.object_at(FIRST)
    desk.click(SECOND)
    desk.click((50.0, 36.0))
    desk.see()
    desk.controller.undo()
    desk.wait(lambda: fake.predicted[-1].points == (SECOND,))
    desk.controller.undo()
    assert len(desk.form.points.value.data) == 0
    assert (desk.labels == 1).any()
    desk.controller.undo()
    assert not desk.labels.any()


@pytest.mark.parametrize(
    ("policy", "first", "second"),
    [
        pytest.param("keep", 72, 56, id="keep"),
        pytest.param("replace", 0, 128, id="replace"),
    ],
)
def test_overlap_policy(
    desk: Desk, fake: FakeSegmenter, policy: str, first: int, second: int
) -> None:
    desk.form.overlap.value = policy
    paint(desk.widget, np.s_[30:38, 40:49], 7)
    desk.click(SECOND)
    desk.see()
    desk.widget.accept()
    assert np.count_nonzero(desk.labels == 7) == first
    assert np.count_nonzero(desk.labels == 8) == second


def test_new_layer_for_an_object_that_overlaps(desk: Desk) -> None:
    desk.form.overlap.value = "new layer"
    desk.object_at(FIRST)
    first = desk.form.labels.value
    desk.click(FIRST)
    desk.see()
    desk.widget.accept()
    others = [
        layer
        for layer in desk.viewer.layers
        if layer.name.startswith("Cells") and layer is not first
    ]
    assert len(others) == 1
    assert np.count_nonzero(others[0].data) == 120
    assert np.count_nonzero(first.data == 1) == 120
    assert desk.viewer.layers.selection.active == desk.form.points.value


def test_ids_beyond_16_bits_get_a_wider_layer(desk: Desk) -> None:
    paint(desk.widget, (0, 0), 65535)
    old = desk.form.labels.value
    desk.click(FIRST)
    desk.see()
    desk.widget.accept()
    new = desk.form.labels.value
    assert old not in desk.viewer.layers
    assert new.data.dtype == np.uint32
    assert np.count_nonzero(new.data == 65536) == 120
    assert "32-bit" in desk.status


def test_prompts_belong_to_their_plane(stack_desk: Desk, fake: FakeSegmenter) -> None:
    desk = stack_desk
    desk.click(FIRST, (0,))
    desk.see()
    desk.viewer.dims.set_current_step(0, 2)
    desk.wait(lambda: desk.controller.prediction is None)
    desk.click((25.0, 25.0), (2,))
    desk.see()
    assert desk.controller.candidate.mask.area == 100
    desk.viewer.dims.set_current_step(0, 0)
    desk.wait(lambda: desk.controller.candidate.mask.area == 120)
    assert len(fake.predicted) == 2
    desk.widget.accept()
    assert np.count_nonzero(desk.labels[0]) == 120
    assert not desk.labels[1:].any()
    assert desk.form.points.value.data.tolist() == [[2, 25, 25]]


def test_contrast_limits_of_the_layer_decide(desk: Desk, fake: FakeSegmenter) -> None:
    desk.click(FIRST)
    desk.see()
    desk.form.image.value.contrast_limits = (0, 1000)
    desk.wait(lambda: len(fake.predicted) == 2)
    assert desk.controller.state.plane.limits == (0, 1000)


def test_percentiles_are_computed_in_the_background(desk: Desk) -> None:
    desk.form.contrast.value = "percentiles"
    desk.click(FIRST)
    desk.see()
    low, high = desk.controller.state.plane.limits
    assert low == 0
    assert 200 <= high <= 221


def test_one_channel_of_a_channel_axis(
    make_napari_viewer: Any, session: SegmentSession, wait: Wait
) -> None:
    viewer = make_napari_viewer()
    image = np.zeros((2, 60, 80), dtype=np.uint8)
    image[1] = blobs()
    viewer.add_image(image, name="channels")
    desk = Desk(viewer, session, wait)
    desk.form.channel_axis.value = 0
    desk.form.channel.value = 1
    desk.click(FIRST, (0,))
    desk.see()
    assert desk.controller.candidate.mask.area == 120


def test_the_channel_on_screen_is_used(
    make_napari_viewer: Any, session: SegmentSession, wait: Wait
) -> None:
    viewer = make_napari_viewer()
    image = np.zeros((3, 60, 80), dtype=np.uint8)
    image[1] = blobs()
    viewer.add_image(image, name="channels")
    viewer.dims.set_current_step(0, 1)
    desk = Desk(viewer, session, wait)
    desk.form.channel_axis.value = 0
    desk.click(FIRST, (1,))
    desk.see()
    assert desk.controller.place.channel == 1
    assert desk.controller.candidate.mask.area == 120
    viewer.dims.set_current_step(0, 2)
    desk.wait(lambda: desk.controller._state.plane.channel == 2)


@pytest.mark.parametrize(
    "scale", [pytest.param(16, id="12 bits"), pytest.param(1.0, id="floats up to 255")]
)
def test_colours_of_any_range_are_seen(
    make_napari_viewer: Any, session: SegmentSession, wait: Wait, scale: float
) -> None:
    viewer = make_napari_viewer()
    dtype = np.uint16 if scale > 1 else np.float32
    viewer.add_image(
        np.stack([blobs() * np.float32(scale)] * 3, axis=-1).astype(dtype), rgb=True
    )
    desk = Desk(viewer, session, wait)
    desk.click(FIRST)
    desk.see()
    low, high = desk.controller._state.plane.limits
    assert low == 0
    assert high == pytest.approx(float(blobs().max()) * scale, rel=0.1)


def test_rgb_offers_its_channels(
    make_napari_viewer: Any, session: SegmentSession, wait: Wait
) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(np.stack([blobs()] * 3, axis=-1), rgb=True, name="colour")
    desk = Desk(viewer, session, wait)
    assert len(desk.form.channel.choices) == 4
    desk.object_at(FIRST)
    desk.form.channel.value = 2
    desk.object_at(SECOND)
    assert desk.labels.shape == (60, 80)
    assert np.count_nonzero(desk.labels == 2) == 128


def test_what_the_model_sees(desk: Desk) -> None:
    desk.wait(lambda: desk.controller.model is not None)
    desk.click(FIRST)
    desk.see()
    desk.controller.show_model_view()
    desk.wait(lambda: desk.controller.model_view.layer is not None)
    layer = desk.controller.model_view.layer
    assert layer.rgb
    assert layer.data.shape == (64, 64, 3)
    assert layer.data[10, 12].tolist() == [200, 200, 200]
    assert desk.viewer.layers.selection.active == desk.form.points.value
    assert desk.form.image.value.name == "blobs"
    desk.controller.show_model_view()
    assert desk.controller.model_view.layer is None


def test_existing_layers_serve_as_prompts_and_target(desk: Desk) -> None:
    points = desk.viewer.add_points(np.empty((0, 2)), name="mine")
    labels = desk.viewer.add_labels(np.zeros((60, 80), dtype=np.uint8), name="my cells")
    desk.form.points.value = points
    desk.form.labels.value = labels
    points.add([(FIRST[1], FIRST[0])])
    desk.see()
    desk.widget.toggle_sign()
    points.add([(14.0, 18.0)])
    desk.wait(lambda: list(points.features["polarity"]) == ["positive", "negative"])
    desk.see()
    desk.widget.accept()
    assert (labels.data == 1).any()
    assert len(points.data) == 0


def test_model_chooser_lists_what_is_on_disk(desk: Desk, fake: FakeSegmenter) -> None:
    desk.wait(lambda: desk.controller.model is not None)
    assert desk.form.model.choices[0] == "cellprompt-focus"
    desk.form.choose_model("other-model")
    desk.widget.models.pick("other-model")
    desk.wait(lambda: "other-model on cpu" in desk.widget.panel.model_line.text())
