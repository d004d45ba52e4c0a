from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.image_types import LabelGrid
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.ome_zarr import LabelStore, is_zarr
from napari_cellprompt.io.tiled_tiff import write_tiled

GRID = LabelGrid((2, 1100, 1030), "ZYX", (2.0, 0.5, 0.25), "um", "ZYX")


def labels() -> np.ndarray:
    found = np.zeros(GRID.shape, np.uint16)
    found[0, 10:200, 5:90] = 1
    found[1, 1000:1100, 900:1030] = 700
    return found


def multiscale(version: str, path: Path, pixels: np.ndarray) -> None:
    """An image ``TCYX`` as other programs write it."""
    kept = {
        "version": version,
        "axes": [
            {"name": "t", "type": "time", "unit": "millisecond"},
            {"name": "c", "type": "channel"},
            {"name": "y", "type": "space", "unit": "nanometer"},
            {"name": "x", "type": "space", "unit": "nanometer"},
        ],
        "datasets": [
            {
                "path": "full",
                "coordinateTransformations": [{"type": "scale", "scale": [500, 1, 65, 65]}],
            }
        ],
    }
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("full", data=pixels)
    metadata = {"multiscales": [kept]}
    group.attrs.update(metadata if version == "0.4" else {"ome": metadata})


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_images_are_read_where_they_lie(version: str, tmp_path: Path) -> None:
    pixels = np.arange(2 * 3 * 20 * 30, dtype=np.uint16).reshape(2, 3, 20, 30)
    path = tmp_path / "image.zarr"
    multiscale(version, path, pixels)
    image = read_image(path)
    assert not isinstance(image.data, np.ndarray)
    assert (image.axes, image.unit, image.known) == ("TCYX", "nm", "TYX")
    assert image.scale == (0.5, 1.0, 65.0, 65.0)
    np.testing.assert_array_equal(np.asarray(image.data[1, 2]), pixels[1, 2])


def test_collections_and_plain_arrays(tmp_path: Path) -> None:
    pixels = np.ones((2, 3, 20, 30), np.uint8)
    group = zarr.open_group(str(tmp_path / "many.zarr"), mode="w", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    multiscale("0.4", tmp_path / "many.zarr" / "0", pixels)
    image = read_image(tmp_path / "many.zarr")
    assert image.axes == "TCYX"
    assert "the first is used" in image.notes[0]
    zarr.create_array(str(tmp_path / "plain.zarr"), data=pixels[0, 0])
    assert read_image(tmp_path / "plain.zarr").axes == "YX"
    zarr.create_array(str(tmp_path / "four.zarr"), data=pixels)
    with pytest.raises(ImageError, match="needs its axes named"):
        read_image(tmp_path / "four.zarr")
    assert read_image(tmp_path / "four.zarr", "TZYX").axes == "TZYX"


def test_what_is_no_image(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "plate.zarr"), mode="w", zarr_format=2)
    group.attrs["plate"] = {"rows": []}
    with pytest.raises(ImageError, match="is a plate: give one of its images"):
        read_image(tmp_path / "plate.zarr")
    zarr.open_group(str(tmp_path / "none.zarr"), mode="w", zarr_format=2)
    with pytest.raises(ImageError, match="holds no image in the layout"):
        read_image(tmp_path / "none.zarr")
    assert not is_zarr(tmp_path)


def test_labels_come_back(tmp_path: Path) -> None:
    wanted = labels()
    store = LabelStore.create(tmp_path / "work", GRID, wanted.dtype, 256)
    for z in range(2):
        for y in range(0, 1100, 512):
            for x in range(0, 1030, 512):
                store.write((z,), y, x, wanted[z, y : y + 512, x : x + 512])
    target = store.finish(tmp_path / "labels.zarr", GRID)
    assert not store.path.exists()
    found = read_image(target)
    np.testing.assert_array_equal(found.data[:], wanted)
    assert (found.axes, found.scale, found.unit) == ("ZYX", GRID.scale, "um")
    group = zarr.open_group(str(target), mode="r")
    np.testing.assert_array_equal(group["1"][:], wanted[:, ::2, ::2])
    [written] = group.attrs["multiscales"]
    assert [item["path"] for item in written["datasets"]] == ["0", "1"]
    [transformation] = written["datasets"][1]["coordinateTransformations"]
    assert transformation["scale"] == [2.0, 1.0, 0.5]
    assert group.attrs["image-label"]
    # an older one is replaced
    LabelStore.create(tmp_path / "work", GRID, wanted.dtype, 256).finish(target, GRID)
    assert not read_image(target).data[:].any()
    assert [path.name for path in tmp_path.iterdir()] == ["labels.zarr"]


def test_a_tiled_tiff(tmp_path: Path) -> None:
    wanted = labels()
    path = write_tiled(tmp_path / "labels.tif", wanted, GRID)
    found = read_labels(path)
    np.testing.assert_array_equal(found.labels, wanted)
    assert (found.axes, found.scale, found.unit) == ("ZYX", GRID.scale, "um")
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].tile == (512, 512)
    with pytest.raises(SaveError, match="does not exist"):
        write_tiled(tmp_path / "none" / "labels.tif", wanted, GRID)


def test_a_numpy_array_stays_in_its_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((5, 20, 30), np.uint16))
    image = read_image(tmp_path / "a.npy")
    assert isinstance(image.data, np.memmap)
    assert image.axes == "ZYX"
