"""A calibrated file that napari's own reader has opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager, PluginManifest
from tests.widgets.conftest import FIRST, Desk, blobs

from napari_cellprompt.io.label_tiff import read_labels


@pytest.fixture
def opened(
    tmp_path: Path, npe2pm: PluginManager, make_napari_viewer: Any, session: Any, wait: Any
) -> tuple[Desk, Any]:
    """A desk with such a file on it."""
    npe2pm.register(PluginManifest.from_distribution("napari"))
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.stack([blobs()] * 3),
        imagej=True,
        resolution=(5, 5),
        metadata={"axes": "ZYX", "spacing": 1.5, "unit": "um"},
    )
    viewer = make_napari_viewer()
    (image,) = viewer.open(tmp_path / "a.tif", plugin="napari")
    return Desk(viewer, session, wait), image


def test_the_voxel_size_of_the_file_is_told_and_set_by_one_click(opened: Any) -> None:
    desk, image = opened
    note = desk.widget.calibration
    desk.wait(lambda: not note.isHidden())
    assert "Z 1.5 um, Y 0.2 um, X 0.2 um" in note.line.text()
    desk.viewer.dims.set_current_step(0, 2)
    plane = tuple(desk.viewer.dims.current_step[:1])
    assert desk.object_at(FIRST, plane) == 1
    points = desk.form.points.value
    desk.click((45.0, 34.0), plane)
    desk.see()
    preview = desk.controller.preview.layer
    shown = preview.data_to_world((0,) * preview.ndim)
    note.button.click()
    moved = preview.data_to_world((0,) * preview.ndim)
    assert moved == pytest.approx(np.multiply(shown, (1.5, 0.2, 0.2)))
    assert note.isHidden()
    assert tuple(desk.viewer.dims.current_step[:1]) == plane, "the same plane is shown"
    labels = desk.form.labels.value
    for layer in (image, points, labels):
        assert tuple(layer.scale) == pytest.approx((1.5, 0.2, 0.2)), layer.name
        assert {str(unit) for unit in layer.units} == {"micrometer"}, layer.name
    # clicks and masks are where they were
    desk.see()
    desk.widget.accept()
    assert labels.data[plane][34, 45] == 2
    assert labels.data[plane][10, 12] == 1


def test_a_scale_that_was_set_elsewhere_ends_the_note(opened: Any) -> None:
    desk, image = opened
    note = desk.widget.calibration
    desk.wait(lambda: not note.isHidden())
    image.scale = (3, 1, 1)
    assert note.isHidden()
    note.use()
    assert tuple(image.scale) == (3, 1, 1)


def test_other_images_have_no_note(opened: Any) -> None:
    desk, image = opened
    desk.wait(lambda: not desk.widget.calibration.isHidden())
    desk.viewer.add_image(blobs(), name="plain")
    desk.wait(lambda: desk.widget.calibration.isHidden())
    assert desk.form.image.value.name == "plain"
    assert not image.events.scale.callbacks or all(
        "CalibrationNote" not in str(callback) for callback in image.events.scale.callbacks
    )


def test_file_save_of_napari_has_the_voxel_size(opened: Any, tmp_path: Path) -> None:
    desk, _ = opened
    desk.object_at(FIRST, tuple(desk.viewer.dims.current_step[:1]))
    labels = desk.form.labels.value
    from napari_cellprompt._writer import write_layer

    data, meta, _ = labels.as_layer_data_tuple()
    write_layer(tmp_path / "saved.tif", data, meta)
    assert read_labels(tmp_path / "saved.tif").scale == pytest.approx((1.5, 0.2, 0.2))
