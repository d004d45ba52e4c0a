from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.labels.commit import LabelsError
from napari_cellprompt.layers.labels.commit_stack import (
    PlaneMask,
    commit_many,
    plane_labels,
)
from napari_cellprompt.layers.stacks import LayerStack, stack_axes


@pytest.fixture
def stack(viewer: ViewerModel) -> LayerStack:
    image = viewer.add_image(np.zeros((6, 20, 30), dtype=np.uint8))
    view = plane_of(viewer, image)
    (axis,) = stack_axes(image, view)
    return LayerStack(image, view, axis, image_id="a", limits=(0, 255))


@pytest.fixture
def labels(viewer: ViewerModel, stack: LayerStack) -> Any:
    return viewer.add_labels(np.zeros((6, 20, 30), dtype=np.uint16))


def _box(y0: int, y1: int, x0: int, x1: int) -> CroppedMask:
    return CroppedMask(np.ones((y1 - y0, x1 - x0), dtype=bool), (y0, x0), (20, 30))


def test_many_planes_are_one_step(stack: LayerStack, labels: Any) -> None:
    painted: list[Any] = []
    labels.events.paint.connect(painted.append)
    masks = [PlaneMask(3, stack.view_at(z), _box(z, z + 2, 5, 9)) for z in range(6)]
    results = list(commit_many(labels, masks, image=stack.image))
    assert [result.written for result in results] == [8] * 6
    assert len(painted) == 1
    for z in range(6):
        assert np.argwhere(labels.data[z] == 3)[:, 0].tolist() == [z] * 4 + [z + 1] * 4
    labels.undo()
    assert not labels.data.any()
    labels.redo()
    assert np.count_nonzero(labels.data == 3) == 48


@pytest.mark.parametrize(("policy", "own"), [("keep", 4), ("replace", 8)])
def test_others_are_kept_or_replaced(
    stack: LayerStack, labels: Any, policy: Any, own: int
) -> None:
    labels.data[2, 0:1, 5:9] = 1
    masks = [PlaneMask(2, stack.view_at(2), _box(0, 2, 5, 9))]
    (result,) = commit_many(labels, masks, policy, image=stack.image)
    assert (result.written, result.kept_out) == (own, 8 - own)
    assert np.count_nonzero(labels.data == 2) == own


def test_a_mask_without_room_is_no_error(stack: LayerStack, labels: Any) -> None:
    labels.data[:] = 1
    masks = [PlaneMask(2, stack.view_at(z), _box(0, 2, 5, 9)) for z in (0, 1)]
    results = list(commit_many(labels, masks, image=stack.image))
    assert [(result.written, result.kept_out) for result in results] == [(0, 8)] * 2


def test_own_pixels_outside_the_mask_go_when_asked(stack: LayerStack, labels: Any) -> None:
    labels.data[1:4, 0:4, 0:4] = 7
    labels.data[:, 10:12, 10:12] = 5
    before = labels.data.copy()
    masks = [
        PlaneMask(7, stack.view_at(1), _box(2, 6, 2, 6), erase=True),
        PlaneMask(7, stack.view_at(2), None, erase=True),
        PlaneMask(7, stack.view_at(3), _box(2, 6, 2, 6)),
    ]
    list(commit_many(labels, masks, image=stack.image))
    assert [np.count_nonzero(labels.data[z] == 7) for z in (1, 2, 3)] == [16, 0, 28]
    assert np.count_nonzero(labels.data == 5) == 24
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_stopping_early_keeps_one_undo_step(stack: LayerStack, labels: Any) -> None:
    masks = [PlaneMask(3, stack.view_at(z), _box(0, 2, 5, 9)) for z in range(6)]
    writing = commit_many(labels, masks, image=stack.image)
    next(writing)
    next(writing)
    writing.close()
    assert np.count_nonzero(labels.data == 3) == 16
    labels.undo()
    assert not labels.data.any()


def test_a_wrong_id_can_be_undone_too(stack: LayerStack, labels: Any) -> None:
    masks = [PlaneMask(number, stack.view_at(0), _box(0, 2, 5, 9)) for number in (3, 70000)]
    with pytest.raises(LabelsError, match="cannot hold the id 70000"):
        list(commit_many(labels, masks, image=stack.image))
    assert np.count_nonzero(labels.data) == 8
    labels.undo()
    assert not labels.data.any()


def test_reading_a_plane_of_a_crop(viewer: ViewerModel, stack: LayerStack) -> None:
    crop = np.arange(4 * 5 * 6, dtype=np.int32).reshape(4, 5, 6)
    labels = viewer.add_labels(crop, translate=(1, 3, 2))
    there, offset = plane_labels(labels, stack.view_at(2), image=stack.image)
    np.testing.assert_array_equal(there, crop[1])
    assert offset == (-3, -2)
    with pytest.raises(LabelsError, match="does not reach"):
        plane_labels(labels, stack.view_at(0), image=stack.image)
