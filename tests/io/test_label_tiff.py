from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.io.label_tiff import read_labels, write_labels

SHAPES = {"YX": (20, 30), "ZYX": (4, 20, 30), "TYX": (5, 20, 30), "TZYX": (2, 3, 20, 30)}
STEPS = {"T": 30.0, "Z": 0.5, "C": 1.0, "Y": 0.2, "X": 0.1625}


def labels_of(shape: tuple[int, ...], largest: int, dtype: Any = np.int64) -> np.ndarray:
    labels = np.random.default_rng(0).integers(0, largest + 1, shape)
    labels.flat[0], labels.flat[-1] = 0, largest
    return labels.astype(dtype)


def pixels(xml: str) -> ElementTree.Element:
    return next(n for n in ElementTree.fromstring(xml).iter() if n.tag.endswith("Pixels"))


@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize(
    ("largest", "dtype"), [(200, np.uint8), (65535, np.uint16), (65536, np.uint32)]
)
def test_round_trip(axes: str, largest: int, dtype: type, tmp_path: Path) -> None:
    labels = labels_of(SHAPES[axes], largest)
    path = tmp_path / "labels.tif"
    steps = tuple(STEPS[axis] for axis in axes)
    assert write_labels(path, labels, axes=axes, scale=steps, unit="µm") == path
    found = read_labels(path)
    assert found.labels.dtype == dtype
    np.testing.assert_array_equal(found.labels, labels)
    assert (found.axes, found.unit) == (axes, "um")
    assert found.scale == pytest.approx(steps, rel=1e-6)
    assert os.listdir(tmp_path) == ["labels.tif"]


@pytest.mark.parametrize("axes", SHAPES)
def test_what_fiji_reads(axes: str, tmp_path: Path) -> None:
    labels = labels_of(SHAPES[axes], 300)
    path = write_labels(
        tmp_path / "a.tif", labels, axes=axes, scale=[STEPS[a] for a in axes], unit="micron"
    )
    with tifffile.TiffFile(path) as tif:
        said = tif.imagej_metadata
        page = tif.pages.first
        assert said is not None
        assert said["unit"] == "um"
        assert (said["min"], said["max"]) == (0, 300)
        assert said.get("slices", 1) == (
            SHAPES[axes][axes.index("Z")] if "Z" in axes else 1
        )
        assert said.get("frames", 1) == (SHAPES[axes][0] if "T" in axes else 1)
        assert said.get("spacing") == (0.5 if "Z" in axes else None)
        assert said.get("finterval") == (30 if "T" in axes else None)
        x, y = page.tags["XResolution"].value, page.tags["YResolution"].value
        assert x[0] / x[1] == pytest.approx(1 / 0.1625, rel=1e-6)
        assert y[0] / y[1] == pytest.approx(1 / 0.2, rel=1e-6)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert len(tif.pages) == labels.size // 600


def test_what_ome_readers_read(tmp_path: Path) -> None:
    labels = labels_of(SHAPES["TZYX"], 70000)
    path = write_labels(
        tmp_path / "a.tif", labels, axes="TZYX", scale=(30, 0.5, 0.2, 0.1625), unit="um"
    )
    with tifffile.TiffFile(path) as tif:
        assert tif.ome_metadata is not None
        said = pixels(tif.ome_metadata)
    assert said.get("Type") == "uint32"
    assert [said.get(f"Size{axis}") for axis in "TCZYX"] == ["2", "1", "3", "20", "30"]
    assert [float(said.get(f"PhysicalSize{axis}", 0)) for axis in "ZYX"] == [
        0.5,
        0.2,
        0.1625,
    ]
    assert {said.get(f"PhysicalSize{axis}Unit") for axis in "ZYX"} == {"µm"}
    assert (said.get("TimeIncrement"), said.get("TimeIncrementUnit")) == ("30.0", "s")


@pytest.mark.parametrize(
    ("unit", "imagej", "ome"),
    [
        *((unit, "um", "µm") for unit in ("um", "µm", "μm", "Micrometers", "microns")),
        ("nanometer", "nm", "nm"),
        ("mm", "mm", "mm"),
        ("", "pixel", "pixel"),
        ("pixel", "pixel", "pixel"),
        ("Å", "angstrom", "Å"),
        ("smoot", "smoot", "pixel"),
        ("ß\nmin=7", "\\u00DF min=7", "pixel"),
    ],
)
def test_units(unit: str, imagej: str, ome: str, tmp_path: Path) -> None:
    small = write_labels(tmp_path / "a.tif", labels_of((5, 6), 3), axes="YX", unit=unit)
    with tifffile.TiffFile(small) as tif:
        assert tif.imagej_metadata is not None
        assert tif.imagej_metadata["unit"] == imagej
        assert tif.imagej_metadata["min"] == 0
    large = write_labels(tmp_path / "b.tif", labels_of((5, 6), 70000), axes="YX", unit=unit)
    with tifffile.TiffFile(large) as tif:
        assert tif.ome_metadata is not None
        assert pixels(tif.ome_metadata).get("PhysicalSizeXUnit") == ome


