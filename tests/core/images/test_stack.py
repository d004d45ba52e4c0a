from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.io.image_files import read_image


def ramp(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "options", "length", "expected"),
    [
        pytest.param((5, 8, 9), {}, 5, lambda a: a[3], id="ZYX"),
        pytest.param((5, 8, 9), {"axes": "TYX"}, 5, lambda a: a[3], id="TYX"),
        pytest.param(
            (2, 5, 8, 9),
            {"axes": "TZYX", "along": "z", "at": {"T": 1}},
            5,
            lambda a: a[1, 3],
            id="TZYX along z",
        ),
        pytest.param(
            (5, 2, 8, 9),
            {"axes": "TZYX", "along": "t", "at": {"z": 1}},
            5,
            lambda a: a[3, 1],
            id="TZYX along t",
        ),
        pytest.param(
            (2, 5, 8, 9), {"axes": "CZYX", "channel": 1}, 5, lambda a: a[1, 3], id="CZYX"
        ),
        pytest.param(
            (5, 8, 9, 3), {"axes": "TYXS"}, 5, lambda a: a[3], id="a movie in colour"
        ),
    ],
)
def test_the_planes_are_those_of_the_array(shape, options, length, expected) -> None:
    image = ramp(*shape)
    stack = ImageStack(image, **options)
    assert len(stack) == length
    assert stack.shape == (8, 9)
    assert np.array_equal(stack.plane(3).read(0, 8, 0, 9), expected(image))
    assert stack.plane(3).key != stack.plane(2).key
    assert stack.plane(3).key == ImageStack(image.copy(), **options).plane(3).key


def test_contrast_is_that_of_the_whole_stack() -> None:
    image = np.zeros((4, 50, 50), np.uint16)
    image[1] = np.arange(2500).reshape(50, 50)
    image[2] = 10 * image[1]
    stack = ImageStack(image)
    assert len({stack.plane(i).key.limits for i in range(4)}) == 1
    dim, bright = (stack.plane(i).read(0, 50, 0, 50).mean() for i in (1, 2))
    assert bright > 5 * dim


class Counting:
    """An array that remembers how much of it was read."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.read = 0

    def __getitem__(self, key):
        part = self.data[key]
        self.read += part.size
        return part


def test_only_the_wanted_part_is_read() -> None:
    image = Counting(ramp(30, 64, 64))
    stack = ImageStack(image, image_id="x", limits=(0, 255))
    assert image.read == 0
    stack.plane(7).read(0, 10, 0, 20)
    assert image.read == 200


@pytest.mark.parametrize("kind", ["dask", "zarr", "tiff"])
def test_lazy_arrays_give_the_same_planes(kind, tmp_path) -> None:
    image = ramp(6, 20, 30, dtype=np.uint16)
    if kind == "dask":
        lazy = da.from_array(image, chunks=(1, 20, 30))
    elif kind == "zarr":
        lazy = zarr.array(image, chunks=(1, 20, 30))
    else:
        tifffile.imwrite(tmp_path / "a.tif", image, metadata={"axes": "ZYX"}, imagej=True)
        lazy = read_image(tmp_path / "a.tif").data
    plane = ImageStack(lazy, limits=(0, 250)).plane(4)
    expected = ImageStack(image, limits=(0, 250)).plane(4)
    assert np.array_equal(plane.read(2, 9, 3, 30), expected.read(2, 9, 3, 30))


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        pytest.param((8, 9), {}, "no axis Z or T", id="one plane"),
        pytest.param((5, 8, 9), {"along": "t"}, "no axis T", id="wrong axis"),
        pytest.param((5, 8, 9), {"at": {"z": 2}}, "position along Z", id="twice"),
        pytest.param((2, 5, 8, 9), {}, "needs its axes named", id="unknown axes"),
        pytest.param((2, 5, 8, 9), {"axes": "CZYX"}, "2 channels", id="channel"),
    ],
)
def test_what_cannot_be_propagated_is_refused(shape, options, message) -> None:
    with pytest.raises(ImageError, match=message):
        ImageStack(ramp(*shape), **options)


@pytest.mark.parametrize("index", [-1, 5])
def test_planes_beyond_the_stack_are_refused(index) -> None:
    with pytest.raises(ImageError, match="planes 0 to 4"):
        ImageStack(ramp(5, 8, 9)).plane(index)
