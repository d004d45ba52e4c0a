from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.sources import as_given, iterate_files, open_image
from napari_cellprompt.predictors.frames import open_frames
from napari_cellprompt.predictors.sources import iterate_source

STACK = np.random.default_rng(0).integers(0, 250, (5, 20, 30)).astype(np.uint8)


def one_by_one(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for plane in STACK:
            tif.write(plane, contiguous=False)


def planar(path: Path) -> None:
    colours = np.repeat(STACK[:, None], 3, axis=1)
    tifffile.imwrite(
        path, colours, photometric="rgb", planarconfig="separate", metadata=None
    )


def unnamed(path: Path) -> None:
    stack = STACK.reshape(5, 1, 20, 30).repeat(2, axis=1)[:, :1]
    tifffile.imwrite(path, stack.reshape(5, 20, 30), photometric="minisblack")


@pytest.mark.parametrize("write", [one_by_one, planar, unnamed])
def test_all_readers_give_the_same_answer(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(path)
    pages = [page for _, page in iterate_source(str(path))]
    frames = open_frames(path)
    opened = open_image(path)
    assert len(pages) == len(frames) == opened.data.shape[0] == 5
    for number, plane in enumerate(STACK):
        grey = pages[number] if pages[number].ndim == 2 else pages[number][..., 0]
        np.testing.assert_array_equal(grey, plane)
        seen = frames.plane(number).read(0, 20, 0, 30)
        np.testing.assert_array_equal(seen if seen.ndim == 2 else seen[..., 0], plane)


def test_four_axes_without_names_are_pages(tmp_path: Path) -> None:
    stack = np.stack([STACK, STACK + 1])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    pages = [page for _, page in iterate_files(tmp_path / "a.tif")]
    assert len(pages) == 10
    np.testing.assert_array_equal(pages[7], stack[1, 2])


def test_what_is_left_out_is_a_warning(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(STACK[0, :9, :9])
        tif.write(STACK[1])
    with pytest.warns(UserWarning, match="holds 2 images"):
        opened = open_image(tmp_path / "a.tif")
    assert opened.data.shape == (20, 30)
    with pytest.warns(UserWarning, match="holds 2 images"):
        assert len(list(iterate_source(tmp_path / "a.tif"))) == 1
    with pytest.warns(UserWarning, match="holds 2 images"):
        assert len(open_frames(tmp_path / "a.tif")) == 1
    assert open_image(tmp_path / "a.tif", series=0).data.shape == (9, 9)
    with pytest.raises(ImageError, match="Only a file"):
        open_image(STACK, series=0)


@pytest.mark.parametrize("make", [np.asarray, zarr.array])
def test_arrays_with_axes_in_any_order(make: Any) -> None:
    opened = open_image(make(np.ascontiguousarray(np.moveaxis(STACK, 0, -1))), "yxz")
    assert (opened.axes, opened.data.shape) == ("ZYX", STACK.shape)
    np.testing.assert_array_equal(np.asarray(opened.data[2, 3:9, :]), STACK[2, 3:9])
    labels = as_given(STACK, opened, opened.data, "yxz")
    np.testing.assert_array_equal(labels, np.moveaxis(STACK, 0, -1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colours_of_any_type_are_one_frame(dtype: Any) -> None:
    assert len(open_frames(np.zeros((20, 30, 3), dtype))) == 1
