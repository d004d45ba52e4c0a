from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Labels

from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.layers.coordinates import plane_of, plane_shape
from napari_cellprompt.layers.labels.commit import (
    LabelIds,
    LabelsError,
    commit,
    max_label,
    needs_widening,
    widen,
    widening_note,
)
from napari_cellprompt.layers.prompting.prompts import add_labels_layer

SHAPE = (4, 20, 30)


@pytest.fixture
def image(viewer):
    layer = viewer.add_image(np.zeros(SHAPE), name="cells", scale=[3, 0.5, 0.5])
    viewer.dims.current_step = (2, 0, 0)
    return layer


@pytest.fixture
def labels(viewer, image):
    return add_labels_layer(viewer, image)


def test_an_object_is_written_on_its_plane_only(viewer, image, labels, make_mask):
    result = commit(labels, make_mask(3, 8, 4, 10), plane_of(viewer, image), 5, image=image)
    expected = np.zeros(SHAPE)
    expected[2, 3:8, 4:10] = 5
    np.testing.assert_array_equal(labels.data, expected)
    assert (result.layer, result.object_id) == (labels, 5)
    assert (result.written, result.kept_out) == (30, 0)


@pytest.mark.parametrize(
    ("policy", "kept_out", "owner"),
    [pytest.param("keep", 6, 1, id="keep"), pytest.param("replace", 0, 2, id="replace")],
)
def test_what_happens_to_other_objects(
    viewer, image, labels, make_mask, policy, kept_out, owner
):
    view = plane_of(viewer, image)
    commit(labels, make_mask(3, 8, 4, 10), view, 1, image=image)
    result = commit(labels, make_mask(6, 12, 7, 14), view, 2, policy, image=image)
    assert result.kept_out == kept_out
    assert result.written == 42 - kept_out
    assert (labels.data[2, 6:8, 7:10] == owner).all()
    assert (labels.data[2, 8:12, 7:14] == 2).all()
    assert (labels.data[2, 3:6, 4:10] == 1).all()


def test_one_undo_takes_one_object_back(viewer, image, labels, make_mask):
    view = plane_of(viewer, image)
    commit(labels, make_mask(3, 8, 4, 10), view, 1, image=image)
    after_first = labels.data.copy()
    commit(labels, make_mask(6, 12, 7, 14), view, 2, "replace", image=image)
    after_second = labels.data.copy()
    labels.undo()
    np.testing.assert_array_equal(labels.data, after_first)
    labels.undo()
    assert not labels.data.any()
    labels.redo()
    labels.redo()
    np.testing.assert_array_equal(labels.data, after_second)


def test_an_object_may_grow(viewer, image, labels, make_mask):
    view = plane_of(viewer, image)
    commit(labels, make_mask(3, 8, 4, 10), view, 1, image=image)
    result = commit(labels, make_mask(3, 9, 4, 10), view, 1, image=image)
    assert result.kept_out == 0
    assert np.count_nonzero(labels.data == 1) == 36


@settings(max_examples=40, deadline=None)
@given(
    st.permutations(range(3)),
    st.tuples(*[st.floats(0.1, 10)] * 3),
    st.tuples(*[st.floats(-100, 100)] * 3),
    st.tuples(*[st.integers(0, 3)] * 3),
)
def test_a_committed_pixel_is_seen_where_it_was_predicted(order, scale, translate, pixel):
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((4, 5, 6)), scale=scale, translate=translate, units="um"
    )
    labels = add_labels_layer(viewer, image)
    viewer.dims.order = order
    viewer.dims.point = image.data_to_world(pixel)
    view = plane_of(viewer, image)
    row, column = pixel[view.axes[0]], pixel[view.axes[1]]
    mask = CroppedMask(np.ones((1, 1), bool), (row, column), plane_shape(image, view))
    commit(labels, mask, view, 9, image=image)
    assert labels.data[pixel] == 9
    assert np.count_nonzero(labels.data) == 1
    assert labels.get_value(image.data_to_world(pixel), world=True) == 9


def test_a_crop_takes_what_lies_inside(viewer, image, make_mask):
    crop = viewer.add_labels(
        np.zeros((2, 8, 9), np.uint8),
        scale=[3, 0.5, 0.5],
        translate=[6, 2.5, 3.5],
        name="crop",
    )
    view = plane_of(viewer, image)
    commit(crop, make_mask(6, 8, 8, 10), view, 3, image=image)
    assert (crop.data[0, 1:3, 1:3] == 3).all()
    assert np.count_nonzero(crop.data) == 4
    with pytest.raises(LabelsError, match="outside 'crop', which is 9 x 8"):
        commit(crop, make_mask(4, 8, 8, 10), view, 3, image=image)


