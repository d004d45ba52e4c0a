from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.contrast import percentile_limits, to_uint8

RNG = np.random.default_rng(0)
RAMP = np.linspace(0, 1000, 64 * 64).reshape(64, 64)


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", ">u2", "u4", "i2", "i8", "f2", "f4", ">f4", "f8"]
)
def test_percentiles_of_any_type(dtype: str) -> None:
    data = (RAMP / 5).astype(dtype)
    lo, hi = percentile_limits(data, 1, 99)
    assert lo == pytest.approx(2, abs=1.1)
    assert hi == pytest.approx(198, abs=1.1)


def test_negative_values() -> None:
    lo, hi = percentile_limits(RAMP - 500, 0, 100)
    assert (lo, hi) == (-500, 500)


def test_hot_pixels_do_not_decide() -> None:
    data = RNG.integers(100, 200, (256, 256)).astype(np.uint16)
    data[7, 9] = data[70, 90] = 65535
    lo, hi = percentile_limits(data)
    assert 100 <= lo < hi <= 200


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        pytest.param(np.full((4, 4), 7, np.uint8), (7, 8), id="constant"),
        pytest.param(np.full((4, 4), 1e20), (1e20, 1e20 + 1e14), id="huge constant"),
        pytest.param(np.zeros((4, 4), bool), (0, 1), id="all false"),
        pytest.param(np.eye(4, dtype=bool), (0, 1), id="bool"),
        pytest.param(np.full((4, 4), np.nan), (0, 1), id="all NaN"),
        pytest.param(np.full((4, 4), -np.inf), (0, 1), id="all infinite"),
        pytest.param(np.array([[1.0, np.nan, np.inf, 3.0]]), (1, 3), id="some NaN"),
        pytest.param(np.array([[5]], np.int64), (5, 6), id="one pixel"),
    ],
)
def test_special_images(data: np.ndarray, limits: tuple[float, float]) -> None:
    assert percentile_limits(data, 0, 100) == pytest.approx(limits)


def test_few_bright_spots_on_black_stay_visible() -> None:
    data = np.zeros((100, 100), np.uint16)
    data[5, 5:8] = 900
    assert percentile_limits(data) == (0, 900)