def test_without_calibration_none_is_claimed(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", labels_of((3, 5, 6), 3), axes="TYX")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.imagej_metadata is not None
        assert "finterval" not in tif.imagej_metadata
    found = read_labels(tmp_path / "a.tif")
    assert (found.scale, found.unit) == ((1, 1, 1), "pixel")


@pytest.mark.parametrize(
    ("axes", "order"), [("ZTYX", (1, 0, 2, 3)), ("XY", (1, 0)), ("XYZ", (2, 1, 0))]
)
def test_other_orders_are_brought_to_imagejs(
    axes: str, order: tuple[int, ...], tmp_path: Path
) -> None:
    labels = labels_of((3, 4, 5, 6)[: len(axes)], 9)
    write_labels(tmp_path / "a.tif", labels, axes=axes, scale=[STEPS[a] for a in axes])
    found = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.labels, labels.transpose(order))
    assert found.scale == pytest.approx([STEPS[a] for a in found.axes])


@pytest.mark.parametrize("shape", [(3, 20, 3), (20, 3), (1, 1), (3, 7, 1)])
def test_short_axes_are_no_colours(shape: tuple[int, ...], tmp_path: Path) -> None:
    labels = labels_of(shape, 70000)
    write_labels(tmp_path / "a.tif", labels, axes="ZYX"[-len(shape) :])
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").labels, labels)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.uint64, ">u2", np.uint32])
def test_any_integer_type_gets_the_smallest(dtype: Any, tmp_path: Path) -> None:
    labels = np.eye(7, dtype=dtype)
    write_labels(tmp_path / "a.tif", labels, axes="YX")
    found = read_labels(tmp_path / "a.tif").labels
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, labels)


def test_no_object_at_all(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.tif", np.zeros((5, 6), np.uint16), axes="YX")
    assert not read_labels(tmp_path / "a.tif").labels.any()


@pytest.mark.parametrize("make", [da.from_array, zarr.array], ids=["dask", "zarr"])
def test_lazy_labels(make: Any, tmp_path: Path) -> None:
    labels = labels_of((2, 3, 20, 30), 900)
    write_labels(tmp_path / "a.tif", make(labels, chunks=(1, 1, 20, 30)), axes="TZYX")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").labels, labels)


def test_lazy_labels_are_never_held_whole(tmp_path: Path) -> None:
    class Planes:
        shape, dtype = (50, 64, 64), np.dtype(np.int32)

        def __init__(self) -> None:
            self.sizes: set[int] = set()

        def __getitem__(self, key: Any) -> np.ndarray:
            part = np.broadcast_to(np.int32(5), self.shape)[key]
            self.sizes.add(part.size)
            return part

    planes = Planes()
    write_labels(tmp_path / "a.tif", planes, axes="ZYX")
    assert planes.sizes == {64 * 64}


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        pytest.param(np.zeros((4, 5)), {}, "whole numbers.*float64", id="float"),
        pytest.param(np.full((4, 5), -2), {}, "negative: found -2", id="negative"),
        pytest.param(np.full((4, 5), 2**32), {}, "must lie in 0", id="too large"),
        pytest.param(np.zeros((0, 5), int), {}, "empty", id="empty"),
        pytest.param(
            np.zeros((4, 5), int), {"axes": "ZYX"}, "each axis", id="too many axes"
        ),
        pytest.param(np.zeros((4, 5), int), {"axes": "TX"}, "each axis", id="no Y"),
        pytest.param(np.zeros((4, 5), int), {"axes": "QX"}, "each axis", id="unknown"),
        pytest.param(
            np.zeros((4, 5), int), {"scale": (1,)}, "scale must", id="short scale"
        ),
        pytest.param(
            np.zeros((4, 5), int), {"scale": (0, 1)}, "scale must", id="zero scale"
        ),
        pytest.param(np.zeros((4, 5), int), {"scale": (np.nan, 1)}, "scale must", id="nan"),
    ],
)
def test_bad_labels(
    labels: np.ndarray, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    with pytest.raises(ImageError, match=message):
        write_labels(path, labels, **{"axes": "YX", **options})
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tif"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="does not exist"):
        write_labels(tmp_path / "no" / "a.tif", np.zeros((4, 5), int), axes="YX")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="is a folder"):
        write_labels(tmp_path, np.zeros((4, 5), int), axes="YX")


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulated: the superuser may write everywhere.
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(SaveError, match="no permission"):
        write_labels(tmp_path / "a.tif", np.zeros((4, 5), int), axes="YX")


def test_full_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_labels(tmp_path / "a.tif", labels_of((4, 5), 7), axes="YX")
    before = path.read_bytes()

    def fill(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tifffile.TiffWriter, "write", fill)
    with pytest.raises(SaveError, match="disk is full"):
        write_labels(path, labels_of((4, 5), 9), axes="YX")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.tif"]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.tif"
    real.write_bytes(b"old")
    link = tmp_path / "link.tif"
    link.symlink_to(real)
    write_labels(link, labels_of((4, 5), 7), axes="YX")
    assert link.is_symlink()
    assert read_labels(real).labels.max() == 7


@pytest.mark.skipif(sys.platform == "win32", reason="no such rights on Windows")
def test_others_may_read_the_file_as_usual(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    usual.touch()
    path = write_labels(tmp_path / "a.tif", labels_of((4, 5), 7), axes="YX")
    assert path.stat().st_mode == usual.stat().st_mode


def test_images_are_no_labels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 5), 0.5, np.float32))
    with pytest.raises(ImageError, match="holds no labels"):
        read_labels(tmp_path / "a.tif")
