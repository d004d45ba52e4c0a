from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import PlaneSource, axes_of, image_limits
from napari_cellprompt.core.types import PlaneKey

STACK = np.random.default_rng(1).integers(0, 255, (3, 4, 20, 30), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "dtype", "axes", "expected"),
    [
        ((5, 6), np.uint16, None, "YX"),
        ((5, 6, 7), np.uint16, None, "ZYX"),
        ((5, 6, 3), np.uint8, None, "YXS"),
        ((5, 6, 4), np.uint8, None, "YXS"),
        ((5, 6, 3), np.uint16, None, "YXS"),
        ((5, 6, 3), np.float32, None, "YXS"),
        ((3, 6, 3), np.uint16, None, "ZYX"),
        ((5, 6, 3), np.uint8, "zyx", "ZYX"),
        ((2, 5, 6, 7), np.uint8, "TZYX", "TZYX"),
        ((5, 6, 7), np.uint8, "TYX", "TYX"),
    ],
)
def test_axes(shape: tuple[int, ...], dtype: Any, axes: str | None, expected: str) -> None:
    assert axes_of(shape, dtype, axes) == expected


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        ((2, 5, 6, 7), None, "needs its axes named"),
        ((7,), None, "needs its axes named"),
        ((5, 6, 7), "YX", "name 2 axes"),
        ((5, 6, 7), "QYX", "different letters"),
        ((5, 6, 7), "YYX", "different letters"),
        ((5, 6, 7), "ZXY", "Y and, after it, X"),
        ((5, 6, 7), "TZX", "Y and, after it, X"),
        ((5, 6, 7), "YXS", "3 or 4 samples"),
        ((3, 6, 7), "SYX", "must be the last"),
    ],
)
def test_axes_that_do_not_fit(
    shape: tuple[int, ...], axes: str | None, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        axes_of(shape, np.uint8, axes)


def storages(data: np.ndarray, folder: Path) -> dict[str, Any]:
    np.save(folder / "data.npy", data)
    read_only = data.copy()
    read_only.flags.writeable = False
    return {
        "numpy": data,
        "fortran": np.asfortranarray(data),
        "big-endian": data.astype(data.dtype.newbyteorder(">")),
        "read-only": read_only,
        "memmap": np.load(folder / "data.npy", mmap_mode="r"),
        "dask": da.from_array(data, chunks=(1, 1, 10, 10)),
        "zarr": zarr.array(data, chunks=(1, 1, 10, 10)),
    }


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int64])
def test_every_storage_reads_the_same(dtype: Any, tmp_path: Path) -> None:
    data = STACK.astype(dtype)
    for name, stored in storages(data, tmp_path).items():
        plane = PlaneSource(
            stored, axes=(2, 3), index=(1, 2), limits=(0, 255), image_id="x"
        )
        assert plane.shape == (20, 30), name
        np.testing.assert_array_equal(
            plane.read(2, 9, 5, 25), STACK[1, 2, 2:9, 5:25], err_msg=name
        )
    np.testing.assert_array_equal(data, STACK.astype(dtype))


def test_planes_of_other_axes() -> None:
    plane = PlaneSource(STACK, axes=(0, -1), index=(3, 7), image_id="x")
    np.testing.assert_array_equal(plane.read(0, 3, 0, 30), STACK[:, 3, 7])
    assert plane.key == PlaneKey(
        image="x", index=(3, 7), axes=(0, 3), channel=None, limits=None
    )


def test_channels() -> None:
    plane = PlaneSource(
        STACK, axes=(2, 3), index=(1,), channel=2, channel_axis=1, image_id="x"
    )
    np.testing.assert_array_equal(plane.read(0, 20, 0, 30), STACK[1, 2])
    assert plane.key.channel == 2
    assert plane.key.index == (1,)


@pytest.mark.parametrize("samples", [3, 4], ids=["rgb", "rgba"])
def test_rgb_leaves_out_alpha(samples: int) -> None:
    data = np.random.default_rng(2).integers(0, 255, (5, 8, 9, samples), dtype=np.uint8)
    plane = PlaneSource(data, axes=(1, 2), index=(4,), rgb=True, image_id="x")
    assert plane.is_rgb
    np.testing.assert_array_equal(plane.read(1, 8, 0, 4), data[4, 1:8, :4, :3])


def test_reading_never_gives_the_callers_memory() -> None:
    plane = PlaneSource.from_image(STACK[0, 0])
    part = plane.read(0, 20, 0, 30)
    assert not np.shares_memory(part, STACK)


