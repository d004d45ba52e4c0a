from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.prompting.drawn import read_objects
from napari_cellprompt.layers.prompting.prompts import (
    NEGATIVE,
    POLARITY,
    POSITIVE,
    add_boxes_layer,
    add_labels_layer,
    add_points_layer,
    read_box,
    read_points,
)

TRANSFORM = {
    "scale": [3, 0.5, 0.25],
    "translate": [10, -20, 30],
    "units": ["um", "um", "um"],
    "axis_labels": ["z", "y", "x"],
}


@pytest.fixture
def image(viewer):
    layer = viewer.add_image(np.zeros((4, 20, 30)), name="cells", **TRANSFORM)
    viewer.dims.current_step = (2, 0, 0)
    return layer


@pytest.fixture
def points(viewer, image):
    return add_points_layer(viewer, image)


@pytest.fixture
def boxes(viewer, image):
    return add_boxes_layer(viewer, image)


def click(points, position, polarity=POSITIVE):
    points.feature_defaults = {POLARITY: polarity}
    points.add(position)


def rectangle(y0, x0, y1, x1, plane=2):
    return [[plane, y0, x0], [plane, y0, x1], [plane, y1, x1], [plane, y1, x0]]


def read_prompts(points, boxes, image, view):
    """What is said about the one object that is drawn on a plane."""
    objects = read_objects(points, boxes, image, view)
    assert len(objects) < 2
    return objects[0].prompts if objects else Prompts()


def test_points_of_the_plane_with_their_signs(viewer, image, points):
    click(points, [2, 5, 6])
    click(points, [1, 1, 1])
    click(points, [2.4, 7, 8], NEGATIVE)
    view = plane_of(viewer, image)
    xy, labels = read_points(points, image, view)
    assert xy == [pytest.approx((6, 5)), pytest.approx((8, 7))]
    assert labels == [1, 0]
    prompts = read_prompts(points, None, image, view)
    assert np.asarray(prompts.points) == pytest.approx(np.asarray([[6, 5], [8, 7]]))
    assert prompts.labels == (1, 0)


def test_colours_follow_the_sign_whichever_comes_first(points):
    click(points, [2, 5, 6], NEGATIVE)
    click(points, [2, 5, 6], POSITIVE)
    red, green = points.face_color[:, :3]
    assert red[0] > red[1]
    assert green[1] > green[0]


def test_the_sign_of_a_point_can_be_changed_later(viewer, image, points):
    click(points, [2, 5, 6])
    click(points, [2, 7, 6])
    features = points.features.copy()
    features.loc[1, POLARITY] = NEGATIVE
    points.features = features
    _, labels = read_points(points, image, plane_of(viewer, image))
    assert labels == [1, 0]


def test_points_without_a_sign_are_positive(viewer, image):
    points = viewer.add_points([[5, 6]], scale=[0.5, 0.25], translate=[-20, 30])
    xy, labels = read_points(points, image, plane_of(viewer, image))
    assert labels == [1]
    assert xy[0] == pytest.approx((6, 5))


def test_nothing_drawn_is_nothing_asked(viewer, image, points, boxes):
    view = plane_of(viewer, image)
    assert read_prompts(points, boxes, image, view) == Prompts()
    assert read_prompts(None, None, image, view).is_empty


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon", "path"])
def test_a_shape_around_one_pixel_is_the_box_of_that_pixel(viewer, image, boxes, kind):
    """The example of the box convention: the pixel at x = 3, y = 5."""
    boxes.add(rectangle(4.5, 2.5, 5.5, 3.5), shape_type=kind)
    box = read_box(boxes, image, plane_of(viewer, image))
    assert box == pytest.approx((3, 5, 4, 6))


def test_the_last_box_of_the_plane_counts(viewer, image, boxes):
    boxes.add_rectangles(rectangle(1, 1, 5, 5))
    boxes.add_rectangles(rectangle(2, 3, 8, 9))
    boxes.add_rectangles(rectangle(1, 1, 9, 9, plane=1))
    box = read_box(boxes, image, plane_of(viewer, image))
    assert box == pytest.approx((3.5, 2.5, 9.5, 8.5))


