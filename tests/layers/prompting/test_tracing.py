"""Objects of Labels layers, drawn as shapes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.filled import fill_polygon
from napari_cellprompt.core.masks.rle import decode, encode
from napari_cellprompt.core.types import CroppedMask, Prompts
from napari_cellprompt.layers.coordinates import plane_of, plane_to_layer
from napari_cellprompt.layers.prompting.drawn import Drawing, read_objects
from napari_cellprompt.layers.prompting.prompts import (
    add_boxes_layer,
    add_points_layer,
    set_signs,
)
from napari_cellprompt.layers.prompting.tracing import (
    add_shapes,
    labels_of_plane,
    object_outline,
    outline_of,
)
from napari_cellprompt.layers.saved import drawing_entry, drawing_of


@pytest.mark.parametrize("seed", range(12))
def test_inside_the_outline_is_the_object_with_holes_and_parts(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((14, 17)) < rng.uniform(0.2, 0.95)
    outline = outline_of(CroppedMask(mask, (3, 5), (30, 40)))
    expected = np.zeros((30, 40), bool)
    expected[3:17, 5:22] = mask
    np.testing.assert_array_equal(fill_polygon(outline, (30, 40)).to_plane(), expected)


def test_the_drawn_object_is_a_mask_prompt_of_its_pixels(viewer):
    scale = {"scale": [3, 0.5, 0.25], "translate": [1, 2, 3]}
    image = viewer.add_image(np.zeros((4, 40, 60)), **scale)
    data = np.zeros((4, 40, 60), np.int32)
    data[2, 5:20, 10:30] = 8
    data[2, 9:12, 15:20] = 0
    labels = viewer.add_labels(data, **scale)
    viewer.dims.current_step = (2, 0, 0)
    view = plane_of(viewer, image)
    boxes = add_boxes_layer(viewer, image)
    plane = labels_of_plane(labels, image, view)
    outline = object_outline(plane, 8, labels.name)
    corners = plane_to_layer(image, boxes, view, outline)
    boxes.add([corners], shape_type="polygon")
    [drawn] = read_objects(None, boxes, image, view)
    np.testing.assert_array_equal(decode(drawn.prompts.mask), data[2] == 8)
    with pytest.raises(PromptError, match="no object 9 on this plane"):
        object_outline(plane, 9, "cells")
    with pytest.raises(PromptError, match="no object 0"):
        object_outline(plane, 0, "cells")


def test_labels_that_are_a_part_of_the_image(viewer):
    image = viewer.add_image(np.zeros((40, 60)))
    labels = viewer.add_labels(np.ones((10, 12), np.uint8), translate=(35, -4))
    plane = labels_of_plane(labels, image, plane_of(viewer, image))
    expected = np.zeros((40, 60), np.uint8)
    expected[35:, :8] = 1
    np.testing.assert_array_equal(plane, expected)
    other = viewer.add_labels(np.ones((10, 12), np.uint8), scale=(2, 2))
    with pytest.raises(PromptError, match="do not lie on those of"):
        labels_of_plane(other, image, plane_of(viewer, image))


def test_prompts_are_drawn_again_as_they_were(viewer):
    image = viewer.add_image(np.zeros((4, 40, 60)), scale=[3, 0.5, 0.25])
    viewer.dims.current_step = (2, 0, 0)
    view = plane_of(viewer, image)
    boxes = add_boxes_layer(viewer, image)
    y, x = np.mgrid[:40, :60]
    ring = ((y - 20) ** 2 + (x - 30) ** 2 < 150) & ((y - 20) ** 2 + (x - 30) ** 2 > 20)
    path = ((5.0, 5.0), (9.0, 7.0), (12.0, 5.0))
    prompts = Prompts(mask=encode(ring), strokes=((path, 1), (path[:2], 0)))
    add_shapes(boxes, image, view, prompts)
    assert list(boxes.shape_type) == ["polygon", "path", "line"]
    [drawn] = read_objects(None, boxes, image, view)
    assert drawn.prompts.mask == prompts.mask
    for read, given in zip(drawn.prompts.strokes, prompts.strokes, strict=True):
        np.testing.assert_allclose(read[0], given[0])
        assert read[1] == given[1]


def test_signs_of_lines_are_kept_in_sessions(viewer):
    image = viewer.add_image(np.zeros((40, 60)))
    boxes = add_boxes_layer(viewer, image)
    boxes.add([[[5, 5], [5, 15]], [[9, 5], [9, 15]]], shape_type="line")
    set_signs(boxes, [0, 1])
    points = add_points_layer(viewer, image)
    before = Drawing.of(points, boxes)
    kept = drawing_of(drawing_entry(before))
    assert kept.signs == (0, 1)
    boxes.selected_data = {0, 1}
    boxes.remove_selected()
    kept.put(points, boxes)
    assert Drawing.of(points, boxes).signs == (0, 1)
    set_signs(boxes, [1, 1])
    assert drawing_of(drawing_entry(Drawing.of(None, boxes))).signs == (1, 1)
