from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fakes import FakeSegmenter
from tests.widgets.conftest import FIRST, SECOND, Desk, blobs

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def open_desk(
    make_napari_viewer: Any, session: SegmentSession, wait: Wait
) -> Callable[..., Desk]:
    def opened(image: np.ndarray, **kwargs: Any) -> Desk:
        viewer = make_napari_viewer()
        viewer.add_image(image, name="image", **kwargs)
        desk = Desk(viewer, session, wait)
        wait(lambda: desk.controller.model is not None)
        return desk

    return opened


def test_click_outside_the_image(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(blobs())
    desk.click((200.0, 10.0))
    desk.wait(lambda: "outside 'image'" in desk.status)
    assert desk.controller.prediction is None
    desk.widget.accept()
    assert not desk.labels.any()
    desk.widget.discard()
    assert len(desk.form.points.value.data) == 0
    assert desk.object_at(FIRST) == 1


def test_only_negative_clicks(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(blobs())
    desk.widget.toggle_sign()
    desk.click(FIRST)
    desk.wait(lambda: "only negative" in desk.status)
    desk.widget.toggle_sign()
    desk.click(FIRST)
    desk.see()


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.full((30, 40), 7, dtype=np.uint8), id="constant"),
        pytest.param(np.zeros((30, 1), dtype=np.uint16), id="one pixel wide"),
        pytest.param(np.zeros((1, 1), dtype=np.uint8), id="one pixel"),
        pytest.param(np.zeros((30, 40), dtype=bool), id="bool"),
        pytest.param(np.zeros((30, 40), dtype=np.int64), id="int64"),
    ],
)
@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_odd_images_are_segmented_or_refused_in_a_sentence(
    open_desk: Callable[..., Desk], image: np.ndarray
) -> None:
    desk = open_desk(image)
    for contrast in ("layer limits", "percentiles"):
        desk.form.contrast.value = contrast
        desk.click((0.0, 0.0))
        desk.wait(lambda: len(desk.form.points.value.data) == 1)
        desk.see()
        desk.widget.accept()
        assert desk.status.endswith(".")
        desk.widget.discard()
    desk.controller.show_model_view()
    desk.wait(lambda: desk.controller.model_view.layer is not None)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["all NaN", "all infinite"])
@pytest.mark.parametrize("contrast", ["layer limits", "percentiles"])
@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")
def test_images_without_a_finite_pixel_are_refused_in_a_sentence(
    open_desk: Callable[..., Desk], value: float, contrast: str
) -> None:
    desk = open_desk(np.full((30, 40), value, dtype=np.float32))
    desk.form.contrast.value = contrast
    desk.click((0.0, 0.0))
    desk.wait(lambda: "finite value" in desk.status)
    desk.widget.accept()
    assert desk.status.endswith(".")
    assert desk.form.labels.value is None
    desk.controller.show_model_view()
    desk.wait(lambda: desk.controller.model_view.layer is not None)


def test_locked_labels_keep_the_mask(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(blobs())
    assert not desk.labels.any()
    desk.form.labels.value.editable = False
    desk.click(FIRST)
    desk.see()
    desk.widget.accept()
    assert "is locked" in desk.status
    assert not desk.labels.any()
    assert len(desk.form.points.value.data) == 1
    assert desk.controller.candidate is not None
    desk.form.labels.value.editable = True
    desk.widget.accept()
    assert (desk.labels == 1).any()


def test_mask_wholly_on_other_objects_is_kept_for_another_try(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk(blobs())
    desk.object_at(FIRST)
    desk.click(FIRST)
    desk.see()
    desk.widget.accept()
    assert "it is that object once more" in desk.status
    assert len(desk.form.points.value.data) == 1


def test_labels_of_another_shape(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(blobs())
    desk.form.labels.value = desk.viewer.add_labels(
        np.zeros((5, 5), dtype=np.uint8), name="small"
    )
    desk.click(SECOND)
    desk.see()
    desk.widget.accept()
    assert "small" in desk.status
    assert not desk.viewer.layers["small"].data.any()
    assert len(desk.form.points.value.data) == 1


def test_corrupt_checkpoint(
    make_napari_viewer: Any,
    thread: InferenceThread,
    wait: Wait,
    tmp_path: Path,
    fake: FakeSegmenter,
) -> None:
    from napari_cellprompt.session.segment import load_for_session

    bad = tmp_path / "broken.pt"
    bad.write_bytes(b"this is no checkpoint")

    def loader(name: str, device: str, cache_bytes: int) -> Any:
        load = fake.load if name == "cellprompt-focus" else load_for_session
        return load(name, device, cache_bytes)

    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="image")
    desk = Desk(viewer, SegmentSession(thread=thread, loader=loader), wait)
    desk.wait(lambda: desk.controller.model is not None)
    desk.widget.models.pick(str(bad))
    desk.wait(lambda: "broken.pt" in desk.status and "Loading" not in desk.status)
    assert "No model" in desk.widget.panel.model_line.text()
    desk.click(FIRST)
    desk.wait(lambda: not desk.controller.waiting)
    assert "broken.pt" in desk.status
    desk.widget.models.pick("cellprompt-focus")
    desk.wait(lambda: desk.controller.model is not None)
    desk.see()
    desk.widget.accept()
    assert (desk.labels == 1).any()


def test_an_unexpected_failure_is_one_sentence(
    open_desk: Callable[..., Desk], fake: FakeSegmenter
) -> None:
    desk = open_desk(blobs())
    fake.error = RuntimeError("out of luck")
    desk.click(FIRST)
    desk.wait(lambda: "out of luck" in desk.status)
    fake.error = None
    desk.click(SECOND)
    desk.see()
    assert desk.controller.candidate is not None


def test_model_finds_nothing(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(blobs())
    desk.click(FIRST)
    desk.see()
    desk.controller.proposals.show(None, ())
    desk.controller.next_candidate()
    assert "no mask yet" in desk.status
