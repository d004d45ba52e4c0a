from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points
from tests.between_layers import transform_points

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.layers.coordinates import (
    PlaneView,
    cursor_to_plane,
    plane_of,
    plane_shape,
    plane_to_layer,
    points_to_plane,
    units_note,
)

UM_PER = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


@st.composite
def transforms(draw, ndim, unit="micrometer"):
    """Scale and translation as microscopes give them, in any unit."""
    um = UM_PER[unit]
    scale = [draw(st.floats(0.05, 20)) / um for _ in range(ndim)]
    translate = [draw(st.floats(-500, 500)) / um for _ in range(ndim)]
    return {"scale": scale, "translate": translate, "units": [unit] * ndim}


@st.composite
def scenes(draw):
    """A viewer with an image of pixels that hold their own index, and a Points layer."""
    ndim = draw(st.integers(2, 4))
    shape = tuple(draw(st.integers(1, 7)) for _ in range(ndim))
    units = [draw(st.sampled_from(list(UM_PER))) for _ in range(2)]
    data = np.arange(math.prod(shape), dtype=np.uint32).reshape(shape)
    viewer = ViewerModel()
    image = Image(data, **draw(transforms(ndim, units[0])))
    points_ndim = draw(st.integers(2, 4))
    points = Points(
        np.zeros((1, points_ndim)),
        ndim=points_ndim,
        **draw(transforms(points_ndim, units[1])),
    )
    viewer.add_layer(image)
    viewer.add_layer(points)
    world_ndim = max(ndim, points_ndim)
    viewer.dims.order = draw(st.permutations(range(world_ndim)))
    viewer.dims.ndisplay = draw(st.sampled_from([2, 3])) if world_ndim > 2 else 2
    index = tuple(draw(st.integers(0, size - 1)) for size in shape)
    # The sliders go where the image has the pixel; beyond its axes they stay.
    factor = UM_PER[units[0]] / _um_of(viewer.dims.units)
    world = np.asarray(image.data_to_world(index)) * factor
    viewer.dims.point = (*viewer.dims.point[: world_ndim - ndim], *world)
    return viewer, image, points, index


