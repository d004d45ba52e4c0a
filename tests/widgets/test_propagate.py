"""The Propagate widget with an engine that follows bright regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.widgets.propagation import (
    Gate,
    PropagateDesk,
    follow_session,
    follower,
    gate,
    small_model,
    two_discs,
)

from napari_cellprompt.jobs.segment_session import SegmentSession

__all__ = ["follow_session", "follower", "gate", "small_model"]

Wait = Callable[[Callable[[], bool]], None]
AXES = ("z", "y", "x")


@pytest.fixture
def desk(
    make_napari_viewer: Any, follow_session: SegmentSession, wait: Wait, gate: Gate
) -> PropagateDesk:
    viewer = make_napari_viewer()
    viewer.add_image(two_discs(), name="discs", axis_labels=AXES, scale=(2.0, 0.5, 0.5))
    viewer.dims.set_current_step(0, 3)
    return PropagateDesk(viewer, follow_session, wait)


def test_an_object_on_screen_goes_through_the_stack_into_labels(
    desk: PropagateDesk,
) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    area = int(np.count_nonzero(two_discs()[3, :50] > 128))
    expected = [0, area, area, area, area, area, area, 0]
    assert desk.areas(desk.preview) == pytest.approx(expected, rel=0.15)
    assert not desk.labels.any()
    assert "Done" in desk.controller.status
    states = {plane: item.state for plane, item in desk.controller.rows()[0].planes.items()}
    assert (states[0], states[3], states[7]) == ("ended", "prompted", "ended")

    desk.controller.accept()
    desk.until("idle")
    assert desk.areas(desk.labels) == pytest.approx(expected, rel=0.15)
    assert "One undo" in desk.controller.status
    assert desk.controller.preview.layer is None
    assert len(desk.points.data) == 0
    record = desk.segment.controller.acceptor.store(desk.segment.form.labels.value).last
    assert (record.id, len(record.planes)) == (1, 6)

    desk.segment.controller.undo()
    assert not desk.labels.any()
    desk.segment.controller.redo()
    assert desk.areas(desk.labels) == pytest.approx(expected, rel=0.15)