def test_channels_share_one_labels_layer(viewer, make_mask):
    image = viewer.add_image(np.zeros((4, 3, 20, 30)))
    labels = add_labels_layer(viewer, image, channel_axis=1)
    for channel in range(3):
        viewer.dims.current_step = (2, channel, 0, 0)
        view = plane_of(viewer, image, channel_axis=1)
        mask = make_mask(channel, channel + 1, 0, 5)
        commit(labels, mask, view, channel + 1, image=image)
    np.testing.assert_array_equal(labels.data[2, 0, :3, 0], [1, 2, 3])


def refuse(viewer, image, layer, mask, message, object_id=1):
    before = np.array(layer.data[0] if layer.multiscale else layer.data)
    with pytest.raises(LabelsError, match=message):
        commit(layer, mask, plane_of(viewer, image), object_id, image=image)
    after = np.array(layer.data[0] if layer.multiscale else layer.data)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [pytest.param("locked", True, id="lock"), pytest.param("editable", False, id="edit")],
)
def test_locked_layers_are_left_alone(viewer, image, labels, make_mask, attribute, value):
    setattr(labels, attribute, value)
    refuse(viewer, image, labels, make_mask(3, 8, 4, 10), "'Cells' is locked")


def read_only():
    data = np.zeros(SHAPE, np.uint16)
    data.flags.writeable = False
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(read_only(), "is read-only", id="read-only"),
        pytest.param(da.zeros(SHAPE, dtype=np.uint16), "not held in memory", id="dask"),
        pytest.param(
            [np.zeros(SHAPE, np.uint16), da.zeros((4, 10, 15), dtype=np.uint16)],
            "not held in memory",
            id="multiscale",
        ),
        pytest.param(np.zeros((20, 30), np.uint16), "several planes", id="flat"),
        pytest.param(np.zeros((4, 20, 29), np.uint16), "outside 'layer'", id="smaller"),
    ],
)
def test_layers_that_cannot_take_an_object(viewer, image, make_mask, data, message):
    ndim = (data[0] if isinstance(data, list) else data).ndim
    layer = viewer.add_labels(data, scale=[3, 0.5, 0.5][-ndim:], name="layer")
    refuse(viewer, image, layer, make_mask(3, 8, 4, 30), message)


def test_layers_on_another_grid_are_refused(viewer, image, make_mask):
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint16))
    refuse(viewer, image, layer, make_mask(3, 8, 4, 10), "the same scale")


def test_nothing_left_to_write(viewer, image, labels, make_mask):
    view = plane_of(viewer, image)
    commit(labels, make_mask(3, 8, 4, 10), view, 7, image=image)
    text = "100% of this mask is object 7 of 'Cells', which is kept"
    refuse(viewer, image, labels, make_mask(4, 6, 5, 7), text, object_id=8)
    refuse(viewer, image, labels, make_mask(4, 4, 5, 5), "no mask to accept")


@pytest.mark.parametrize(
    ("owners", "text"),
    [([3], "object 3 of 'Cells'"), ([3, 4], "objects 3, 4 of 'Cells'")],
    ids=["one", "two"],
)
def test_a_second_click_on_accepted_cells_never_leaves_slivers(
    viewer, image, labels, make_mask, owners, text
):
    """Up to 3 of 10 pixels are left, which are no object of their own."""
    row = [3] * 7 if len(owners) == 1 else [3, 3, 3, 3, 4, 4, 4]
    labels.data[2, 5, 4:11] = row
    for stop in (12, 13, 14):
        with pytest.raises(LabelsError, match=text):
            commit(
                labels, make_mask(5, 6, 4, stop), plane_of(viewer, image), 9, image=image
            )
    result = commit(labels, make_mask(5, 6, 4, 15), plane_of(viewer, image), 9, image=image)
    assert (result.written, result.kept_out) == (4, 7)


def test_half_of_a_tiny_object_is_an_object(viewer, image, labels, make_mask):
    labels.data[2, 5, 4] = 3
    mask = make_mask(5, 6, 4, 6)
    assert commit(labels, mask, plane_of(viewer, image), 9, image=image).written == 1


@pytest.mark.parametrize("policy", ["keep", "replace"])
def test_minus_one_is_background_too(viewer, image, make_mask, policy):
    layer = viewer.add_labels(np.full(SHAPE, -1, np.int16), scale=image.scale)
    view = plane_of(viewer, image)
    result = commit(layer, make_mask(3, 8, 4, 10), view, 1, policy, image=image)
    assert (result.written, result.kept_out) == (30, 0)
    assert (layer.data[2, 3:8, 4:10] == 1).all()
    layer.undo()
    assert (layer.data == -1).all()
    layer.redo()
    wide = widen(viewer, layer)
    assert set(np.unique(wide.data)) == {0, 1}


