from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.previews.mask import is_preview
from napari_cellprompt.layers.previews.stack import StackLabels
from napari_cellprompt.layers.stacks import LayerStack, show_plane, stack_axes

UM = {"scale": (300.0, 2.0, 0.5, 0.5), "units": ("s", "um", "um", "um")}


def _stack(viewer: ViewerModel, image: Any, number: int = 0) -> LayerStack:
    view = plane_of(viewer, image)
    return LayerStack(
        image, view, stack_axes(image, view)[number], image_id="a", limits=(0.0, 255.0)
    )


@pytest.fixture
def movie(viewer: ViewerModel) -> Any:
    """Frames of z-stacks whose pixels say where they are."""
    data = np.zeros((3, 4, 20, 30), dtype=np.uint8)
    data += (10 * np.arange(3)[:, None] + np.arange(4)).astype(np.uint8)[..., None, None]
    return viewer.add_image(data, axis_labels=("t", "z", "y", "x"), **UM)


def test_axes_are_named_and_depth_comes_first(viewer: ViewerModel, movie: Any) -> None:
    axes = stack_axes(movie, plane_of(viewer, movie))
    assert [(axis.name, axis.length, axis.plane_word) for axis in axes] == [
        ("z", 4, "plane"),
        ("t", 3, "frame"),
    ]


def test_axes_without_labels_and_with_one_plane(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((5, 1, 8, 9)))
    axes = stack_axes(image, plane_of(viewer, image))
    assert [(axis.name, axis.axis) for axis in axes] == [("axis 0", 0)]


def test_the_channel_axis_is_no_stack(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.zeros((2, 6, 8, 9)))
    axes = stack_axes(image, plane_of(viewer, image, channel_axis=0))
    assert [axis.axis for axis in axes] == [1]


@pytest.mark.parametrize(
    ("number", "values"),
    [pytest.param(0, [20, 21, 22, 23], id="z"), pytest.param(1, [1, 11, 21], id="t")],
)
def test_planes_follow_one_axis(
    viewer: ViewerModel, movie: Any, number: int, values: list[int]
) -> None:
    viewer.dims.set_point((0, 1), (600.0, 2.0))
    stack = _stack(viewer, movie, number)
    found = [int(stack.plane(index).read(0, 1, 0, 1)[0, 0]) for index in range(len(stack))]
    assert found == values
    assert stack.number_of(plane_of(viewer, movie)) == (1, 2)[number]


def test_a_plane_that_does_not_exist(viewer: ViewerModel, movie: Any) -> None:
    with pytest.raises(ImageError, match="no plane 4"):
        _stack(viewer, movie).plane(4)


def test_planes_of_another_time_are_not_in_the_stack(
    viewer: ViewerModel, movie: Any
) -> None:
    stack = _stack(viewer, movie)
    viewer.dims.set_point(0, 0.0)
    assert stack.number_of(plane_of(viewer, movie)) is None


def test_dask_stays_lazy(viewer: ViewerModel) -> None:
    read: list[int] = []

    def chunk(block_info: Any = None) -> np.ndarray:
        read.append(int(block_info[None]["chunk-location"][0]))
        return np.zeros((1, 20, 30), dtype=np.uint8)

    data = da.map_blocks(chunk, chunks=((1,) * 6, (20,), (30,)), dtype=np.uint8)
    image = viewer.add_image(data, contrast_limits=(0, 255))
    stack = _stack(viewer, image)
    read.clear()
    stack.plane(4).read(0, 20, 0, 30)
    assert set(read) == {4}


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (1, 0, 3, 2)], ids=["as it is", "transposed"]
)
def test_sliders_go_to_a_plane(viewer: ViewerModel, movie: Any, order: Any) -> None:
    viewer.add_image(np.zeros((2, 3, 4, 20, 30), dtype=np.uint8))
    viewer.layers.move(1, 0)
    viewer.dims.order = (0, *(axis + 1 for axis in order))
    stack = _stack(viewer, movie)
    show_plane(viewer, movie, stack.view_at(3))
    assert stack.number_of(plane_of(viewer, movie)) == 3


def _mask(y0: int, y1: int, x0: int, x1: int) -> CroppedMask:
    return CroppedMask(np.ones((y1 - y0, x1 - x0), dtype=bool), (y0, x0), (20, 30))


def test_masks_are_drawn_over_their_stack_only(viewer: ViewerModel, movie: Any) -> None:
    viewer.dims.set_point(0, 600.0)
    stack = _stack(viewer, movie)
    overlay = StackLabels(viewer, "Masks")
    active = viewer.layers.selection.active
    layer = overlay.open(stack, largest_id=300)
    assert (layer.data.shape, layer.data.dtype) == ((1, 4, 20, 30), np.uint16)
    assert is_preview(layer)
    assert viewer.layers.selection.active == active
    overlay.draw(2, 7, _mask(3, 6, 4, 9))
    expected = np.zeros((4, 20, 30))
    expected[2, 3:6, 4:9] = 7
    np.testing.assert_array_equal(layer.data[0], expected)
    # The pixel (2, 2, 3, 4) of the image lies where the overlay has its own.
    assert layer.data_to_world((0, 2, 3, 4)) == movie.data_to_world((2, 2, 3, 4))


def test_a_new_mask_takes_the_place_of_the_old(viewer: ViewerModel, movie: Any) -> None:
    overlay = StackLabels(viewer, "Masks")
    layer = overlay.open(_stack(viewer, movie))
    overlay.draw(1, 1, _mask(0, 10, 0, 10))
    overlay.draw(1, 2, _mask(5, 10, 5, 10))
    overlay.draw(1, 1, _mask(0, 2, 0, 2))
    assert np.count_nonzero(layer.data == 1) == 4
    assert np.count_nonzero(layer.data == 2) == 25
    overlay.draw(1, 2, None)
    assert np.count_nonzero(layer.data) == 4


def test_painted_pixels_go_with_the_mask(viewer: ViewerModel, movie: Any) -> None:
    overlay = StackLabels(viewer, "Masks")
    layer = overlay.open(_stack(viewer, movie))
    overlay.draw(0, 1, _mask(0, 4, 0, 4))
    plane = overlay.plane(0)
    assert plane is not None
    plane[15, 15] = 1
    overlay.claim(0, 1)
    overlay.draw(0, 1, _mask(8, 9, 8, 9))
    assert np.argwhere(layer.data).tolist() == [[0, 0, 8, 8]]


def test_a_deleted_layer_is_no_error(viewer: ViewerModel, movie: Any) -> None:
    overlay = StackLabels(viewer, "Masks")
    viewer.layers.remove(overlay.open(_stack(viewer, movie)))
    overlay.draw(0, 1, _mask(0, 4, 0, 4))
    overlay.refresh()
    assert overlay.layer is None
    overlay.close()
    assert len(viewer.layers) == 1
