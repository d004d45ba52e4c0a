"""Labels that were exported come back voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from tests.io.exports.conftest import SHAPES, STEPS, awkward_labels, subject_of

from napari_cellprompt.io.imports.formats import format_of, read_import
from napari_cellprompt.io.objects import ObjectFacts

Export = Callable[..., tuple[Path, list[str]]]

NAMES = {
    "tiff": "a.tif",
    "planes": "a_planes",
    "ome-zarr": "a.ome.zarr",
    "coco": "a.json",
    "roi": "a.zip",
    "cellpose": "a_seg.npy",
}
CALIBRATED = {"tiff", "ome-zarr", "coco", "roi"}


@pytest.mark.parametrize("large", [200, 65_535, 70_000, 2**31 + 5])
@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("key", NAMES)
def test_labels_come_back(key: str, axes: str, large: int, export: Export) -> None:
    labels = awkward_labels(axes, large)
    path, _ = export(subject_of(labels, axes), key, NAMES[key])
    read = read_import(path, axes=axes)
    np.testing.assert_array_equal(np.asarray(read.labels), labels)
    assert (read.grid.axes, tuple(read.grid.shape)) == (axes, labels.shape)
    if key in CALIBRATED:
        assert read.grid.unit == "um"
        assert read.grid.scale == pytest.approx([STEPS[axis] for axis in axes])
        assert set(read.grid.known) == set(axes)


@pytest.mark.parametrize("axes", ["TYX", "TZYX"])
def test_tracks_come_back(axes: str, export: Export) -> None:
    labels = awkward_labels(axes, 65_000)
    # the empty frame makes gaps; here none is wanted
    labels[2] = labels[1]
    labels[-1][labels[-1] == 7] = 8
    path, said = export(subject_of(labels, axes, {8: ObjectFacts(parent=7)}), "ctc", "RES")
    read = read_import(path)
    np.testing.assert_array_equal(np.asarray(read.labels), labels)
    assert read.objects[8].parent == 7
    assert read.objects[1].parent is None
    assert any("voxel size" in sentence for sentence in said)


@pytest.mark.parametrize("key", ["ome-zarr", "coco", "roi"])
def test_what_is_said_of_objects_comes_back(key: str, export: Export) -> None:
    objects = {
        1: ObjectFacts("left one", "mitotic cell", "verified", 0.75, None),
        3: ObjectFacts("", "", "needs work", 0.25, 1),
    }
    labels = awkward_labels("ZYX", 70_000)
    path, _ = export(subject_of(labels, "ZYX", objects), key, NAMES[key])
    read = read_import(path).objects
    assert {1: read[1], 3: read[3]} == objects
    assert read.get(2, ObjectFacts()) == ObjectFacts()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("train-cellpose", "for_cellpose"),
        ("train-stardist", "for_stardist"),
        ("train-micro-sam", "for_micro_sam"),
    ],
)
@pytest.mark.parametrize("axes", SHAPES)
def test_training_folders_come_back(key: str, name: str, axes: str, export: Export) -> None:
    labels = awkward_labels(axes, 70_000)
    image = np.random.default_rng(0).integers(0, 4000, labels.shape).astype(np.uint16)
    subject = subject_of(labels, axes, image=image)
    path, said = export(subject, key, name)
    assert any("all are taken as if they were" in sentence for sentence in said)
    read = read_import(path, like=subject.grid)
    np.testing.assert_array_equal(np.asarray(read.labels), labels)
    assert read.grid == subject.grid


@pytest.mark.parametrize("key", NAMES)
def test_lazy_and_transposed_labels(key: str, export: Export) -> None:
    labels = awkward_labels("TZYX", 70_000)
    turned = da.from_array(labels.transpose(1, 3, 2, 0), chunks=(1, 31, 22, 1))
    path, _ = export(subject_of(turned, "ZXYT"), key, NAMES[key])
    read = read_import(path, axes="TZYX")
    np.testing.assert_array_equal(np.asarray(read.labels), labels)


@pytest.mark.parametrize("key", NAMES)
def test_no_objects(key: str, export: Export) -> None:
    labels = np.zeros((3, 8, 9), np.uint16)
    path, _ = export(subject_of(labels, "ZYX"), key, NAMES[key])
    assert not np.asarray(read_import(path, axes="ZYX").labels).any()


@pytest.mark.parametrize(
    ("key", "name", "wanted"),
    [
        *((key, name, key) for key, name in NAMES.items()),
        ("ctc", "RES", "ctc"),
        ("train-cellpose", "c", "train"),
        ("train-stardist", "s", "train"),
    ],
)
def test_formats_are_recognised(key: str, name: str, wanted: str, export: Export) -> None:
    labels = awkward_labels("TYX", 30)
    path, _ = export(subject_of(labels, "TYX", image=labels), key, name)
    assert format_of(path) == wanted