class Recording:
    """Remembers which parts were asked for."""

    shape, dtype = (10, 4096, 4096), np.dtype(np.uint16)

    def __init__(self) -> None:
        self.keys: list[Any] = []

    def __getitem__(self, key: Any) -> np.ndarray:
        self.keys.append(key)
        return np.zeros(tuple(s.stop - s.start for s in key if isinstance(s, slice)), "u2")


def test_only_the_crop_is_read() -> None:
    data = Recording()
    plane = PlaneSource(data, axes=(1, 2), index=(3,), limits=(0, 9), image_id="x")
    assert data.keys == []
    plane.read(100, 200, 3000, 3050)
    assert data.keys == [(3, slice(100, 200), slice(3000, 3050))]


@pytest.mark.parametrize(
    "crop",
    [(0, 21, 0, 30), (-1, 5, 0, 30), (5, 5, 0, 30), (0, 20, 10, 9)],
    ids=["beyond", "negative", "empty", "reversed"],
)
def test_crops_outside_the_plane(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(ImageError, match="20 x 30 pixels"):
        PlaneSource.from_image(STACK[0, 0]).read(*crop)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        pytest.param(STACK, {"axes": (3, 2), "index": (0, 0)}, "array order", id="order"),
        pytest.param(STACK, {"axes": (2, 2), "index": (0, 0)}, "array order", id="same"),
        pytest.param(STACK, {"axes": (2, 3)}, "needs 2 indices", id="no index"),
        pytest.param(STACK, {"axes": (2, 3), "index": (3, 0)}, "0 to 2", id="beyond"),
        pytest.param(STACK, {"axes": (2, 3), "index": (-1, 0)}, "0 to 2", id="negative"),
        pytest.param(
            STACK, {"axes": (2, 3), "index": (0,), "channel": 1}, "together", id="half"
        ),
        pytest.param(
            STACK,
            {"axes": (2, 3), "index": (0,), "channel": 4, "channel_axis": 1},
            "channel must lie in 0 to 3",
            id="no such channel",
        ),
        pytest.param(
            STACK,
            {"axes": (2, 3), "index": (0,), "channel": 0, "channel_axis": 2},
            "cannot hold the channels",
            id="channel in plane",
        ),
        pytest.param(STACK, {"axes": (1, 2), "rgb": True}, "3 or 4 samples", id="no rgb"),
        pytest.param(STACK.astype(complex), {"axes": (2, 3)}, "real numbers", id="complex"),
        pytest.param(STACK.astype("u2"), {"axes": (2, 3)}, "contrast limits", id="limits"),
        pytest.param(np.zeros((0, 4)), {"axes": (0, 1)}, "empty", id="empty"),
    ],
)
def test_what_does_not_fit(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        PlaneSource(data, image_id="x", **options)


@pytest.mark.parametrize(
    ("dtype", "limits", "expected"),
    [
        (np.uint8, None, None),
        (np.uint8, "auto", (0.0, 99.0)),
        (np.uint16, None, (0.0, 99.0)),
        (np.uint16, (3, 7), (3.0, 7.0)),
    ],
)
def test_limits_of_images(dtype: Any, limits: Any, expected: Any) -> None:
    data = np.arange(100).reshape(10, 10).astype(dtype)
    found = image_limits(data, limits)
    assert (
        found == expected if expected is None else found == pytest.approx(expected, abs=0.2)
    )


def test_from_image_of_a_stack() -> None:
    plane = PlaneSource.from_image(STACK, axes="TZYX", at={"z": 2}, image_id="s")
    np.testing.assert_array_equal(plane.read(0, 20, 0, 30), STACK[0, 2])
    assert plane.key.index == (0, 2)


def test_from_image_asks_for_the_channel() -> None:
    with pytest.raises(ImageError, match="3 channels"):
        PlaneSource.from_image(STACK[:, 0], axes="CYX")
    plane = PlaneSource.from_image(STACK[:, 0], axes="CYX", channel=1)
    np.testing.assert_array_equal(plane.read(0, 20, 0, 30), STACK[1, 0])
    single = PlaneSource.from_image(STACK[:1, 0], axes="CYX")
    assert single.key.channel == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"at": {"T": 1}}, "no axis T"), ({"channel": 0}, "no axis of channels")],
    ids=["axis", "channel"],
)
def test_from_image_without_such_an_axis(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        PlaneSource.from_image(STACK[0], axes="ZYX", **options)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_thin_images(shape: tuple[int, int]) -> None:
    plane = PlaneSource.from_image(np.full(shape, np.nan))
    assert plane.read(0, shape[0], 0, shape[1]).tolist() == np.zeros(shape, int).tolist()
