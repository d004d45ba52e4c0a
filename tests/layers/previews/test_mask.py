from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.layers.coordinates import plane_of, plane_shape
from napari_cellprompt.layers.previews.mask import Preview, is_preview


def shown_at(preview, world):
    """Value of the overlay under a world position, as napari looks it up."""
    value = preview.layer.get_value(world, world=True)
    return 0 if value is None else int(value)


@pytest.fixture
def image(viewer):
    layer = viewer.add_image(np.zeros((4, 20, 30)), scale=[3, 0.5, 0.5])
    viewer.dims.current_step = (2, 0, 0)
    return layer


@pytest.fixture
def preview(viewer):
    overlay = Preview(viewer)
    yield overlay
    overlay.close()


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(range(3)),
    st.tuples(*[st.floats(0.1, 10)] * 3),
    st.tuples(*[st.floats(-100, 100)] * 3),
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=3),
)
def test_the_overlay_is_where_the_pixel_is(order, scale, translate, pixels):
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((4, 5, 6)), scale=scale, translate=translate, units="um"
    )
    viewer.dims.order = order
    preview = Preview(viewer)
    for pixel in pixels:
        viewer.dims.point = image.data_to_world(pixel)
        view = plane_of(viewer, image)
        row, column = pixel[view.axes[0]], pixel[view.axes[1]]
        data = np.ones((1, 1), bool)
        preview.show(
            image, view, CroppedMask(data, (row, column), plane_shape(image, view))
        )
        assert shown_at(preview, image.data_to_world(pixel)) == 1
        assert np.count_nonzero(preview.layer.data) == 1
        np.testing.assert_allclose(
            preview.layer.extent.world[:, view.axes[0]],
            image.extent.world[:, view.axes[0]],
            atol=1e-9,
        )


def test_only_its_own_plane_shows_it(viewer, image, preview, make_mask):
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    assert shown_at(preview, (6, 2, 3)) == 1
    viewer.dims.current_step = (1, 0, 0)
    assert shown_at(preview, (3, 2, 3)) == 0


def test_a_new_mask_takes_the_place_of_the_last(viewer, image, preview, make_mask):
    view = plane_of(viewer, image)
    preview.show(image, view, make_mask(3, 8, 4, 10))
    layer = preview.layer
    preview.show(image, view, make_mask(10, 12, 1, 2))
    assert preview.layer is layer
    assert np.count_nonzero(layer.data) == 2
    assert (layer.data[0, 10:12, 1] == 1).all()


def test_the_model_may_return_more_than_the_object(viewer, image, preview):
    """Cropped masks may be as large as a tile, with the object in a corner of it."""
    data = np.zeros((20, 30), bool)
    data[15:18, 20:22] = True
    preview.show(image, plane_of(viewer, image), CroppedMask(data, (0, 0), (20, 30)))
    np.testing.assert_array_equal(preview.layer.data[0] == 1, data)


def test_other_planes_reuse_the_layer(viewer, image, preview, make_mask):
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    layer = preview.layer
    viewer.dims.current_step = (0, 0, 0)
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    assert preview.layer is layer
    assert shown_at(preview, (0, 2, 3)) == 1
    assert viewer.dims.nsteps == (4, 20, 30)


def test_a_prepared_layer_takes_the_first_mask(viewer, image, preview, make_mask):
    view = plane_of(viewer, image)
    preview.prepare(image, view)
    layer = preview.layer
    assert not layer.data.any()
    preview.show(image, view, make_mask(3, 8, 4, 10))
    assert preview.layer is layer
    assert shown_at(preview, (6, 2, 3)) == 1
    preview.prepare(image, view)
    assert preview.layer is layer
    assert shown_at(preview, (6, 2, 3)) == 1


def test_the_selection_stays(viewer, image, preview, make_mask):
    points = viewer.add_points(ndim=3)
    points.mode = "add"
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    assert viewer.layers.selection.active is points
    assert points.mode == "add"
    preview.close()
    viewer.layers.selection = {points, image}
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    assert set(viewer.layers.selection) == {points, image}