def cell_on_noise(side: int, centre: float = 900, radius: int = 9) -> np.ndarray:
    """One round cell in the middle of a noisy ground, ``(side, side)`` uint16."""
    rows, columns = np.ogrid[:side, :side]
    cell = np.hypot(rows - side // 2, columns - side // 2) <= radius
    noise = np.random.default_rng(side).normal(0, 40, (side, side))
    return (np.where(cell, centre, 100) + noise).clip(0).astype(np.uint16)


@pytest.mark.parametrize("side", [512, 1024, 2048])
def test_a_cell_looks_alike_whatever_the_size_of_the_image(side: int) -> None:
    lo, hi = percentile_limits(cell_on_noise(side))
    assert lo == pytest.approx(percentile_limits(cell_on_noise(128))[0], abs=20)
    assert hi == pytest.approx(percentile_limits(cell_on_noise(128))[1], rel=0.05)


def test_a_dark_cell_on_a_bright_ground_counts_as_well() -> None:
    lo, hi = percentile_limits(5000 - cell_on_noise(1024))
    assert lo == pytest.approx(4100, rel=0.05)
    assert hi < 5100


def test_a_cell_on_a_few_planes_of_a_stack_is_not_background() -> None:
    empty = RNG.normal(100, 10, (256, 256))
    stack = np.stack([empty] * 30).astype(np.uint16)
    stack[11:14, 100:110, 100:110] = 900
    assert percentile_limits(stack)[1] == pytest.approx(900, rel=0.02)


@pytest.mark.parametrize(
    ("spoil", "value"),
    [("saturated", 65535), ("black", 0), ("not a number", np.nan)],
)
def test_one_odd_frame_does_not_decide(spoil: str, value: float) -> None:
    movie = np.stack([cell_on_noise(128)] * 12).astype(np.float32)
    alone = percentile_limits(movie)
    movie[5] = value
    assert percentile_limits(movie) == pytest.approx(alone, rel=0.02, abs=1)


def test_one_frame_of_too_much_light_does_not_decide() -> None:
    movie = np.stack([cell_on_noise(128)] * 12)
    alone = percentile_limits(movie)
    movie[5] *= 20
    assert percentile_limits(movie) == pytest.approx(alone, rel=0.02, abs=1)


def test_many_bright_frames_are_how_the_movie_is() -> None:
    movie = np.stack([cell_on_noise(128)] * 12).astype(np.uint32)
    movie[:4] *= 20
    assert percentile_limits(movie)[1] > 15000


def test_crowded_images_have_plain_percentiles() -> None:
    data = RNG.gamma(2.0, 100.0, (300, 300))
    data[:150] += RNG.normal(1000, 100, (150, 300))
    assert percentile_limits(data) == pytest.approx(np.percentile(data, [0.1, 99.9]))


def test_colours_are_looked_at_together() -> None:
    data = np.stack([cell_on_noise(256)] * 3, axis=-1)
    assert percentile_limits(data) == pytest.approx(
        percentile_limits(data[..., 0]), rel=0.05, abs=20
    )


@pytest.mark.parametrize("make", [np.asarray, da.from_array, zarr.array])
def test_the_plane_may_be_made_of_any_axes(make: Any) -> None:
    stack = np.stack([cell_on_noise(128)] * 6)
    alone = percentile_limits(stack)
    turned = make(np.ascontiguousarray(np.moveaxis(stack, 0, -1)))
    assert percentile_limits(turned, plane=(0, 1)) == pytest.approx(alone, rel=0.05)


class Counting:
    """A lazy array that counts what is read of it."""

    def __init__(self, data: np.ndarray, chunks: tuple[int, ...] | None) -> None:
        self._data = data
        self.shape, self.dtype, self.chunks = data.shape, data.dtype, chunks
        self.reads = 0
        self.pixels = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        part = self._data[key]
        self.reads += 1
        self.pixels += part.size
        return part


@pytest.mark.parametrize("chunks", [(1, 256, 256), None], ids=["chunks", "no chunks"])
def test_lazy_stacks_are_sampled(chunks: tuple[int, ...] | None) -> None:
    planes = np.arange(40, dtype=np.uint16)[:, None, None]
    data = Counting(np.broadcast_to(planes, (40, 1024, 1024)), chunks)
    lo, hi = percentile_limits(data, 0, 100)
    assert 10 <= data.reads <= 16
    assert data.pixels <= 2_500_000
    # The sample reaches over the whole depth of the stack, not just its start.
    assert lo <= 6
    assert hi >= 33


@pytest.mark.parametrize("make", [da.from_array, zarr.array], ids=["dask", "zarr"])
def test_dask_and_zarr_agree_with_numpy(make: Any) -> None:
    data = RNG.normal(100, 10, (6, 200, 200)).astype(np.float32)
    lo, hi = percentile_limits(make(data, chunks=(1, 100, 100)), 1, 99)
    assert (lo, hi) == pytest.approx(percentile_limits(data, 1, 99), rel=0.02)


@pytest.mark.parametrize("make", [np.asarray, da.from_array, zarr.array])
def test_one_channel_counts_alone(make: Any) -> None:
    data = np.stack([np.zeros((50, 60)), RAMP[:50, :60]], axis=1)
    whole = percentile_limits(RAMP[:50, :60], 0, 100)
    assert percentile_limits(make(data), 0, 100, channel_axis=1, channel=1) == whole
    assert percentile_limits(make(data), 0, 100, channel_axis=1, channel=0) == (0, 1)


@pytest.mark.parametrize(
    ("data", "percentiles", "message"),
    [
        pytest.param(np.zeros((0, 5)), (0, 100), "empty", id="empty"),
        pytest.param(np.zeros((2, 2), complex), (0, 100), "complex", id="complex"),
        pytest.param(np.full((2, 2), "a"), (0, 100), "real numbers", id="text"),
        pytest.param(RAMP, (50, 50), "low < high", id="equal percentiles"),
        pytest.param(RAMP, (-1, 50), "low < high", id="negative percentile"),
    ],
)
def test_bad_input(
    data: np.ndarray, percentiles: tuple[float, float], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        percentile_limits(data, *percentiles)


def test_to_uint8_maps_clips_and_rounds() -> None:
    plane = np.array([[-5, 0, 1, 20, 100, 101]], dtype=np.int16)
    assert to_uint8(plane, (0, 100)).tolist() == [[0, 0, 3, 51, 255, 255]]


def test_to_uint8_of_special_floats() -> None:
    plane = np.array([[np.nan, -np.inf, np.inf, 0.5]], dtype=">f4")
    assert to_uint8(plane, (0.0, 1.0)).tolist() == [[0, 0, 255, 128]]


def test_to_uint8_gives_a_copy_of_uint8() -> None:
    plane = RNG.integers(0, 255, (5, 6), dtype=np.uint8)
    result = to_uint8(plane, None)
    np.testing.assert_array_equal(result, plane)
    assert not np.shares_memory(result, plane)


def test_to_uint8_does_not_guess_limits() -> None:
    with pytest.raises(ImageError, match="uint16 needs contrast limits"):
        to_uint8(np.zeros((2, 2), np.uint16), None)


@pytest.mark.parametrize("limits", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_to_uint8_refuses_bad_limits(limits: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="smaller first"):
        to_uint8(np.zeros((2, 2)), limits)
