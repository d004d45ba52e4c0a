"""Channels put together: what comes out, and that no more is read than is asked for."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.compose import ComposedArray
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.types import ImageFile, MixedChannel

RED = MixedChannel("red", (0.0, 255.0), number=0)
BLUE = MixedChannel("blue", (0.0, 255.0), number=2)


def stack(dtype: Any = np.uint8) -> np.ndarray:
    """Four planes of three channels: (Z, C, Y, X)."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 200, (4, 3, 30, 40)).astype(dtype)


def source(image: Any, *channels: MixedChannel, z: int = 1) -> PlaneSource:
    composed = ComposedArray(
        channels, [image] * len(channels), plane=(2, 3), channel_axis=1
    )
    return PlaneSource(
        composed,
        axes=(2, 3),
        index=(z,),
        channel=0,
        channel_axis=1,
        rgb=composed.coloured,
        image_id="a",
        channels=channels,
    )


def grey(**values: Any) -> MixedChannel:
    return MixedChannel("grey", **({"limits": (0.0, 255.0), "number": 0} | values))


def test_channels_become_colours() -> None:
    image = stack()
    plane = source(image, RED, BLUE)
    pixels = plane.read(0, 30, 0, 40)
    assert plane.is_rgb
    np.testing.assert_array_equal(pixels[..., 0], image[1, 0])
    np.testing.assert_array_equal(pixels[..., 2], image[1, 2])
    assert not pixels[..., 1].any()


def test_one_grey_channel_stays_grey() -> None:
    image = stack()
    plane = source(image, grey(number=1), z=3)
    assert not plane.is_rgb
    np.testing.assert_array_equal(plane.read(2, 9, 5, 20), image[3, 1, 2:9, 5:20])


def test_of_channels_with_one_colour_the_brightest_counts_and_grey_is_in_all() -> None:
    image = stack()
    both = source(image, grey(number=0), grey(number=1)).read(0, 30, 0, 40)
    np.testing.assert_array_equal(both, image[1, :2].max(axis=0))
    mixed = source(image, grey(number=1), RED).read(0, 30, 0, 40)
    np.testing.assert_array_equal(mixed[..., 0], image[1, :2].max(axis=0))
    np.testing.assert_array_equal(mixed[..., 1], image[1, 1])
    np.testing.assert_array_equal(mixed[..., 2], image[1, 1])


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64, ">u2"], ids=str
)
def test_any_bit_depth_is_brought_to_8_bits(dtype: Any) -> None:
    image = np.zeros((2, 1, 4, 5), dtype)
    image[0, 0, 0] = [0, 50, 110, 200, 120]
    pixels = source(image, grey(limits=(50.0, 150.0)), z=0).read(0, 1, 0, 5)
    np.testing.assert_array_equal(pixels, [[0, 0, 153, 255, 178]])
    assert pixels.dtype == np.uint8


def test_dark_becomes_bright_but_what_has_no_value_stays_black() -> None:
    image = np.zeros((1, 1, 2, 3), np.float32)
    image[0, 0] = [[0, 255, 100], [np.nan, np.inf, -np.inf]]
    pixels = source(image, grey(invert=True), z=0).read(0, 2, 0, 3)
    np.testing.assert_array_equal(pixels, [[255, 0, 155], [0, 0, 255]])


def test_a_part_of_a_smoothed_plane_is_that_of_the_whole() -> None:
    plane = source(stack(np.uint16), RED, grey(smooth=1.7, number=1))
    whole = plane.read(0, 30, 0, 40)
    for y0, y1, x0, x1 in [(0, 5, 0, 7), (11, 12, 30, 40), (20, 30, 3, 25)]:
        np.testing.assert_array_equal(plane.read(y0, y1, x0, x1), whole[y0:y1, x0:x1])
    rough = source(stack(np.uint16), grey(number=1)).read(0, 30, 0, 40)
    smooth = source(stack(np.uint16), grey(number=1, smooth=1.7)).read(0, 30, 0, 40)
    assert smooth.std() < rough.std() / 2


def test_smoothing_does_not_reach_other_planes() -> None:
    image = np.zeros((3, 1, 20, 20), np.uint8)
    image[1] = 255
    assert source(image, grey(smooth=2.0), z=0).read(0, 20, 0, 20).max() == 0


def test_only_the_planes_that_are_asked_for_are_read() -> None:
    asked: list[tuple[int, int]] = []

    def load(block_info: Any = None) -> np.ndarray:
        (z, _), (c, _) = block_info[None]["array-location"][:2]
        asked.append((z, c))
        return np.full((1, 1, 30, 40), 10 * z + c, np.uint16)

    image = da.map_blocks(load, chunks=((1,) * 4, (1,) * 3, (30,), (40,)), dtype=np.uint16)
    asked.clear()
    plane = source(image, RED, BLUE, z=2)
    assert asked == []
    pixels = plane.read(0, 30, 0, 40)
    assert sorted(asked) == [(2, 0), (2, 2)]
    assert tuple(pixels[0, 0]) == (20, 0, 22)


def test_layers_on_one_grid() -> None:
    one, other = stack()[:, 0], stack()[:, 1]
    file = ImageFile("f", other.shape, "uint8")
    channels = (
        MixedChannel("green", (0.0, 255.0)),
        MixedChannel("red", (0.0, 255.0), image=file),
    )
    composed = ComposedArray(channels, [one, other], plane=(1, 2))
    assert composed.shape == (4, 30, 40, 3)
    pixels = composed[2, 0:30, 0:40, 0:3]
    np.testing.assert_array_equal(pixels[..., 1], one[2])
    np.testing.assert_array_equal(pixels[..., 0], other[2])


def test_samples_of_colours_are_channels() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (12, 14, 3)).astype(np.uint8)
    composed = ComposedArray([grey(number=2)], [picture], plane=(0, 1), rgb=True)
    assert composed.shape == (12, 14)
    np.testing.assert_array_equal(composed[3:9, 2:14], picture[3:9, 2:14, 2])


def test_what_does_not_fit_is_said() -> None:
    image = stack()
    with pytest.raises(ImageError, match=r"no channel 5.*3 channels"):
        source(image, grey(number=5))
    channels = [MixedChannel("grey", (0.0, 1.0))] * 2
    with pytest.raises(ImageError, match="same shape"):
        ComposedArray(channels, [image, image[1:]], plane=(2, 3))
    with pytest.raises(ImageError, match="finite"):
        source(image, grey(limits=(3.0, 3.0)))
    with pytest.raises(ImageError, match="an array for each"):
        ComposedArray([], [], plane=(2, 3))


def test_the_key_tells_pictures_apart() -> None:
    image = stack()
    plain = source(image, grey())
    keys = {
        source(image, one).key
        for one in (
            grey(),
            grey(invert=True),
            grey(smooth=1.0),
            grey(limits=(0.0, 254.0)),
            grey(number=1),
            RED,
        )
    }
    assert len(keys) == 6
    assert plain.key in keys
    file = ImageFile("f", (1, 2), "uint8", name="one", path="there")
    moved = ImageFile("f", (1, 2), "uint8", name="two")
    assert grey(image=file) == grey(image=moved)
    assert grey(image=file) != grey(image=ImageFile("g", (1, 2), "uint8"))
