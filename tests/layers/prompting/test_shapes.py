"""Shapes that are no boxes: masks and lines."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.rle import decode
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.images import Pixels
from napari_cellprompt.layers.prompting.drawn import Drawing, read_objects
from napari_cellprompt.layers.prompting.prompts import (
    NEGATIVE,
    POLARITY,
    POSITIVE,
    add_boxes_layer,
    add_points_layer,
    set_signs,
)
from napari_cellprompt.layers.prompting.resolve import resolve
from napari_cellprompt.layers.prompting.shapes import read_shapes, shapes_note

SCALED = {"scale": [3, 0.5, 0.25], "translate": [10, -20, 30]}


@pytest.fixture
def image(viewer):
    layer = viewer.add_image(np.zeros((4, 40, 60)), name="cells", **SCALED)
    viewer.dims.current_step = (2, 0, 0)
    return layer


@pytest.fixture
def points(viewer, image):
    return add_points_layer(viewer, image)


@pytest.fixture
def boxes(viewer, image):
    return add_boxes_layer(viewer, image)


def corners(y0, x0, y1, x1, plane=2):
    return [[plane, y0, x0], [plane, y0, x1], [plane, y1, x1], [plane, y1, x0]]


TRIANGLE = [[2, 4, 4], [2, 4, 24], [2, 24, 4]]


def click(points, position, polarity=POSITIVE):
    points.feature_defaults = {POLARITY: polarity}
    points.add(position)


def test_an_ellipse_is_a_mask_of_its_interior(viewer, image, boxes):
    boxes.add(corners(9.7, 9.7, 30.3, 50.3), shape_type="ellipse")
    [drawn] = read_objects(None, boxes, image, plane_of(viewer, image))
    assert drawn.prompts.box is None
    mask = decode(drawn.prompts.mask)
    y, x = np.mgrid[:40, :60]
    inside = ((y - 20) / 10.3) ** 2 + ((x - 30) / 20.3) ** 2 <= 1
    np.testing.assert_array_equal(mask, inside)


@pytest.mark.parametrize("kind", ["polygon"])
def test_a_polygon_is_a_mask_of_its_interior_and_not_of_its_box(viewer, image, boxes, kind):
    boxes.add(TRIANGLE, shape_type=kind)
    [drawn] = read_objects(None, boxes, image, plane_of(viewer, image))
    mask = decode(drawn.prompts.mask)
    assert mask[6, 6]
    assert not mask[22, 22]
    assert np.count_nonzero(mask) == pytest.approx(200, abs=25)


def test_a_shapes_layer_that_is_scaled_moved_and_turned(viewer):
    image = viewer.add_image(np.zeros((40, 60)), scale=[0.5, 0.25], translate=[3, -7])
    shapes = viewer.add_shapes(
        ndim=2, scale=[0.1, 0.2], translate=[5, 1], rotate=30, name="own"
    )
    world = np.array([[8, -4], [8, 4], [14, 4], [14, -4]], dtype=float)
    shapes.add([shapes.world_to_data(w) for w in world], shape_type="polygon")
    [drawn] = read_objects(None, shapes, image, plane_of(viewer, image))
    mask = decode(drawn.prompts.mask)
    y, x = np.mgrid[:40, :60]
    wy, wx = y * 0.5 + 3, x * 0.25 - 7
    inside = (wy > 8) & (wy < 14) & (wx > -4) & (wx < 4)
    border = (
        (np.abs(wy - 8) < 1e-6) | (np.abs(wy - 14) < 1e-6) | (np.abs(np.abs(wx) - 4) < 1e-6)
    )
    np.testing.assert_array_equal(mask[~border], inside[~border])


def test_a_turned_rectangle_is_the_pixels_inside(viewer, image, boxes):
    boxes.add([[2, 5, 20], [2, 20, 35], [2, 35, 20], [2, 20, 5]], shape_type="rectangle")
    [drawn] = read_objects(None, boxes, image, plane_of(viewer, image))
    assert drawn.prompts.box is None
    mask = decode(drawn.prompts.mask)
    assert mask[20, 20]
    assert not mask[7, 7]


def test_several_shapes_of_all_kinds_are_as_many_objects(viewer, image, points, boxes):
    boxes.add(corners(2, 2, 10, 12), shape_type="rectangle")
    boxes.add(corners(2, 20, 12, 34), shape_type="ellipse")
    boxes.add([[2, 20, 4], [2, 20, 14], [2, 34, 9]], shape_type="polygon")
    click(points, [2, 7, 27])
    click(points, [2, 3, 3], NEGATIVE)
    objects = read_objects(points, boxes, image, plane_of(viewer, image))
    assert [one.prompts.mask is None for one in objects] == [True, False, False]
    assert [one.shapes for one in objects] == [(0,), (1,), (2,)]
    assert [one.prompts.labels for one in objects] == [(0,), (1,), ()]


def test_lines_are_strokes_of_the_object(viewer, image, points, boxes):
    boxes.add([[2, 5, 5], [2, 5, 15]], shape_type="line")
    boxes.add([[2, 20, 5], [2, 25, 9], [2, 22, 14]], shape_type="path")
    set_signs(boxes, [1, 0])
    click(points, [2, 6, 6])
    [drawn] = read_objects(points, boxes, image, plane_of(viewer, image))
    (first, second) = drawn.prompts.strokes
    np.testing.assert_allclose(first[0], [(5, 5), (15, 5)])
    np.testing.assert_allclose(second[0], [(5, 20), (9, 25), (14, 22)])
    assert (first[1], second[1]) == (1, 0)
    assert drawn.shapes == (0, 1)
    assert drawn.points == (0,)


def test_lines_go_with_the_shape_that_they_lie_in(viewer, image, boxes):
    boxes.add(corners(2, 2, 14, 20), shape_type="rectangle")
    boxes.add(corners(2, 30, 14, 50), shape_type="ellipse")
    boxes.add([[2, 6, 35], [2, 8, 38], [2, 8, 42]], shape_type="path")
    objects = read_objects(None, boxes, image, plane_of(viewer, image))
    assert [len(one.prompts.strokes) for one in objects] == [0, 1]
    assert objects[1].shapes == (2, 1)


def test_background_lines_alone_are_not_enough(viewer, image, boxes):
    boxes.add([[2, 5, 5], [2, 5, 15]], shape_type="line")
    set_signs(boxes, [0])
    with pytest.raises(PromptError, match="only negative"):
        read_objects(None, boxes, image, plane_of(viewer, image))


def test_a_line_is_cut_at_the_border_of_the_image(viewer, image, boxes):
    boxes.add([[2, 5, 50], [2, 5, 90]], shape_type="line")
    [drawn] = read_objects(None, boxes, image, plane_of(viewer, image))
    xs = [x for x, _ in drawn.prompts.strokes[0][0]]
    assert min(xs) == pytest.approx(50)
    assert 58 <= max(xs) < 59.5


def test_what_is_outside_is_told(viewer, image, boxes):
    boxes.add([[2, 5, 70], [2, 5, 90]], shape_type="line")
    with pytest.raises(PromptError, match="outside 'cells'"):
        read_objects(None, boxes, image, plane_of(viewer, image))


def test_each_point_is_an_object_and_negative_ones_count_for_all(
    viewer, image, points, boxes
):
    click(points, [2, 5, 5])
    click(points, [2, 9, 30], NEGATIVE)
    click(points, [2, 20, 40])
    boxes.add([[2, 30, 5], [2, 30, 15]], shape_type="line")
    view = plane_of(viewer, image)
    objects = read_objects(points, boxes, image, view, one_per_point=True)
    assert [one.prompts.labels for one in objects] == [(1, 0), (0, 1), (0,)]
    assert [len(one.prompts.strokes) for one in objects] == [0, 0, 1]
    assert len(read_objects(points, boxes, image, view)) == 1


def test_each_point_outside_of_a_shape_is_an_object(viewer, image, points, boxes):
    boxes.add(corners(2, 2, 14, 20), shape_type="rectangle")
    click(points, [2, 5, 5])
    click(points, [2, 30, 40])
    click(points, [2, 30, 50], NEGATIVE)
    objects = read_objects(
        points, boxes, image, plane_of(viewer, image), one_per_point=True
    )
    assert [one.prompts.labels for one in objects] == [(1, 0), (1, 0)]
    assert objects[0].prompts.box is not None


def test_the_note_says_how_each_shape_counts(viewer, image, boxes):
    def note():
        return shapes_note(read_shapes(boxes, image, plane_of(viewer, image)))

    boxes.add(corners(2, 2, 10, 12), shape_type="rectangle")
    assert note() == ""
    boxes.add(corners(2, 20, 12, 34), shape_type="ellipse")
    assert note() == "Ellipse: counts by the pixels inside."
    boxes.add(TRIANGLE, shape_type="polygon")
    boxes.add([[2, 5, 5], [2, 5, 15]], shape_type="line")
    boxes.add(corners(3, 3, 3, 3), shape_type="rectangle")
    set_signs(boxes, [1, 1, 1, 0, 1])
    assert note() == (
        "Ellipse, polygon: count by the pixels inside. The line marks background. "
        "1 shape is too thin to count."
    )
    boxes.add(corners(2, 120, 12, 134), shape_type="ellipse")
    assert note().endswith("1 shape lies outside the image.")


def test_signs_of_lines_come_back_with_the_drawing(image, points, boxes):
    boxes.add([[2, 5, 5], [2, 5, 15]], shape_type="line")
    boxes.add([[2, 9, 5], [2, 9, 15]], shape_type="line")
    set_signs(boxes, [1, 0])
    before = Drawing.of(points, boxes)
    assert before.signs == (1, 0)
    set_signs(boxes, [1, 1])
    assert not Drawing.of(points, boxes).same(before)
    boxes.selected_data = {0, 1}
    boxes.remove_selected()
    before.put(points, boxes)
    assert Drawing.of(points, boxes).same(before)
    red, yellow = boxes.edge_color[1], boxes.edge_color[0]
    assert yellow[1] > red[1]


def test_prompts_on_other_planes_stay_and_count_there(viewer, image, points, boxes):
    click(points, [1, 5, 5])
    click(points, [2, 9, 9])
    boxes.add([[0, 5, 5], [0, 5, 15]], shape_type="line")
    boxes.add(corners(2, 20, 12, 34, plane=3), shape_type="ellipse")

    def objects():
        state = resolve(
            viewer,
            image=image,
            points=points,
            boxes=boxes,
            labels=None,
            pixels=Pixels("one"),
        )
        return state.objects

    seen = []
    for plane in range(4):
        viewer.dims.current_step = (plane, 0, 0)
        [one] = objects()
        seen.append((len(one.points), len(one.strokes), one.mask is not None))
    assert seen == [(0, 1, False), (1, 0, False), (1, 0, False), (0, 0, True)]
    assert len(points.data) == 2
    assert len(boxes.data) == 2
