from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellprompt.layers.coordinates import PlaneView
from napari_cellprompt.layers.previews.found import FoundPreview


@pytest.mark.parametrize(
    ("axes", "axis"), [((1, 2), 0), ((0, 2), 1), ((0, 1), 2)], ids=["z", "y", "x"]
)
def test_planes_along_any_axis_land_where_they_belong(axes, axis) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6), np.uint8), scale=(2, 1, 1))
    preview = FoundPreview(viewer)
    layer = preview.open(image, PlaneView(axes=axes, index=(0,)), axis)
    truth = np.random.default_rng(0).integers(0, 9, (4, 5, 6)).astype(np.uint32)
    preview.show(np.moveaxis(truth, axis, 0))
    np.testing.assert_array_equal(layer.data, truth)
    np.testing.assert_allclose(layer.scale, image.scale)


def test_a_plane_of_a_stack_stays_one_plane() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6), np.uint8))
    preview = FoundPreview(viewer)
    layer = preview.open(image, PlaneView(axes=(1, 2), index=(3,)), None)
    preview.show(np.ones((1, 5, 6), np.uint32))
    assert layer.data.shape == (1, 5, 6)
    assert layer.data_to_world((0, 0, 0))[0] == 3


def test_a_layer_that_was_deleted_is_no_error() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 6), np.uint8))
    preview = FoundPreview(viewer)
    layer = preview.open(image, PlaneView(axes=(0, 1), index=()), None)
    viewer.layers.remove(layer)
    preview.show(np.ones((1, 5, 6), np.uint32))
    assert preview.layer is None
    assert not layer.data.any()
