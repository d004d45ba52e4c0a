from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.widgets.propagation import (
    PropagateDesk,
    follow_session,
    follower,
    gate,
    small_model,
    two_discs,
)

from napari_cellprompt.session.objects import ObjectRecord
from napari_cellprompt.session.segment import SegmentSession

__all__ = ["follow_session", "follower", "gate", "small_model"]

Wait = Callable[[Callable[[], bool]], None]
AXES = ("z", "y", "x")


@pytest.fixture
def desk(
    make_napari_viewer: Any, follow_session: SegmentSession, wait: Wait
) -> PropagateDesk:
    viewer = make_napari_viewer()
    viewer.add_image(two_discs(), name="discs", axis_labels=AXES, scale=(2.0, 0.5, 0.5))
    viewer.dims.set_current_step(0, 3)
    return PropagateDesk(viewer, follow_session, wait)


def record_of(desk: PropagateDesk) -> ObjectRecord:
    acceptor = desk.segment.controller.place.acceptor
    record = acceptor.store(desk.segment.form.labels.value).get(1)
    assert record is not None
    return record


def is_absent(desk: PropagateDesk, plane: int) -> bool:
    outcome = desk.engine.outcomes().get((1, plane))
    return outcome is not None and outcome.state == "absent"


def test_a_propagation_is_opened_again_and_replaces_only_its_own_pixels(
    desk: PropagateDesk, wait: Wait
) -> None:
    desk.see_object(3, 33, 30)
    desk.propagate()
    desk.controller.desk.go_to(5)
    desk.controller.review.clear(1, 5)
    wait(lambda: is_absent(desk, 5))
    wait(lambda: not desk.controller.review.consequences.waiting)
    wait(lambda: desk.controller.desk.stage in ("review", "changes"))
    if desk.controller.desk.stage == "changes":
        desk.controller.review.use_changes()
        desk.until("review")
    desk.controller.accept()
    desk.until("idle")
    record = record_of(desk)
    followed = record.propagation
    assert followed is not None
    assert [(item.plane, item.kind) for item in followed.decisions] == [
        (3, "prompted"),
        (5, "absent"),
    ]
    assert followed.decisions[0].shown.points
    assert record.source == "propagate"
    assert record.model
    assert all(plane.trust is not None for plane in record.planes)
    before = desk.labels.copy()
    desk.labels[6, 0, 0] = 1  # a stray pixel of its own, on a plane it is not on
    desk.labels[0, 0, 0] = 9  # another object

    desk.controller.reopen(record)
    desk.until("review")
    assert is_absent(desk, 5)
    assert desk.controller.review.said.shown[1, 3] == followed.decisions[0].shown
    desk.controller.accept()
    desk.until("idle")
    assert not desk.labels[6].any(), "its own pixels are replaced"
    assert desk.labels[0, 0, 0] == 9, "those of others are not"
    assert not desk.labels[5].any()
    assert np.array_equal(desk.labels[3], before[3])
    assert record_of(desk).propagation is not None
    desk.segment.controller.undo()
    assert desk.labels[6, 0, 0] == 1
    assert record_of(desk) is record
