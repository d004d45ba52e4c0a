from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_cellprompt.core.images.fingerprint import content_fingerprint, fingerprint

DATA = np.random.default_rng(3).integers(0, 4000, (4, 50, 60)).astype(np.uint16)


def test_equal_content_has_equal_names() -> None:
    assert (
        fingerprint(DATA)
        == fingerprint(DATA.copy())
        == fingerprint(np.asfortranarray(DATA))
    )
    assert len(fingerprint(DATA)) == 32


def test_every_pixel_of_an_array_in_memory_counts() -> None:
    other = DATA.copy()
    other[2, 31, 17] += 1
    assert fingerprint(other) != fingerprint(DATA)


@pytest.mark.parametrize(
    "other",
    [DATA.reshape(4, 60, 50), DATA.astype(np.int16), DATA[:3]],
    ids=["shape", "type", "fewer planes"],
)
def test_shape_and_type_count(other: np.ndarray) -> None:
    assert fingerprint(other) != fingerprint(DATA)


@pytest.mark.parametrize("make", [da.from_array, zarr.array], ids=["dask", "zarr"])
def test_lazy_arrays(make: Any) -> None:
    chunks = (1, 25, 30)
    assert fingerprint(make(DATA, chunks=chunks)) == fingerprint(make(DATA, chunks=chunks))
    assert fingerprint(make(DATA + 1, chunks=chunks)) != fingerprint(
        make(DATA, chunks=chunks)
    )


def test_large_lazy_arrays_are_read_in_a_few_places() -> None:
    reads = 0

    def block(block_id: tuple[int, ...]) -> np.ndarray:
        nonlocal reads
        reads += 1
        return np.full((1, 512, 512), sum(block_id), np.uint8)

    image = da.map_blocks(
        block,
        chunks=((1,) * 100, (512,) * 8, (512,) * 8),
        dtype=np.uint8,
        meta=np.empty((0,) * 3, "u1"),
    )
    reads = 0
    fingerprint(image)
    assert 1 <= reads <= 8


def test_memory_maps(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", DATA)
    stored = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert fingerprint(stored) == fingerprint(stored)


def test_empty_arrays_have_a_name() -> None:
    assert fingerprint(np.zeros((0, 5))) != fingerprint(np.zeros((5, 0)))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda data: da.from_array(data, chunks=(1, 17, 23)), id="dask"),
        pytest.param(zarr.array, id="zarr"),
        pytest.param(np.asfortranarray, id="other order in memory"),
        pytest.param(lambda data: data.astype(">u2"), id="other order of bytes"),
    ],
)
def test_a_content_fingerprint_does_not_depend_on_where_the_pixels_are(make: Any) -> None:
    assert content_fingerprint(make(DATA)) == content_fingerprint(DATA)


@pytest.mark.parametrize(
    "other",
    [DATA.reshape(4, 60, 50), DATA.astype(np.int16), DATA[:3], DATA + 1],
    ids=["shape", "type", "fewer planes", "other pixels"],
)
def test_a_content_fingerprint_tells_other_images(other: np.ndarray) -> None:
    assert content_fingerprint(other) != content_fingerprint(DATA)


def test_a_content_fingerprint_reads_little_of_a_large_image() -> None:
    read = 0

    class Counted:
        shape, dtype = (500, 4096, 4096), np.dtype("uint8")

        def __getitem__(self, key: Any) -> np.ndarray:
            nonlocal read
            block = np.zeros([part.stop - part.start for part in key[1:]], np.uint8)
            read += block.size
            return block

    content_fingerprint(Counted())  # type: ignore[arg-type]
    assert read == 8 * 16 * 64 * 64
