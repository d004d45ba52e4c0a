"""What is clicked while the model is still loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.fakes import FakeSegmenter
from tests.widgets.conftest import FIRST, Desk, blobs

from napari_cellprompt.core.errors import CheckpointError
from napari_cellprompt.session.segment import LoadedSegmenter, SegmentSession
from napari_cellprompt.session.thread import InferenceThread

Wait = Callable[[Callable[[], bool]], None]
TIMEOUT = 20


def test_a_click_before_the_model_is_there_waits_and_is_told_so(
    make_napari_viewer: Any, thread: InferenceThread, fake: FakeSegmenter, wait: Wait
) -> None:
    loaded = threading.Event()

    def slow(name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        assert loaded.wait(TIMEOUT)
        return fake.load(name, device, cache_bytes)

    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="blobs")
    desk = Desk(viewer, SegmentSession(thread=thread, loader=slow), wait)
    assert desk.status == "Loading cellprompt-focus ..."
    desk.click(FIRST)
    desk.wait(lambda: desk.controller.waiting)
    assert desk.status.startswith("Loading cellprompt-focus ... Your prompts are answered")
    assert desk.controller.prediction is None
    loaded.set()
    desk.see()
    assert "Loading" not in desk.status
    assert desk.controller.prediction.best.mask.area == 120


def test_a_click_after_the_loading_failed_does_not_say_that_it_goes_on(
    make_napari_viewer: Any, thread: InferenceThread, wait: Wait
) -> None:
    def fails(name: str, device: str, cache_bytes: int) -> LoadedSegmenter:
        raise CheckpointError(f"There are no weights of {name}.")

    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="blobs")
    desk = Desk(viewer, SegmentSession(thread=thread, loader=fails), wait)
    desk.wait(lambda: "no weights" in desk.status)
    desk.click(FIRST)
    desk.wait(lambda: not desk.controller.waiting)
    assert "Loading" not in desk.status
