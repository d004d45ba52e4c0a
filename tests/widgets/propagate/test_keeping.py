"""A propagation in a session: accepted, stopped half-way, and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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

from napari_cellprompt.io.session_file import read_session
from napari_cellprompt.io.session_types import Propagate
from napari_cellprompt.layers.images import Pixels
from napari_cellprompt.session.saved.replay import replay, stored_labels
from napari_cellprompt.session.segment import SegmentSession

__all__ = ["follow_session", "follower", "gate", "small_model"]


@pytest.fixture
def open_desk(
    make_napari_viewer: Any, wait: Callable[[Callable[[], bool]], None], gate: Gate
) -> Callable[[SegmentSession], PropagateDesk]:
    def opened(session: SegmentSession) -> PropagateDesk:
        viewer = make_napari_viewer()
        viewer.add_image(two_discs(), name="discs", axis_labels=("z", "y", "x"))
        viewer.dims.set_current_step(0, 3)
        return PropagateDesk(viewer, session, wait)

    return opened


def compose(desk: PropagateDesk) -> None:
    """Show the model the discs together with another layer, inverted."""
    panel = desk.segment.channels
    for row, use in zip(panel.rows, ("red", "grey"), strict=True):
        row.choose(replace(row.choice, use=use, invert=use == "grey"))
    panel.on.setChecked(True)
    place = desk.segment.place
    desk.wait(lambda: isinstance(place.pixels_of(place.chosen.image), Pixels))


def dark_discs() -> np.ndarray:
    return two_discs().max() - two_discs()


def kept(desk: PropagateDesk) -> Any:
    keeper = desk.segment.keeper
    desk.wait(lambda: keeper._book is not None and keeper._book.entry is not None)
    keeper.save()
    keeper._book.autosave.wait()
    return read_session(keeper._book.autosave.path)


def test_an_accepted_propagation_is_followed_again(
    open_desk: Any, follow_session: SegmentSession, follower: Any
) -> None:
    desk = open_desk(follow_session)
    desk.see_object(3, 33, 30)
    desk.propagate()
    desk.controller.review.lock()
    desk.controller.accept()
    desk.until("idle")
    found = kept(desk)
    (step,) = (item for item in found.steps if isinstance(item, Propagate))
    assert [call.do for call in step.calls][:2] == ["prompt", "follow"]
    assert np.array_equal(stored_labels(found)[0], desk.labels)
    again = replay(found, image=two_discs(), segmenter_of=lambda number: follower)
    assert np.array_equal(again.labels[0], desk.labels)
    assert (again.asked, again.differing) == (len(step.planes), [])


def stop_after_two(desk: PropagateDesk, gate: Gate) -> None:
    """Propagate, and stop when two planes are done."""
    gate.close()
    desk.widget.start()
    gate.let(1)
    desk.until("running")
    gate.let(2)
    desk.wait(lambda: (desk.controller.desk.progress or (0, 0))[0] == 2)
    desk.controller.cancel()
    gate.release()
    desk.until("review")


def test_half_a_propagation_comes_back_and_resumes(
    open_desk: Any, thread: Any, follower: Any, gate: Gate
) -> None:
    first = open_desk(SegmentSession(thread=thread, loader=follower.load))
    first.see_object(3, 33, 30)
    stop_after_two(first, gate)
    left, areas = first.controller.desk.unfinished, first.areas(first.preview)
    assert left
    found = kept(first)
    assert found.propagation is not None
    # the window is closed, its widgets in whichever order
    first.widget.shut_down()
    first.segment.shut_down(remove_layers=False)

    again = open_desk(SegmentSession(thread=thread, loader=follower.load))
    bar = again.segment.offer
    again.wait(lambda: bar.asking)
    assert "propagation" in bar.question.text()
    bar.go_on.click()
    again.until("review")
    assert again.controller.desk.unfinished == left
    assert again.areas(again.preview) == areas
    again.controller.resume()
    again.wait(
        lambda: (
            again.controller.desk.stage == "review" and not again.controller.desk.unfinished
        )
    )
    again.controller.accept()
    again.until("idle")
    assert np.count_nonzero(again.labels[6] == 1) > 0
    found = kept(again)
    assert found.propagation is None
    assert np.array_equal(stored_labels(found)[0], again.labels)


def test_a_propagation_through_channels_is_followed_again_and_gone_on_with(
    make_napari_viewer: Any, wait: Any, thread: Any, follower: Any, gate: Gate
) -> None:
    def opened() -> PropagateDesk:
        viewer = make_napari_viewer()
        viewer.add_image(two_discs(), name="discs", axis_labels=("z", "y", "x"))
        viewer.add_image(
            dark_discs(), name="dark", axis_labels=("z", "y", "x"), visible=False
        )
        viewer.dims.set_current_step(0, 3)
        return PropagateDesk(
            viewer, SegmentSession(thread=thread, loader=follower.load), wait
        )

    first = opened()
    compose(first)
    first.see_object(3, 33, 30)
    stop_after_two(first, gate)
    left, areas = first.controller.desk.unfinished, first.areas(first.preview)
    channels = first.controller.desk.run.stack.plane(0).key.channels
    assert len(channels) == 2
    found = kept(first)
    assert found.propagation.stack.plane.channels == channels
    first.widget.shut_down()
    first.segment.shut_down(remove_layers=False)

    again = opened()
    again.wait(lambda: again.segment.offer.asking)
    again.segment.offer.go_on.click()
    again.until("review")
    assert again.segment.channels.on.isChecked()
    assert again.controller.desk.run.stack.plane(0).key.channels == channels
    assert again.controller.desk.unfinished == left
    assert again.areas(again.preview) == areas
    again.controller.resume()
    again.wait(
        lambda: (
            again.controller.desk.stage == "review" and not again.controller.desk.unfinished
        )
    )
    again.controller.accept()
    again.until("idle")
    found = kept(again)
    (step,) = (item for item in found.steps if isinstance(item, Propagate))
    other = step.stack.plane.channels[1].image
    assert other is not None
    done = replay(
        found,
        image=two_discs(),
        beside={other.fingerprint: dark_discs()},
        segmenter_of=lambda number: follower,
    )
    assert done.differing == []
    assert np.array_equal(done.labels[0], again.labels)