@pytest.mark.parametrize(
    ("dtype", "bits"), [(np.uint8, 8), (np.int8, 7), (np.uint16, 16), (np.int16, 15)]
)
def test_the_note_on_widening_names_the_bits_that_were_outgrown(viewer, dtype, bits):
    narrow = viewer.add_labels(np.zeros((4, 5), dtype), name="mine")
    note = widening_note(narrow, widen(viewer, narrow))
    assert note == f"Ids have outgrown {bits} bits: 'mine' is now a 32-bit layer."


@pytest.mark.parametrize("object_id", [0, -1, 65536])
def test_ids_that_do_not_fit(viewer, image, labels, make_mask, object_id):
    refuse(
        viewer,
        image,
        labels,
        make_mask(3, 8, 4, 10),
        f"cannot hold the id {object_id}",
        object_id=object_id,
    )


def test_widening_keeps_what_the_user_made(viewer, image, labels):
    labels.data[1, 2, 3] = 65535
    labels.name = "mine"
    labels.metadata = {"session": 1}
    labels.opacity = 0.3
    top = viewer.add_points(ndim=3)
    viewer.layers.selection.active = labels
    assert not needs_widening(labels, 65535)
    assert needs_widening(labels, 65536)
    wide = widen(viewer, labels)
    assert wide.data.dtype == np.uint32
    np.testing.assert_array_equal(wide.data, labels.data)
    assert list(viewer.layers) == [image, wide, top]
    assert (wide.name, wide.metadata, wide.opacity) == ("mine", {"session": 1}, 0.3)
    np.testing.assert_allclose(wide.scale, labels.scale)
    assert viewer.layers.selection.active is wide
    assert not needs_widening(wide, 65536)


def test_widening_does_not_change_the_selection(viewer, image, labels):
    viewer.layers.selection.active = image
    widen(viewer, labels)
    assert viewer.layers.selection.active is image


@pytest.mark.parametrize(
    ("data", "largest"),
    [
        pytest.param(np.zeros((3, 4), np.uint8), 0, id="empty"),
        pytest.param(np.asarray([[0, 70000]], np.uint32), 70000, id="uint32"),
        pytest.param(np.asarray([[-5, -1]], np.int32), 0, id="negative"),
        pytest.param(da.asarray([[3, 9]]), 9, id="dask"),
        pytest.param(np.zeros((0, 4), np.uint8), 0, id="no pixels"),
    ],
)
def test_largest_id(data, largest):
    assert max_label(data) == largest


def test_next_ids_count_the_layer_and_what_was_handed_out():
    ids = LabelIds()
    layer = Labels(np.asarray([[0, 4]], np.uint16))
    assert ids.next_id(layer) == 5
    assert ids.next_id(layer, handed_out=7) == 8
    assert ids.next_id(layer, handed_out=2) == 5


def test_next_ids_follow_paint_and_undo():
    ids = LabelIds()
    layer = Labels(np.zeros((10, 10), np.uint16))
    ids.know(layer, 0)
    layer.selected_label = 12
    layer.paint((4, 4), 12)
    assert ids.next_id(layer) == 13
    layer.undo()
    assert ids.next_id(layer) == 13


def test_next_ids_follow_commits(viewer, image, labels, make_mask):
    ids = LabelIds()
    ids.know(labels, 0)
    view = plane_of(viewer, image)
    for expected in (1, 2):
        object_id = ids.next_id(labels)
        assert object_id == expected
        mask = make_mask(expected * 3, expected * 3 + 2, 0, 5)
        commit(labels, mask, view, object_id, image=image)
        ids.know(labels, object_id)


def test_new_data_is_looked_through_again():
    ids = LabelIds()
    layer = Labels(np.zeros((10, 10), np.uint16))
    assert not ids.is_known(layer)
    ids.next_id(layer)
    assert ids.is_known(layer)
    layer.data = np.full((10, 10), 30, np.uint16)
    assert not ids.is_known(layer)
    assert ids.next_id(layer) == 31


def test_closing_leaves_no_callbacks():
    ids = LabelIds()
    layer = Labels(np.zeros((10, 10), np.uint16))
    before = [len(e.callbacks) for e in (layer.events.paint, layer.events.data)]
    ids.next_id(layer)
    ids.close()
    assert [len(e.callbacks) for e in (layer.events.paint, layer.events.data)] == before
