"""A desk with the Segment and the Propagate widget, and what a user does there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.fakes import FollowingSegmenter
from tests.followers import discs, follow_bright, look
from tests.random_models import random_model
from tests.widgets.conftest import labels_of

from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.widgets.propagate.widget import PropagateWidget
from napari_cellprompt.widgets.segment.widget import SegmentWidget

PLANES = 8


class PropagateDesk:
    """The two widgets in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        Holds one image.
    session : SegmentSession
        With a ``FollowingSegmenter``.
    wait : callable
        Runs the event loop until something is true.
    """

    def __init__(
        self,
        viewer: Any,
        session: SegmentSession,
        wait: Callable[[Callable[[], bool]], None],
    ) -> None:
        self.viewer = viewer
        self.wait = wait
        self.segment = SegmentWidget(viewer, session=session)
        viewer.window.add_dock_widget(self.segment, name="Segment (Cellprompt)")
        self.widget = PropagateWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Propagate (Cellprompt)")
        self.controller = self.widget.controller
        self.form = self.widget.form
        self.wait(lambda: self.segment.controller.model is not None)

    @property
    def labels(self) -> np.ndarray:
        return labels_of(self.segment)

    @property
    def preview(self) -> np.ndarray:
        return self.controller.desk.preview.layer.data

    @property
    def engine(self) -> Any:
        return self.controller.desk.run.engine

    @property
    def points(self) -> Any:
        return self.segment.form.points.value

    def click(self, plane: int, x: float, y: float, *, positive: bool = True) -> None:
        self.viewer.dims.set_current_step(0, plane)
        if not positive:
            self.segment.toggle_sign()
        self.points.add([(plane, y, x)])
        if not positive:
            self.segment.toggle_sign()

    def see_object(self, plane: int, x: float, y: float) -> None:
        """Click, and wait for the mask."""
        self.click(plane, x, y)
        segment = self.segment.controller
        segment.refresh()
        self.wait(lambda: segment.prediction is not None and not segment.waiting)

    def accept_object(self, plane: int, x: float, y: float) -> int:
        self.see_object(plane, x, y)
        self.segment.accept()
        return int(self.labels.max())

    def propagate(self) -> None:
        """Start, and wait for the end."""
        self.widget.start()
        self.until("review")

    def until(self, stage: str) -> None:
        self.wait(lambda: self.controller.desk.stage == stage)

    def areas(self, data: np.ndarray, object_id: int = 1) -> list[int]:
        return [int(np.count_nonzero(plane == object_id)) for plane in data]


class Gate:
    """Holds the engine before each plane until it is let through."""

    def __init__(self) -> None:
        self.open = True
        self._passes = threading.Semaphore(0)
        self.looked = 0

    def close(self) -> None:
        self.open = False

    def let(self, planes: int) -> None:
        for _ in range(planes):
            self._passes.release()

    def release(self) -> None:
        self.open = True
        self.let(1000)

    def look(self, *arguments: Any) -> Any:
        if not self.open:
            assert self._passes.acquire(timeout=20)
        self.looked += 1
        return look(*arguments)


@pytest.fixture(scope="session")
def small_model() -> Any:
    return random_model()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    follow_bright(monkeypatch)
    gate = Gate()
    # A function, so that it is bound to the follower like a method.
    monkeypatch.setattr(SamFollower, "frames", lambda *arguments: gate.look(*arguments))
    yield gate
    gate.release()


@pytest.fixture
def follower(small_model: Any) -> FollowingSegmenter:
    return FollowingSegmenter(small_model)


@pytest.fixture
def follow_session(thread: Any, follower: FollowingSegmenter) -> SegmentSession:
    return SegmentSession(thread=thread, loader=follower.load)


def two_discs() -> np.ndarray:
    """Object one on the planes 1 to 6, object two on all of them."""
    first = {plane: (30.0 + plane, 30.0, 9.0) for plane in range(1, 7)}
    second = dict.fromkeys(range(PLANES), (70.0, 66.0, 12.0))
    return discs([first, second], (PLANES, 96, 96))
