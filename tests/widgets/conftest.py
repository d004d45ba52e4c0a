from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QMessageBox
from tests.fakes import FakeSegmenter

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread
from napari_cellprompt.widgets.segment.widget import SegmentWidget


@pytest.fixture(autouse=True)
def _own_settings(plugin_settings: Any) -> None:
    """Never read or write the settings of whoever runs the tests."""


@pytest.fixture(autouse=True)
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the user is asked; answered with yes, so that no test waits for a person."""
    asked: list[str] = []

    def agrees(parent: Any, title: str, question: str) -> Any:
        asked.append(question)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", agrees)
    return asked


@pytest.fixture
def thread() -> Iterator[InferenceThread]:
    worker = InferenceThread("test-widgets")
    yield worker
    assert worker.shutdown(10)


@pytest.fixture
def fake() -> FakeSegmenter:
    return FakeSegmenter()


@pytest.fixture
def session(thread: InferenceThread, fake: FakeSegmenter) -> SegmentSession:
    return SegmentSession(thread=thread, loader=fake.load)


def blobs(shape: tuple[int, int] = (60, 80)) -> np.ndarray:
    """Two bright rectangles of 10 x 12 and 8 x 16 pixels on black."""
    image = np.zeros(shape, dtype=np.uint8)
    image[6:16, 8:20] = 200
    image[30:38, 40:56] = 220
    return image


FIRST, SECOND = (12.0, 10.0), (45.0, 34.0)
"""``(x, y)`` in the first and in the second rectangle of ``blobs``."""


@pytest.fixture
def wait(qtbot: Any) -> Callable[[Callable[[], bool]], None]:
    """Run the event loop until something is true."""

    def until(condition: Callable[[], bool]) -> None:
        qtbot.waitUntil(condition, timeout=20000)

    return until


def labels_of(widget: SegmentWidget) -> np.ndarray:
    """The objects of the image that a Segment widget works on."""
    image = widget.place.chosen.image
    assert image is not None
    labels = widget.place.labels_of(image)
    return np.asarray((widget.place.target(image) if labels is None else labels).data)


def paint(widget: SegmentWidget, where: Any, value: int) -> None:
    """Give pixels of the image's labels an id, as a user with a brush would."""
    pixels = labels_of(widget).copy()
    pixels[where] = value
    widget.place.chosen.labels.data = pixels


class Desk:
    """A viewer with the widget in it, and what a user does there."""

    def __init__(
        self,
        viewer: Any,
        session: SegmentSession,
        wait: Callable[[Callable[[], bool]], None],
    ) -> None:
        self.viewer = viewer
        self.session = session
        self.wait = wait
        self.widget = SegmentWidget(viewer, session=session)
        self.dock = viewer.window.add_dock_widget(self.widget, name="Segment")
        self.controller = self.widget.controller

    @property
    def form(self) -> Any:
        return self.widget.form

    @property
    def labels(self) -> np.ndarray:
        """The objects of the image that is chosen; the layer is made if need be."""
        return labels_of(self.widget)

    @property
    def status(self) -> str:
        return self.widget.panel.status_line.text()

    def click(self, xy: tuple[float, float], plane: tuple[int, ...] = ()) -> None:
        self.form.points.value.add([(*plane, xy[1], xy[0])])

    def box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self.widget.place.need_boxes()
        self.form.boxes.value.add_rectangles([[(y0, x0), (y1, x1)]])

    def see(self) -> None:
        """Wait for the mask of what was clicked."""
        self.controller.refresh()
        self.wait(
            lambda: self.controller.prediction is not None and not self.controller.waiting
        )

    def object_at(self, xy: tuple[float, float], plane: tuple[int, ...] = ()) -> int:
        """Click and accept; returns the largest id."""
        self.click(xy, plane)
        self.see()
        self.widget.accept()
        return int(self.labels.max())
