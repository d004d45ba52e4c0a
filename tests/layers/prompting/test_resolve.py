from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.types import PlaneKey
from napari_cellprompt.layers.images import Pixels
from napari_cellprompt.layers.prompting.prompts import (
    add_boxes_layer,
    add_labels_layer,
    add_points_layer,
)
from napari_cellprompt.layers.prompting.resolve import resolve


@pytest.fixture
def show(viewer):
    """Layers on a stack, and a function that resolves what they show."""
    image = viewer.add_image(np.zeros((4, 20, 30)))
    points = add_points_layer(viewer, image)
    boxes = add_boxes_layer(viewer, image)
    labels = add_labels_layer(viewer, image)
    viewer.dims.current_step = (2, 0, 0)

    def look(**changes):
        values = {
            "image": image,
            "points": points,
            "boxes": boxes,
            "labels": labels,
            "pixels": Pixels("a", limits=(0.0, 1.0)),
        }
        return resolve(viewer, **(values | changes))

    look.points, look.boxes, look.labels = points, boxes, labels
    return look


def test_everything_is_in_the_state(show):
    show.points.add([2, 5, 6])
    state = show()
    assert state.plane == PlaneKey("a", (2,), (1, 2), None, (0.0, 1.0))
    assert state.view.index == (2,)
    assert state.prompts.points == ((6.0, 5.0),)
    assert state.target == str(show.labels.unique_id)


def test_looking_twice_gives_the_same(show):
    show.points.add([2, 5, 6])
    assert show() == show()
    assert hash(show()) == hash(show())
    assert show().same_request(show())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda show, viewer: show.points.add([2, 5, 7]), id="point"),
        pytest.param(
            lambda show, viewer: setattr(show.points, "data", [[2, 5, 8]]), id="moved"
        ),
        pytest.param(
            lambda show, viewer: show.boxes.add_rectangles(
                [[2, 1, 1], [2, 1, 9], [2, 9, 9], [2, 9, 1]]
            ),
            id="box",
        ),
        pytest.param(lambda show, viewer: viewer.dims.set_current_step(0, 1), id="plane"),
    ],
)
def test_what_asks_for_a_new_prediction(viewer, show, change):
    show.points.add([2, 5, 6])
    before = show()
    change(show, viewer)
    after = show()
    assert before != after
    assert not after.same_request(before)
    assert not after.same_request(None)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"pixels": Pixels("b", limits=(0.0, 1.0))}, id="pixels"),
        pytest.param({"pixels": Pixels("a", limits=(0.0, 0.5))}, id="contrast"),
    ],
)
def test_what_the_model_sees_counts(show, changes):
    assert not show(**changes).same_request(show())


def test_another_target_needs_no_new_prediction(show):
    assert show(labels=None) != show()
    assert show(labels=None).same_request(show())


def test_sliders_that_stay_in_the_plane_change_nothing(viewer, show):
    show.points.add([2, 5, 6])
    before = show()
    viewer.dims.current_step = (2, 7, 9)
    assert show() == before
