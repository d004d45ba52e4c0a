from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.fakes import FakeSegmenter
from tests.widgets.conftest import FIRST, SECOND, blobs

from napari_cellprompt.jobs.segment_session import SegmentSession
from napari_cellprompt.widgets.segment import SegmentWidget

Wait = Callable[[Callable[[], bool]], None]


class Desk:
    """A viewer with the widget in it, and what a user does there."""

    def __init__(self, viewer: Any, session: SegmentSession, wait: Wait) -> None:
        self.viewer = viewer
        self.wait = wait
        self.widget = SegmentWidget(viewer, session=session)
        self.dock = viewer.window.add_dock_widget(self.widget, name="Segment")
        self.controller = self.widget.controller

    @property
    def form(self) -> Any:
        return self.widget.form

    @property
    def labels(self) -> np.ndarray:
        return self.form.labels.value.data

    def click(self, xy: tuple[float, float], plane: tuple[int, ...] = ()) -> None:
        points = self.form.points.value
        points.add([(*plane, xy[1], xy[0])])

    def box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.form.boxes.value.add_rectangles([[(y0, x0), (y1, x1)]])

    def see(self) -> None:
        """Wait for the mask of what was clicked."""
        self.wait(lambda: not self.controller._watch._soon.isActive())
        self.wait(lambda: self.controller.prediction is not None)

    def object_at(self, xy: tuple[float, float], plane: tuple[int, ...] = ()) -> int:
        self.click(xy, plane)
        self.see()
        self.widget.accept()
        return int(self.labels.max())


@pytest.fixture
def desk(make_napari_viewer: Any, session: SegmentSession, wait: Wait) -> Desk:
    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="blobs")
    return Desk(viewer, session, wait)


def test_opening_makes_layers_and_is_ready_to_click(desk: Desk) -> None:
    form, viewer = desk.form, desk.viewer
    assert form.image.value.name == "blobs"
    assert viewer.layers.selection.active == form.points.value
    assert form.points.value.mode == "add"
    assert form.labels.value.data.dtype == np.uint16
    assert form.labels.value.data.shape == (60, 80)
    desk.wait(lambda: desk.controller.model is not None)
    assert "Click on an object" in desk.widget.panel.status_line.text()
    assert "cellprompt-nano on cpu" in desk.widget.panel.model_line.text()


def test_click_shows_a_mask_and_accept_writes_it(desk: Desk) -> None:
    desk.click(FIRST)
    desk.see()
    preview = desk.controller.preview.layer
    assert preview is not None
    assert np.count_nonzero(preview.data) == 120
    assert not desk.labels.any()
    desk.widget.accept()
    assert np.count_nonzero(desk.labels == 1) == 120
    assert len(desk.form.points.value.data) == 0
    assert not preview.data.any()
    assert desk.viewer.layers.selection.active == desk.form.points.value
    assert desk.form.points.value.mode == "add"


def test_second_object_gets_the_next_id(desk: Desk, fake: FakeSegmenter) -> None:
    assert desk.object_at(FIRST) == 1
    assert desk.object_at(SECOND) == 2
    assert np.count_nonzero(desk.labels == 2) == 128
    assert fake.hints == [None, 12.0]
