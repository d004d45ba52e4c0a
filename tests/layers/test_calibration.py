from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest

from napari_cellprompt._writer import write_layer
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.layers.calibration import (
    calibrated_meta,
    calibration_note,
    file_calibration,
    is_calibrated,
)
from napari_cellprompt.layers.prompting.prompts import add_labels_layer

IMAGEJ: dict[str, Any] = {
    "imagej": True,
    "resolution": (5, 5),
    "metadata": {"axes": "TYX", "finterval": 1.0, "unit": "um"},
}
OME: dict[str, Any] = {
    "ome": True,
    "metadata": {
        "axes": "CZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeY": 0.1,
        "PhysicalSizeZ": 500.0,
        "PhysicalSizeZUnit": "nm",
    },
}


@pytest.fixture(autouse=True)
def napari_reads_files(npe2pm: PluginManager) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari"))


def opened(path: Path, data: np.ndarray, **options: Any) -> tuple[ViewerModel, Any]:
    """A viewer with a file in it, as napari's own reader opens it: without calibration."""
    tifffile.imwrite(path, data, **options)
    viewer = ViewerModel()
    (image,) = viewer.open(path, plugin="napari")
    return viewer, image


@pytest.mark.parametrize(
    ("shape", "options", "axes", "scale", "channel_axis"),
    [
        pytest.param((4, 20, 30), IMAGEJ, "TYX", (1, 0.2, 0.2), None, id="imagej"),
        pytest.param((2, 4, 20, 30), OME, "ZYX", (0.5, 0.1, 0.1), 0, id="ome"),
    ],
)
def test_exported_labels_have_the_voxel_size_of_the_file(
    tmp_path: Path,
    shape: tuple[int, ...],
    options: dict[str, Any],
    axes: str,
    scale: tuple[float, ...],
    channel_axis: int | None,
) -> None:
    viewer, image = opened(tmp_path / "a.tif", np.zeros(shape, np.uint16), **options)
    assert not is_calibrated(image)
    labels = add_labels_layer(viewer, image, channel_axis=channel_axis)
    data, meta, _ = labels.as_layer_data_tuple()
    write_layer(tmp_path / "l.tif", data, calibrated_meta(meta, labels.ndim, image))
    written = read_labels(tmp_path / "l.tif")
    assert written.axes == axes
    assert written.scale == pytest.approx(scale)
    assert written.unit == "um"
    assert written.known == axes
    note = calibration_note(image)
    assert note is not None
    assert f"X {scale[-1]:g} um" in note


def test_a_calibrated_layer_keeps_what_it_says(tmp_path: Path) -> None:
    _, image = opened(tmp_path / "a.tif", np.zeros((4, 20, 30), np.uint8), **IMAGEJ)
    image.scale = (3, 2, 2)
    meta = {"scale": (3, 2, 2)}
    assert calibrated_meta(meta, 3, image) == meta
    assert calibration_note(image) is None


@pytest.mark.parametrize("kind", ["no file", "no calibration", "other axes", "damaged"])
def test_files_that_say_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.tif"
    options = {"photometric": "minisblack"} if kind == "no calibration" else IMAGEJ
    viewer, image = opened(path, np.zeros((4, 20, 30), np.uint8), **options)
    if kind == "no file":
        image = viewer.add_image(np.zeros((4, 20, 30)))
    elif kind == "other axes":
        image.data = image.data[1:]
    elif kind == "damaged":
        path.write_bytes(b"no longer a TIFF")
    assert file_calibration(image) is None
    assert calibrated_meta({"scale": (1, 1, 1)}, 3, image) == {"scale": (1, 1, 1)}
    assert calibrated_meta({}, 3, None) == {}
