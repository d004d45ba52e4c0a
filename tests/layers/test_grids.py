from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels
from tests.between_layers import transform_points

from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.grids import GridMatch, layer_kwargs, match_grid

SHAPE = (4, 20, 30)


@settings(max_examples=40, deadline=None)
@given(
    scale=st.tuples(*[st.floats(0.05, 10)] * 3),
    translate=st.tuples(*[st.floats(-200, 200)] * 3),
    angle=st.floats(-80, 80),
    shear=st.floats(-0.5, 0.5),
    origin=st.tuples(*[st.integers(0, 3)] * 3),
    turned=st.booleans(),
)
def test_a_window_of_an_image_lands_on_its_pixels(
    scale, translate, angle, shear, origin, turned
):
    affine = np.eye(4)
    if turned:
        # In the plane, so that planes of the image stay planes of the world.
        affine[1:3, 1:3] = [[0.6, -0.8], [0.8, 0.6]]
        affine[:3, 3] = [5, -7, 11]
    image = Image(
        np.zeros(SHAPE),
        scale=scale,
        translate=translate,
        rotate=[0, 0, angle],
        shear=[0, 0, shear],
        affine=affine,
        units=["um", "nm", "nm"],
        axis_labels=["z", "y", "x"],
    )
    layer = Labels(np.zeros((1, 5, 6), np.uint8), **layer_kwargs(image, origin=origin))
    pixels = np.asarray([[0, 0, 0], [0, 4, 5]])
    np.testing.assert_allclose(
        transform_points(layer, image, pixels), pixels + np.asarray(origin), atol=1e-6
    )
    assert layer.units == image.units
    assert layer.axis_labels == image.axis_labels


def test_the_whole_image_has_the_same_extent():
    image = Image(np.zeros(SHAPE), scale=[3, 0.5, 0.25], translate=[1, 2, 3], units="um")
    layer = Labels(np.zeros(SHAPE, np.uint8), **layer_kwargs(image))
    np.testing.assert_allclose(layer.extent.world, image.extent.world)


def test_a_thick_pixel_covers_what_it_spans():
    image = Image(np.zeros((3, *SHAPE)), scale=[2, 3, 1, 1], translate=[5, 0, 0, 0])
    layer = Labels(
        np.zeros((1, *SHAPE), np.uint8), **layer_kwargs(image, span=[3, 1, 1, 1])
    )
    np.testing.assert_allclose(
        transform_points(image, layer, [[0, 1, 2, 3], [2, 1, 2, 3]]),
        [[-1 / 3, 1, 2, 3], [1 / 3, 1, 2, 3]],
        atol=1e-12,
    )


def test_a_leading_axis_can_be_dropped():
    image = Image(
        np.zeros((3, *SHAPE)),
        scale=[1, 3, 0.5, 0.5],
        translate=[0, 1, 2, 3],
        axis_labels=["c", "z", "y", "x"],
    )
    kwargs = layer_kwargs(image, drop=(0,))
    layer = Labels(np.zeros(SHAPE, np.uint8), **kwargs)
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(
        transform_points(layer, image, [[1, 2, 3]])[:, 1:], [[1, 2, 3]]
    )


def add_pair(viewer, shape, labels_shape, image_kwargs=None, labels_kwargs=None):
    image = viewer.add_image(np.zeros(shape), name="image", **(image_kwargs or {}))
    labels = viewer.add_labels(
        np.zeros(labels_shape, np.uint16), name="labels", **(labels_kwargs or {})
    )
    return image, labels


@pytest.mark.parametrize(
    ("labels_shape", "labels_kwargs", "expected"),
    [
        pytest.param(SHAPE, {}, GridMatch((1, 2), {0: 2}, (0, 0)), id="same"),
        pytest.param(
            (2, 8, 9),
            {"translate": [2, 5, 7]},
            GridMatch((1, 2), {0: 0}, (-5, -7)),
            id="crop",
        ),
        pytest.param(
            SHAPE,
            {"scale": [1, 1, 1.001]},
            GridMatch((1, 2), {0: 2}, (0, 0)),
            id="rounded scale",
        ),
        pytest.param(
            (5, *SHAPE), {}, GridMatch((2, 3), {0: 3, 1: 2}, (0, 0)), id="more axes"
        ),
    ],
)
def test_grids_that_match(viewer, labels_shape, labels_kwargs, expected):
    image, labels = add_pair(viewer, SHAPE, labels_shape, labels_kwargs=labels_kwargs)
    viewer.dims.point = (*(3,) * (len(labels_shape) - 3), 2, 0, 0)
    assert match_grid(image, labels, plane_of(viewer, image)) == expected


@pytest.mark.parametrize(
    ("labels_shape", "labels_kwargs", "message"),
    [
        pytest.param((20, 30), {}, "would fill several planes", id="flat"),
        pytest.param(SHAPE, {"scale": [1, 2, 2]}, "do not lie on", id="scale"),
        pytest.param(SHAPE, {"scale": [3, 1, 1]}, "do not lie on", id="plane distance"),
        pytest.param(SHAPE, {"rotate": [0, 0, 9]}, "do not lie on", id="rotated"),
        pytest.param(SHAPE, {"translate": [0, 0, 0.5]}, "do not lie on", id="half pixel"),
        pytest.param((2, 20, 30), {}, "does not reach the plane", id="fewer planes"),
    ],
)
def test_grids_that_do_not_match(viewer, labels_shape, labels_kwargs, message):
    image, labels = add_pair(viewer, SHAPE, labels_shape, labels_kwargs=labels_kwargs)
    viewer.dims.point = (3, 0, 0)
    answer = match_grid(image, labels, plane_of(viewer, image))
    assert isinstance(answer, str)
    assert message in answer


@pytest.mark.parametrize(
    ("labels_kwargs", "matches"),
    [
        pytest.param({"units": "nm", "scale": [2000, 500, 500]}, True, id="converted"),
        pytest.param({"units": "nm", "scale": [2, 0.5, 0.5]}, False, id="1000 x off"),
    ],
)
def test_units_count(viewer, labels_kwargs, matches):
    image, labels = add_pair(
        viewer, SHAPE, SHAPE, {"units": "um", "scale": [2, 0.5, 0.5]}, labels_kwargs
    )
    answer = match_grid(image, labels, plane_of(viewer, image))
    assert isinstance(answer, GridMatch) == matches


def test_channels_inside_follow_the_slider_in_a_full_labels_layer(viewer):
    image, labels = add_pair(viewer, (4, 3, 20, 30), (4, 3, 20, 30))
    viewer.dims.current_step = (1, 2, 0, 0)
    view = plane_of(viewer, image, channel_axis=1)
    assert match_grid(image, labels, view) == GridMatch((2, 3), {0: 1, 1: 2}, (0, 0))