def _um_of(units):
    return UM_PER[str(units[-1])]


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_the_plane_on_screen_is_the_one_at_the_sliders(scene):
    viewer, image, _, index = scene
    view = plane_of(viewer, image)
    assert view.axes[0] < view.axes[1]
    assert view.in_range
    assert view.index == tuple(index[axis] for axis in view.other_axes(image.ndim))
    assert plane_shape(image, view) == tuple(image.data.shape[axis] for axis in view.axes)


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_the_cursor_lands_on_the_pixel_that_is_seen(scene):
    viewer, image, _, index = scene
    view = plane_of(viewer, image)
    x, y = cursor_to_plane(image, view, viewer.dims.point)
    assert (x, y) == pytest.approx((index[view.axes[1]], index[view.axes[0]]), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_plane_to_points_layer_and_back(scene):
    viewer, image, points, _ = scene
    view = plane_of(viewer, image)
    height, width = plane_shape(image, view)
    xy = np.asarray([[0, 0], [width - 1, 0], [0.25, height - 1.3], [-3, 99]])
    there = plane_to_layer(image, points, view, xy)
    back, on_plane = points_to_plane(points, image, view, there)
    assert there.shape == (4, points.ndim)
    kept = [axis >= image.ndim - points.ndim for axis in view.axes[::-1]]
    np.testing.assert_allclose(back[:, kept], xy[:, kept], atol=1e-5)
    assert on_plane.all()


@settings(max_examples=40, deadline=None)
@given(scenes(), st.floats(-4, 4))
def test_points_beside_the_plane_are_told_apart(scene, steps):
    viewer, image, points, _ = scene
    view = plane_of(viewer, image)
    others = view.other_axes(image.ndim)
    missing = image.ndim - points.ndim
    data = plane_to_layer(image, image, view, [[0, 0]])
    for axis in others:
        moved = data.copy()
        moved[:, axis] += steps
        there = transform_points(image, points, moved)
        # Leading axes that only the points have are put where the sliders are.
        there[:, : max(-missing, 0)] = plane_to_layer(image, points, view, [[0, 0]])[
            :, : max(-missing, 0)
        ]
        _, on_plane = points_to_plane(points, image, view, there)
        if abs(abs(steps) - 0.5) > 1e-3:
            assert on_plane[0] == (abs(steps) < 0.5 or axis < missing)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_transform_points_goes_there_and_back(data):
    layers = []
    for _ in range(2):
        unit = data.draw(st.sampled_from(list(UM_PER)))
        layers.append(Points(ndim=3, **data.draw(transforms(3, unit))))
    positions = np.asarray([[0, 0, 0], [1, -2, 3.5]])
    there = transform_points(*layers, positions)
    np.testing.assert_allclose(transform_points(*layers[::-1], there), positions, atol=1e-5)


def test_units_are_converted_axis_by_axis():
    source = Points(ndim=3, units=["s", "nm", "nm"])
    target = Image(np.zeros((2, 4, 4)), units=["ms", "um", "um"], scale=[100, 1, 0.5])
    moved = transform_points(source, target, [[0.2, 3000, 1000]])
    np.testing.assert_allclose(moved, [[2, 3, 2]])
    assert units_note(source, target) is None


def test_pixels_and_micrometres_are_taken_as_they_are(viewer):
    image = viewer.add_image(np.zeros((20, 30)), units="um", scale=[2, 2], name="cells")
    points = viewer.add_points([[8, 10]], name="clicks")
    assert viewer.dims.units is None
    view = plane_of(viewer, image)
    xy, on_plane = points_to_plane(points, image, view, points.data)
    np.testing.assert_allclose(xy, [[5, 4]])
    assert on_plane.all()
    note = units_note(points, image)
    assert note is not None
    assert "'clicks' is in pixel and 'cells' in micrometer" in note


def test_nothing_is_scaled_by_units_when_napari_does_not(viewer):
    """One layer in pixels makes the canvas ignore the units of all."""
    image = viewer.add_image(np.zeros((20, 30)), units="um")
    points = viewer.add_points([[3, 4]], units="nm")
    view = plane_of(viewer, image)
    assert points_to_plane(points, image, view, points.data)[0][0, 0] == pytest.approx(4e-3)
    viewer.add_points(ndim=2)
    view = plane_of(viewer, image)
    assert points_to_plane(points, image, view, points.data)[0][0, 0] == pytest.approx(4)


def test_units_chosen_for_the_viewer_move_the_cursor(viewer):
    image = viewer.add_image(np.zeros((5, 20, 30)), units="um", scale=[2, 1, 1])
    viewer.layers.units = ("nm", "nm", "nm")
    viewer.dims.current_step = (3, 0, 0)
    view = plane_of(viewer, image)
    assert view.index == (3,)
    assert cursor_to_plane(image, view, (6000, 4000, 7000)) == pytest.approx((7, 4))


@pytest.mark.parametrize(
    ("order", "axes", "others"),
    [
        pytest.param((0, 1, 2), (1, 2), (0,), id="as it is"),
        pytest.param((0, 2, 1), (1, 2), (0,), id="transposed"),
        pytest.param((2, 0, 1), (0, 1), (2,), id="rolled"),
        pytest.param((1, 2, 0), (0, 2), (1,), id="rolled and transposed"),
    ],
)
@pytest.mark.parametrize("ndisplay", [2, 3])
def test_planes_stay_in_array_order(viewer, order, axes, others, ndisplay):
    image = viewer.add_image(np.zeros((4, 5, 6)))
    viewer.dims.ndisplay = ndisplay
    viewer.dims.order = order
    viewer.dims.current_step = (3, 2, 1)
    view = plane_of(viewer, image)
    assert view.axes == axes
    assert view.index == tuple((3, 2, 1)[axis] for axis in others)
    assert view.other_axes(3) == others


def test_rotation_in_the_plane_and_shear(viewer):
    image = viewer.add_image(
        np.zeros((4, 20, 30)), rotate=[0, 0, 30], shear=[0, 0, 0.2], scale=[3, 1, 2]
    )
    viewer.dims.current_step = (2, 0, 0)
    view = plane_of(viewer, image)
    world = image.data_to_world((2, 11, 13))
    assert view.index == (2,)
    assert cursor_to_plane(image, view, world) == pytest.approx((13, 11))
    points = viewer.add_points([world, (0, 0, 0)])
    xy, on_plane = points_to_plane(points, image, view, points.data)
    np.testing.assert_allclose(xy[0], [13, 11])
    np.testing.assert_array_equal(on_plane, [True, False])


def test_sliders_outside_the_image_clamp_and_say_so(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)))
    viewer.add_image(np.zeros((9, 20, 30)))
    viewer.dims.current_step = (7, 0, 0)
    view = plane_of(viewer, image)
    assert view.index == (3,)
    assert not view.in_range


