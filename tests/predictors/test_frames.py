from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.predictors.frames import PagedArray, open_frames

GREY = np.random.default_rng(0).integers(0, 4000, (3, 7, 20, 30), dtype=np.uint16)
COLOUR = np.random.default_rng(1).integers(0, 255, (4, 20, 30, 3), dtype=np.uint8)


def read(frames, index: int) -> np.ndarray:
    return frames.plane(index).read(0, 20, 0, 30)


@pytest.mark.parametrize(
    ("array", "options", "axes", "count"),
    [
        pytest.param(GREY[0], {}, "ZYX", 7, id="stack"),
        pytest.param(
            GREY,
            {"imagej": True, "metadata": {"axes": "TZYX"}},
            "TZYX",
            7,
            id="movie of stacks",
        ),
        pytest.param(GREY[0], {"compression": "zlib"}, "ZYX", 7, id="compressed"),
        pytest.param(COLOUR, {"photometric": "rgb"}, "ZYXS", 4, id="colour"),
        pytest.param(COLOUR[0], {"photometric": "rgb"}, "TYXS", 1, id="one picture"),
    ],
)
def test_tiff(tmp_path, array, options, axes, count) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
    frames = open_frames(path, limits=None if array.dtype == np.uint8 else (0, 255))
    assert (frames.axes, len(frames), frames.shape) == (axes, count, (20, 30))
    last = array[-1] if count > 1 else array
    if array is GREY:
        last = GREY[0, -1]
    assert np.array_equal(read(frames, count - 1), last.clip(0, 255).astype(np.uint8))


def test_folder_is_sorted_by_number(tmp_path) -> None:
    for index, number in enumerate((1, 2, 10)):
        Image.fromarray(COLOUR[index]).save(tmp_path / f"frame{number}.png")
    frames = open_frames(tmp_path)
    assert [np.array_equal(read(frames, i), COLOUR[i]) for i in range(3)] == [True] * 3


def test_arrays_and_lists() -> None:
    assert len(open_frames(GREY[0])) == 7
    assert len(open_frames(COLOUR)) == 4
    assert len(open_frames(GREY[0, 0])) == 1
    assert np.array_equal(read(open_frames(list(COLOUR)), 2), COLOUR[2])
    moved = open_frames(GREY, axes="TZYX", along="t", limits=(0, 4000))
    assert len(moved) == 3


def test_pages_are_read_one_by_one() -> None:
    asked = []

    def page(number: int) -> np.ndarray:
        asked.append(number)
        return GREY[number // 7, number % 7]

    paged = PagedArray((3, 7), (20, 30), np.uint16, page)
    assert np.array_equal(paged[1, 2, 5:9, :], GREY[1, 2, 5:9])
    assert asked == [9]
    every = slice(None)
    assert np.array_equal(paged[every, 6, every, 3:4], GREY[:, 6, :, 3:4])
    with pytest.raises(IndexError, match="axes"):
        paged[0]


@pytest.mark.parametrize(
    ("source", "error", "sentence"),
    [
        pytest.param([], ImageError, "empty", id="no frames"),
        pytest.param("missing.tif", ImageError, "no file", id="missing"),
        pytest.param(3, TypeError, "source must be", id="number"),
        pytest.param([GREY], ImageError, "shape", id="four axes in a list"),
    ],
)
def test_what_holds_no_frames_is_refused(source, error, sentence) -> None:
    with pytest.raises(error, match=sentence):
        open_frames(source)


def test_frames_of_different_size_are_refused() -> None:
    with pytest.raises(ImageError, match="one size"):
        read(open_frames([GREY[0, 0], GREY[0, 1, :10]], limits=(0, 9)), 1)


def test_empty_folder_says_so(tmp_path) -> None:
    with pytest.raises(ImageError, match="holds no"):
        open_frames(tmp_path)