def test_hiding_keeps_the_layer_and_closing_removes_it(viewer, image, preview, make_mask):
    preview.hide()
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    layer = preview.layer
    preview.hide()
    assert not layer.data.any()
    assert layer in viewer.layers
    preview.close()
    preview.close()
    assert list(viewer.layers) == [image]
    assert preview.layer is None


def test_an_empty_mask_shows_nothing(viewer, image, preview, make_mask):
    view = plane_of(viewer, image)
    preview.show(image, view, CroppedMask(np.zeros((3, 3), bool), (0, 0), (20, 30)))
    assert preview.layer is None
    preview.show(image, view, make_mask(3, 8, 4, 10))
    preview.show(image, view, CroppedMask(np.zeros((3, 3), bool), (0, 0), (20, 30)))
    assert not preview.layer.data.any()


def test_a_deleted_overlay_comes_back(viewer, image, preview, make_mask):
    view = plane_of(viewer, image)
    preview.show(image, view, make_mask(3, 8, 4, 10))
    viewer.layers.remove(preview.layer)
    preview.hide()
    assert preview.layer is None
    preview.show(image, view, make_mask(3, 8, 4, 10))
    assert preview.layer in viewer.layers
    preview.close()
    assert list(viewer.layers) == [image]


def test_it_is_told_from_the_users_layers(viewer, image, preview, make_mask):
    labels = viewer.add_labels(np.zeros((4, 20, 30), np.uint8))
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    assert is_preview(preview.layer)
    assert not is_preview(labels)
    assert not is_preview(image)


def test_large_planes_get_a_window_that_moves(viewer, preview):
    image = viewer.add_image(np.zeros((3000, 5000), np.uint8), scale=[0.5, 0.5])
    view = plane_of(viewer, image)
    for y, x in [(0, 0), (2990, 4990), (1500, 2500), (1010, 1020)]:
        mask = CroppedMask(np.ones((8, 9), bool), (y, x), (3000, 5000))
        preview.show(image, view, mask)
        assert preview.layer.data.shape == (1024, 1024)
        for inside in [(y, x), (y + 7, x + 8)]:
            assert shown_at(preview, image.data_to_world(inside)) == 1
        assert np.count_nonzero(preview.layer.data) == 72


def test_large_objects_get_a_larger_window(viewer, preview):
    image = viewer.add_image(np.zeros((3000, 5000), np.uint8))
    mask = CroppedMask(np.ones((1500, 4000), bool), (700, 900), (3000, 5000))
    preview.show(image, plane_of(viewer, image), mask)
    assert preview.layer.data.shape == (2048, 4096)
    assert np.count_nonzero(preview.layer.data) == 1500 * 4000
    layer = preview.layer
    small = CroppedMask(np.ones((8, 9), bool), (2900, 10), (3000, 5000))
    preview.show(image, plane_of(viewer, image), small)
    assert preview.layer is layer
    assert shown_at(preview, (2907, 18)) == 1
    assert np.count_nonzero(layer.data) == 72


def test_it_follows_a_rescaled_image(viewer, image, preview, make_mask):
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    image.scale = [3, 2, 2]
    image.translate = [0, 5, 5]
    image.affine = [[1, 0, 0, 0], [0, 1, 0, 100], [0, 0, 1, 0], [0, 0, 0, 1]]
    image.units = "um"
    layer = preview.layer
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    assert preview.layer is layer
    assert layer.units == image.units
    np.testing.assert_allclose(layer.scale, [3, 2, 2])
    assert shown_at(preview, (6, 111, 13)) == 1


def test_it_stays_visible_on_every_channel(viewer, preview, make_mask):
    image = viewer.add_image(np.zeros((3, 4, 20, 30)))
    viewer.dims.current_step = (0, 2, 0, 0)
    view = plane_of(viewer, image, channel_axis=0)
    preview.show(image, view, make_mask(3, 8, 4, 10))
    for channel in range(3):
        viewer.dims.current_step = (channel, 2, 0, 0)
        assert shown_at(preview, (channel, 2, 5, 6)) == 1


def test_outline_or_filled(viewer, image, preview, make_mask):
    preview.contour = 2
    preview.show(image, plane_of(viewer, image), make_mask(3, 8, 4, 10))
    assert preview.layer.contour == 2
    preview.contour = 0
    assert preview.layer.contour == 0
