from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.images import (
    ImageRevisions,
    full_resolution,
    lacks_limits,
    layer_limits,
    plane_source,
    stack_limits,
)


def test_the_key_changes_with_the_pixels_only():
    revisions = ImageRevisions()
    image, other = Image(np.zeros((4, 5))), Image(np.zeros((4, 5)))
    first = revisions.key(image)
    assert revisions.key(image) == first
    assert revisions.key(other) != first
    image.contrast_limits = (0, 0.5)
    image.name = "renamed"
    image.refresh()
    assert revisions.key(image) == first
    image.data = np.ones((4, 5))
    assert revisions.key(image) != first


def test_other_planes_are_the_same_image(viewer):
    revisions = ImageRevisions()
    image = viewer.add_image(np.zeros((3, 4, 5)))
    first = revisions.key(image)
    viewer.dims.current_step = (2, 0, 0)
    assert revisions.key(image) == first


def test_forgotten_images_never_get_an_old_key():
    revisions = ImageRevisions()
    image = Image(np.zeros((4, 5)))
    keys = {revisions.key(image)}
    revisions.forget(image)
    revisions.forget(image)
    image.data = np.ones((4, 5))
    assert revisions.key(image) not in keys
    keys.add(revisions.key(image))
    image.data = np.zeros((4, 5))
    assert revisions.key(image) not in keys


def test_closing_leaves_no_callbacks():
    revisions = ImageRevisions()
    image = Image(np.zeros((4, 5)))
    before = len(image.events.data.callbacks)
    revisions.key(image)
    assert len(image.events.data.callbacks) == before + 1
    revisions.close()
    assert len(image.events.data.callbacks) == before


RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 4000, (3, 12, 14), dtype=np.uint16)


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(lambda data: data, id="numpy"),
        pytest.param(lambda data: da.from_array(data, chunks=(1, 5, 5)), id="dask"),
    ],
)
def test_planes_are_read_with_the_layers_contrast(viewer, wrap):
    image = viewer.add_image(wrap(STACK), contrast_limits=(1000, 3000))
    viewer.dims.current_step = (2, 0, 0)
    source = plane_source(
        image, plane_of(viewer, image), image_id="a", limits=layer_limits(image)
    )
    expected = np.clip((STACK[2].astype(float) - 1000) / 2000 * 255, 0, 255)
    assert source.shape == (12, 14)
    np.testing.assert_allclose(source.read(0, 12, 0, 14), expected, atol=0.51)
    np.testing.assert_allclose(source.read(3, 7, 2, 5), expected[3:7, 2:5], atol=0.51)
    assert source.key.index == (2,)
    assert source.key.limits == (1000.0, 3000.0)


def test_transposed_planes_are_read_in_array_order(viewer):
    image = viewer.add_image(STACK)
    viewer.dims.order = (1, 2, 0)
    viewer.dims.current_step = (0, 5, 0)
    source = plane_source(image, plane_of(viewer, image), image_id="a", limits=(0, 255))
    expected = np.minimum(STACK[:, 5, :], 255)
    np.testing.assert_array_equal(source.read(0, 3, 0, 14), expected)


def test_multiscale_images_give_the_finest_level(viewer):
    image = viewer.add_image([STACK, STACK[:, ::2, ::2]], multiscale=True)
    assert full_resolution(image) is image.data[0]
    source = plane_source(
        image, plane_of(viewer, image), image_id="a", limits=layer_limits(image)
    )
    assert source.shape == (12, 14)


@pytest.mark.parametrize(
    ("dtype", "lacking"), [(np.uint8, False), (np.uint16, True), (np.float32, True)]
)
def test_colours_that_are_not_8_bit_have_no_limits(viewer, dtype, lacking):
    image = viewer.add_image(np.zeros((12, 14, 3), dtype), rgb=True)
    assert lacks_limits(image) is lacking
    assert layer_limits(image) is None
    assert not lacks_limits(viewer.add_image(np.zeros((12, 14), dtype)))


def test_colour_and_single_samples_of_rgb(viewer):
    data = RNG.integers(0, 255, (12, 14, 3), dtype=np.uint8)
    image = viewer.add_image(data, rgb=True)
    view = plane_of(viewer, image)
    assert layer_limits(image) is None
    colour = plane_source(image, view, image_id="a")
    np.testing.assert_array_equal(colour.read(0, 12, 0, 14), data)
    green = plane_source(image, view, image_id="a", channel=1)
    np.testing.assert_array_equal(green.read(0, 12, 0, 14), data[..., 1])


def test_a_channel_is_chosen_by_its_axis(viewer):
    data = RNG.integers(0, 255, (3, 4, 12, 14), dtype=np.uint8)
    image = viewer.add_image(data)
    viewer.dims.current_step = (3, 2, 0, 0)
    view = plane_of(viewer, image, channel_axis=0)
    source = plane_source(image, view, image_id="a", channel=1)
    np.testing.assert_array_equal(source.read(0, 12, 0, 14), data[1, 2])


@pytest.mark.parametrize(
    ("channel_axis", "channel", "message"),
    [
        pytest.param(0, None, "Choose a channel", id="none chosen"),
        pytest.param(0, 3, "has 3 channels", id="too high"),
        pytest.param(None, 1, "no channel axis", id="no axis"),
    ],
)
def test_channels_that_cannot_be(viewer, channel_axis, channel, message):
    image = viewer.add_image(np.zeros((3, 4, 12, 14), dtype=np.uint8))
    view = plane_of(viewer, image, channel_axis=channel_axis)
    with pytest.raises(ImageError, match=message):
        plane_source(image, view, image_id="a", channel=channel)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(np.full((4, 5), 7.0), None, id="constant"),
        pytest.param(np.full((4, 5), np.nan), None, id="nan"),
        pytest.param(np.zeros((4, 5), bool), (0, 1), id="bool"),
    ],
)
def test_limits_are_finite_and_in_order(data, expected):
    image = Image(data)
    limits = layer_limits(image)
    assert limits is not None
    assert np.isfinite(limits).all()
    assert limits[0] < limits[1]
    assert expected is None or limits == expected


def test_percentiles_look_at_one_channel_of_the_whole_stack():
    data = np.stack([STACK, STACK * 0])
    lo, hi = stack_limits(data, channel_axis=0, channel=0)
    assert 0 <= lo < 100
    assert 3900 < hi <= 4000


def test_limits_that_are_not_finite_are_replaced():
    image = Image(np.zeros((4, 5)), contrast_limits=(0, np.inf))
    assert layer_limits(image) == (0.0, 1.0)