def test_rgb_samples_are_no_axis(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30, 3), dtype=np.uint8), rgb=True)
    viewer.dims.current_step = (1, 0, 0)
    view = plane_of(viewer, image)
    assert view.axes == (1, 2)
    assert view.index == (1,)
    assert plane_shape(image, view) == (20, 30)


def test_flat_points_lie_on_every_plane(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)))
    points = viewer.add_points([[5, 6]])
    for step in range(4):
        viewer.dims.current_step = (step, 0, 0)
        xy, on_plane = points_to_plane(points, image, plane_of(viewer, image), points.data)
        np.testing.assert_allclose(xy, [[6, 5]])
        assert on_plane.all()


def test_stacked_points_on_a_flat_image_count_where_the_slider_is(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    points = viewer.add_points([[0, 5, 6], [2, 7, 8]], scale=[4, 1, 1])
    viewer.dims.point = (8, 0, 0)
    _, on_plane = points_to_plane(points, image, plane_of(viewer, image), points.data)
    np.testing.assert_array_equal(on_plane, [False, True])


def test_a_point_between_planes_lies_on_one(viewer):
    image = viewer.add_image(np.zeros((4, 20, 30)), scale=[0.3, 1, 1])
    points = viewer.add_points([[0.45, 5, 6]])
    seen = []
    for step in range(4):
        viewer.dims.set_current_step(0, step)
        view = plane_of(viewer, image)
        seen.append(bool(points_to_plane(points, image, view, points.data)[1][0]))
    assert sum(seen) == 1


def test_channels_do_not_separate_points(viewer):
    image = viewer.add_image(np.zeros((3, 4, 20, 30)))
    points = viewer.add_points([[0, 2, 5, 6], [1, 2, 7, 8], [1, 3, 7, 8]])
    viewer.dims.current_step = (2, 2, 0, 0)
    view = plane_of(viewer, image, channel_axis=0)
    assert view.index == (2,)
    assert view.channel_axis == 0
    _, on_plane = points_to_plane(points, image, view, points.data)
    np.testing.assert_array_equal(on_plane, [True, True, False])
    there = plane_to_layer(image, points, view, [[6, 5]])
    np.testing.assert_allclose(there, [[2, 2, 5, 6]])


@pytest.mark.parametrize(
    ("channel_axis", "message"),
    [
        pytest.param(3, "there is no axis 3", id="missing"),
        pytest.param(2, "is shown as part of the plane", id="on screen"),
    ],
)
def test_channel_axes_that_cannot_be(viewer, channel_axis, message):
    image = viewer.add_image(np.zeros((3, 20, 30)))
    with pytest.raises(ImageError, match=message):
        plane_of(viewer, image, channel_axis=channel_axis)


def test_views_compare_by_plane_only():
    first = PlaneView((1, 2), (3,), world_point=(3.0, 0.0, 0.0))
    second = PlaneView((1, 2), (3,), world_point=(3.0, 5.0, 5.0))
    assert first == second
    assert hash(first) == hash(second)
    assert first != PlaneView((1, 2), (4,))


def test_no_points_give_no_pixels(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    points = Points(ndim=2)
    xy, on_plane = points_to_plane(points, image, plane_of(viewer, image), points.data)
    assert xy.shape == (0, 2)
    assert on_plane.shape == (0,)


def test_multiscale_planes_have_full_resolution(viewer):
    image = viewer.add_image(
        [np.zeros((4, 40, 60)), np.zeros((4, 20, 30))], multiscale=True
    )
    viewer.dims.current_step = (2, 0, 0)
    view = plane_of(viewer, image)
    assert plane_shape(image, view) == (40, 60)
    assert view.index == (2,)


def test_labels_agree_with_the_pixel_under_the_cursor(viewer):
    """napari's own look-up of the value under the cursor is the judge."""
    data = np.arange(4 * 20 * 30, dtype=np.uint16).reshape(4, 20, 30)
    labels = Labels(data, scale=[2.5, 0.3, 0.7], translate=[-4, 100, 7])
    viewer.add_layer(labels)
    viewer.dims.order = (1, 2, 0)
    viewer.dims.current_step = (1, 13, 22)
    view = plane_of(viewer, labels)
    for position in [(1.0, 103.9, 22.4), (-1.49, 103.9, 7.3), (3.6, 103.9, 27.6)]:
        x, y = cursor_to_plane(labels, view, position)
        row, column = round(y), round(x)
        assert view.axes == (0, 2)
        value = labels.get_value(position, world=True)
        assert data[row, view.index[0], column] == value