def test_turned_rectangles_give_the_box_around_them(viewer, image, boxes):
    diamond = [[2, 5, 10], [2, 10, 15], [2, 15, 10], [2, 10, 5]]
    boxes.add(diamond, shape_type="rectangle")
    box = read_box(boxes, image, plane_of(viewer, image))
    assert box == pytest.approx((5.5, 5.5, 15.5, 15.5))


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        pytest.param(rectangle(5, 5, 5, 5), "rectangle", id="click without drag"),
        pytest.param([[2, 1, 1], [2, 9, 9]], "line", id="line"),
    ],
)
def test_shapes_that_are_no_boxes(viewer, image, boxes, shape, kind):
    boxes.add_rectangles(rectangle(2, 3, 8, 9))
    boxes.add(shape, shape_type=kind)
    box = read_box(boxes, image, plane_of(viewer, image))
    assert box == pytest.approx((3.5, 2.5, 9.5, 8.5))


def test_boxes_are_cut_at_the_border(viewer, image, boxes):
    boxes.add_rectangles(rectangle(-5, 20, 8, 99))
    prompts = read_prompts(None, boxes, image, plane_of(viewer, image))
    assert prompts.box == pytest.approx((20.5, 0, 30, 8.5))


def test_points_outside_are_left_out_when_others_are_inside(viewer, image, points):
    click(points, [2, 5, 6])
    click(points, [2, 5, 60])
    click(points, [2, -0.4, 29.4])
    prompts = read_prompts(points, None, image, plane_of(viewer, image))
    np.testing.assert_allclose(prompts.points, [[6, 5], [29, 0]], atol=1e-9)


@pytest.mark.parametrize(
    ("clicks", "drawn", "message"),
    [
        pytest.param([[2, 5, 60]], [], "The point lies outside 'cells'", id="point"),
        pytest.param([], [(25, 1, 30, 5)], "The box lies outside 'cells'", id="box"),
        pytest.param(
            [[2, 5, 60], [2, -9, 0]], [], "The prompts lie outside 'cells'", id="points"
        ),
    ],
)
def test_prompts_outside_the_image(viewer, image, points, boxes, clicks, drawn, message):
    for position in clicks:
        click(points, position)
    for corners in drawn:
        boxes.add_rectangles(rectangle(*corners))
    with pytest.raises(PromptError, match=message) as error:
        read_prompts(points, boxes, image, plane_of(viewer, image))
    assert "30 x 20 pixels" in str(error.value)


def test_negative_points_alone_are_not_enough(viewer, image, points, boxes):
    click(points, [2, 5, 6], NEGATIVE)
    view = plane_of(viewer, image)
    with pytest.raises(PromptError, match="only negative points"):
        read_prompts(points, boxes, image, view)
    boxes.add_rectangles(rectangle(2, 3, 8, 9))
    assert read_prompts(points, boxes, image, view).labels == (0,)


def test_new_layers_lie_on_the_image(viewer, image, points, boxes):
    labels = add_labels_layer(viewer, image)
    assert labels.data.shape == (4, 20, 30)
    assert labels.data.dtype == np.uint16
    np.testing.assert_allclose(labels.extent.world, image.extent.world)
    for layer in (points, boxes, labels):
        assert layer.ndim == 3
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        np.testing.assert_allclose(
            layer.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3))
        )


def test_layers_for_a_leading_channel_axis(viewer):
    image = viewer.add_image(np.zeros((3, 4, 20, 30)), scale=[1, 3, 0.5, 0.5])
    labels = add_labels_layer(viewer, image, channel_axis=0)
    assert labels.data.shape == (4, 20, 30)
    np.testing.assert_allclose(labels.scale, [3, 0.5, 0.5])


def test_layers_for_a_channel_axis_inside_show_on_every_channel(viewer):
    image = viewer.add_image(np.zeros((4, 3, 20, 30)), scale=[3, 1, 0.5, 0.5])
    labels = add_labels_layer(viewer, image, channel_axis=1)
    assert labels.data.shape == (4, 1, 20, 30)
    labels.data[2, 0, 5, 6] = 7
    for channel in range(3):
        viewer.dims.current_step = (2, channel, 0, 0)
        world = image.data_to_world((2, channel, 5, 6))
        assert labels.get_value(world, world=True) == 7
    # One pixel is as thick as all channels, so only its centre differs.
    np.testing.assert_allclose(
        labels.extent.world[:, [0, 2, 3]], image.extent.world[:, [0, 2, 3]]
    )


def test_labels_of_colour_and_multiscale_images(viewer):
    colour = viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    assert add_labels_layer(viewer, colour).data.shape == (20, 30)
    levels = viewer.add_image([np.zeros((20, 30)), np.zeros((10, 15))], multiscale=True)
    layer = add_labels_layer(viewer, levels)
    assert layer.data.shape == (20, 30)
    assert not layer.multiscale
