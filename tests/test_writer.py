"""The writer contribution, from Labels layers to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest

from napari_cellprompt._exports import get_reader
from napari_cellprompt._writer import write_layer
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.layers.meta import axes_of_layer, calibration_of_layer


def blobs(*shape: int, largest: int = 7) -> np.ndarray:
    labels = np.zeros(shape, np.uint32)
    labels[..., 1:3, 1:4] = largest
    return labels


@pytest.mark.parametrize(
    ("shape", "layer", "axes", "scale", "unit"),
    [
        pytest.param((5, 6), {}, "YX", (1, 1), "pixel", id="plain"),
        pytest.param(
            (5, 6), {"scale": (0.5, 0.25), "units": "um"}, "YX", (0.5, 0.25), "um", id="um"
        ),
        pytest.param(
            (3, 5, 6),
            {"scale": (1, 0.25, 0.25), "units": ("um", "um", "um")},
            "ZYX",
            (1, 0.25, 0.25),
            "um",
            id="stack",
        ),
        pytest.param(
            (3, 5, 6),
            {"scale": (5, 250, 250), "units": ("min", "nm", "nm")},
            "TYX",
            (300, 250, 250),
            "nm",
            id="minutes",
        ),
        pytest.param(
            (3, 5, 6),
            {"scale": (2, 0.3, 0.3), "units": ("um", "nm", "um")},
            "ZYX",
            (2, 0.0003, 0.3),
            "um",
            id="mixed-lengths",
        ),
        pytest.param(
            (2, 3, 5, 6),
            {"scale": (60, 1, 0.3, 0.3), "units": ("s", "um", "um", "um")},
            "TZYX",
            (60, 1, 0.3, 0.3),
            "um",
            id="4d",
        ),
        pytest.param(
            (3, 5, 6),
            {"axis_labels": ("t", "y", "x"), "scale": (4, 1, 1)},
            "TYX",
            (4, 1, 1),
            "pixel",
            id="named-axes",
        ),
    ],
)
def test_axes_and_voxel_size_come_from_the_layer(
    tmp_path: Path,
    shape: tuple[int, ...],
    layer: dict[str, object],
    axes: str,
    scale: tuple[float, ...],
    unit: str,
) -> None:
    data, meta, _ = Labels(blobs(*shape), **layer).as_layer_data_tuple()
    path = tmp_path / "labels.tif"
    assert write_layer(str(path), data, meta) == [str(path)]
    saved = read_labels(path)
    assert (saved.axes, saved.unit) == (axes, unit)
    assert saved.scale == pytest.approx(scale, rel=1e-5)
    np.testing.assert_array_equal(saved.labels, blobs(*shape))


@pytest.mark.parametrize(
    ("largest", "dtype", "imagej"),
    [(255, "uint8", True), (256, "uint16", True), (65536, "uint32", False)],
    ids=["8-bit", "16-bit", "ome"],
)
def test_the_smallest_type_that_holds_the_ids(
    tmp_path: Path, largest: int, dtype: str, imagej: bool
) -> None:
    path = tmp_path / "labels.tif"
    layer = Labels(blobs(5, 6, largest=largest), scale=(0.5, 0.5), units=("um", "um"))
    data, meta, _ = layer.as_layer_data_tuple()
    write_layer(path, data, meta)
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].dtype == dtype
        assert (tif.is_imagej, tif.is_ome) == (imagej, not imagej)


def test_a_pyramid_is_written_at_full_resolution(tmp_path: Path) -> None:
    full = blobs(16, 16)
    data, meta, _ = Labels([full, full[::2, ::2]]).as_layer_data_tuple()
    write_layer(tmp_path / "labels.tif", data, meta)
    np.testing.assert_array_equal(read_labels(tmp_path / "labels.tif").labels, full)


def test_an_affine_stretches_the_voxels() -> None:
    meta = {"scale": (2.0, 2.0), "affine": np.diag([1.0, 3.0, 1.0]), "units": ("um", "um")}
    assert calibration_of_layer("YX", meta) == ([2.0, 6.0], "µm")


def test_lengths_and_pixels_do_not_mix() -> None:
    scale, unit = calibration_of_layer(
        "ZYX", {"scale": (3.0, 0.2, 0.2), "units": ("pixel", "um", "um")}
    )
    assert (scale, unit) == ([3.0, 0.2, 0.2], "µm")


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (("time", "row", "column"), "TYX"),
        (("-3", "-2", "-1"), "ZYX"),
        (("a", "y", "x"), "ZYX"),
        (("x", "y", "z"), "XYZ"),
    ],
    ids=["words", "napari-defaults", "unknown", "reversed"],
)
def test_axis_labels(labels: tuple[str, ...], axes: str) -> None:
    assert axes_of_layer(3, {"axis_labels": labels}) == axes


def test_file_save_reaches_the_writer(tmp_path: Path, npe2pm: PluginManager) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-cellprompt"))
    layer = Labels(blobs(3, 5, 6), scale=(1, 0.25, 0.25), units=("um", "um", "um"))
    (written,) = layer.save(str(tmp_path / "saved.tif"), plugin="napari-cellprompt")
    assert read_labels(written).scale == pytest.approx((1, 0.25, 0.25))


@pytest.mark.parametrize(
    "name", ["a.json", "a.zip", "a.ome.zarr", "a_seg.npy"], ids=lambda name: name
)
def test_formats_of_others_through_the_file_menu(
    name: str, tmp_path: Path, npe2pm: PluginManager
) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-cellprompt"))
    labels = blobs(3, 5, 6, largest=70_000)
    layer = Labels(labels, scale=(1, 0.25, 0.25), units=("um", "um", "um"))
    (written,) = layer.save(str(tmp_path / name), plugin="napari-cellprompt")
    viewer = ViewerModel()
    (read,) = viewer.open(written, plugin="napari-cellprompt")
    assert isinstance(read, Labels)
    np.testing.assert_array_equal(np.asarray(read.data), labels)
    if not name.endswith(".npy"):
        np.testing.assert_allclose(read.scale, (1, 0.25, 0.25))
        assert [str(unit) for unit in read.units] == ["micrometer"] * 3


def test_files_that_hold_no_labels_are_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "photo.tif").write_bytes(b"")
    assert get_reader(str(tmp_path / "photo.tif")) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path)]) is None
