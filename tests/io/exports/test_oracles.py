"""What others' readers and validators say of exported files."""

from __future__ import annotations

import csv
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.measure import regionprops_table
from tests.io.exports.conftest import SHAPES, STEPS, awkward_labels, subject_of

from napari_cellprompt.io.imports.lineage import read_lineage
from napari_cellprompt.io.imports.tables import read_objects
from napari_cellprompt.io.objects import ObjectFacts

Export = Callable[..., tuple[Path, list[str]]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("axes", SHAPES)
def test_pycocotools_decodes_the_masks(axes: str, export: Export) -> None:
    from pycocotools import mask as coco_mask

    labels = awkward_labels(axes, 70_000)
    path, _ = export(subject_of(labels, axes), "coco", "a.json")
    content = json.loads(path.read_text())
    again = np.zeros((len(content["images"]), 22, 31), labels.dtype)
    for item in content["annotations"]:
        mask = coco_mask.decode(item["segmentation"]).astype(bool)
        assert item["area"] == mask.sum() == coco_mask.area(item["segmentation"])
        assert item["bbox"] == coco_mask.toBbox(item["segmentation"]).tolist()
        again[item["image_id"] - 1][mask] = item["object_id"]
    np.testing.assert_array_equal(again.reshape(labels.shape), labels)


@pytest.mark.filterwarnings("ignore:Empty frame")
@pytest.mark.parametrize("axes", ["TYX", "TZYX"])
def test_ctc_validates_the_tracks(
    axes: str, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctc_metrics.scripts.validate import validate_sequence

    labels = awkward_labels(axes, 60_000)
    labels[-1][labels[-1] == 7] = 8
    if axes == "TYX":
        assert not labels[2].any()
    objects = {8: ObjectFacts(parent=7), 3: ObjectFacts(parent=1)}
    path, said = export(subject_of(labels, axes, objects), "ctc", "01_RES")
    assert validate_sequence(str(path), threads=1) == {"Valid": 1}
    lines = [
        [int(field) for field in line.split()]
        for line in (path / "res_track.txt").read_text().splitlines()
    ]
    parents = {label: parent for label, *_, parent in lines}
    assert parents[3] == 0
    assert any("parent of 3 is left out" in sentence for sentence in said)
    if axes == "TYX":
        later = [line for line in lines if line[1] == 3]
        assert {line[3] for line in later} == {1, 2, 3, 4, 7, 9, 60_000}
        assert any("not there on some frames" in sentence for sentence in said)
        # 7 has two parts, the daughter follows on the later one
        assert parents[8] == next(line[0] for line in later if line[3] == 7)
    else:
        assert parents[8] == 7
    with tifffile.TiffFile(path / "mask000.tif") as tif:
        assert tif.series[0].dtype == np.uint16
        assert tif.series[0].shape == labels.shape[1:]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="ome-zarr-models lacks 3.14")
@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("channels", [0, 1, 2])
def test_ome_zarr_models_accept_the_metadata(
    axes: str, channels: int, export: Export
) -> None:
    import zarr
    from ome_zarr_models.v05.image import Image
    from ome_zarr_models.v05.image_label import ImageLabel

    labels = awkward_labels(axes, 70_000)
    image = None
    if channels:
        image = np.random.default_rng(0).integers(0, 4000, (channels, *labels.shape))
        image = image.astype(np.uint16)
    subject = subject_of(
        labels, axes, {3: ObjectFacts(class_name="ring")}, image, f"C{axes}"
    )
    path, _ = export(subject, "ome-zarr", "a.ome.zarr")
    root = zarr.open_group(str(path), mode="r")
    group = root["labels/cells"] if channels else root
    model = ImageLabel.from_zarr(group)
    (scales,) = model.ome_attributes.multiscales
    assert [axis.name for axis in scales.axes] == list(axes.lower())
    assert {axis.unit for axis in scales.axes if axis.type == "space"} == {"micrometer"}
    if channels:
        picture = Image.from_zarr(root)
        wanted = "".join(a for a in "TCZYX" if a in axes or (a == "C" and channels > 1))
        (scales,) = picture.ome_attributes.multiscales
        assert [axis.name for axis in scales.axes] == list(wanted.lower())
        stored = np.asarray(root["0"])
        order = [f"C{axes}".index(letter) for letter in wanted]
        expected = image.transpose(order) if channels > 1 else image[0]
        np.testing.assert_array_equal(stored, expected)


def test_levels_of_the_pyramid_are_every_second_pixel(export: Export) -> None:
    import zarr

    labels = np.zeros((2, 700, 1100), np.uint16)
    labels[:, 100:300, 500:900] = 5
    path, _ = export(subject_of(labels, "ZYX"), "ome-zarr", "a.ome.zarr")
    root = zarr.open_group(str(path), mode="r")
    assert [root[level].shape for level in "012"] == [
        (2, 700, 1100),
        (2, 350, 550),
        (2, 175, 275),
    ]
    np.testing.assert_array_equal(np.asarray(root["2"]), labels[:, ::4, ::4])


def test_geff_holds_the_lineage(export: Export) -> None:
    import geff

    labels = awkward_labels("TYX", 60_000)
    labels[-1][labels[-1] == 7] = 8
    labels[-1][labels[-1] == 9] = 10
    objects = {
        8: ObjectFacts(parent=7, state="verified", trust=0.5, class_name="daughter"),
        10: ObjectFacts(parent=9),
        3: ObjectFacts(parent=1),
    }
    path, said = export(subject_of(labels, "TYX", objects), "geff", "a.geff")
    geff.validate_structure(str(path))
    graph, metadata = geff.read(str(path))
    nodes = dict(graph.nodes(data=True))
    seen = {(said["t"], said["label"]) for said in nodes.values()}
    wanted = {(t, int(k)) for t in range(5) for k in np.unique(labels[t]) if k}
    assert seen == wanted
    assert [axis.name for axis in metadata.axes] == ["t", "y", "x"]
    assert [axis.unit for axis in metadata.axes][1:] == ["micrometer", "micrometer"]
    one = next(n for n in nodes.values() if n["label"] == 7 and n["t"] == 0)
    assert (one["y"], one["x"]) == pytest.approx((21 * 0.2, 30 * 0.16))
    read = read_lineage(path)
    assert read[8] == objects[8]
    assert (read[10].parent, read[3].parent, read[1].parent) == (9, None, None)
    assert any("parent that is not in the labels before it" in text for text in said)


def test_roi_positions_and_corners(export: Export) -> None:
    import roifile

    labels = np.zeros((2, 3, 10, 12), np.uint16)
    labels[1, 2, 3:5, 4:8] = 6
    path, _ = export(subject_of(labels, "TZYX"), "roi", "a.zip")
    (roi,) = roifile.roiread(path)
    assert (roi.position, roi.c_position, roi.z_position, roi.t_position) == (6, 1, 3, 2)
    assert roi.roitype is roifile.ROI_TYPE.TRACED
    corners = {tuple(corner) for corner in roi.coordinates().tolist()}
    assert corners == {(4, 3), (8, 3), (8, 5), (4, 5)}
    assert (roi.left, roi.top, roi.right, roi.bottom) == (4, 3, 8, 5)
    assert roi.name == "0006-0004-0006-6"
    with zipfile.ZipFile(path) as bundle:
        assert bundle.namelist() == ["0006-0004-0006-6.roi"]


def test_cellpose_finds_what_it_needs(export: Export) -> None:
    labels = awkward_labels("YX", 300)
    path, _ = export(subject_of(labels, "YX"), "cellpose", "a_seg.npy")
    content = np.load(path, allow_pickle=True).item()
    assert {"masks", "outlines", "filename", "flows", "ismanual"} <= set(content)
    assert content["masks"].dtype == np.uint16
    outlines = content["outlines"]
    assert (outlines[outlines > 0] == labels[outlines > 0]).all()
    assert outlines[3, 3] == 0
    assert outlines[3, 6] == 1
    assert outlines[3, 7] == 2


@pytest.mark.parametrize("axes", ["YX", "ZYX"])
def test_measurements_are_those_of_regionprops(axes: str, export: Export) -> None:
    labels = awkward_labels(axes, 300)
    image = np.random.default_rng(0).normal(1000, 50, (2, *labels.shape))
    facts = {3: ObjectFacts("", "ring", "verified", 0.5, None)}
    subject = subject_of(labels, axes, facts, image, f"C{axes}")
    path, _ = export(subject, "csv", "a.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = regionprops_table(
        labels.astype(np.int32),
        np.moveaxis(image, 0, -1),
        properties=(
            "label", "area", "centroid", "bbox",
            "intensity_mean", "intensity_std", "intensity_min", "intensity_max",
        ),
        spacing=[STEPS[axis] for axis in axes],
    )  # fmt: skip
    size = "volume_um3" if axes == "ZYX" else "area_um2"

    def column(name: str) -> list[float]:
        return [float(row[name]) for row in rows]

    assert column("label") == wanted["label"].tolist()
    np.testing.assert_allclose(column(size), wanted["area"], rtol=1e-8)
    for place, letter in enumerate(axes.lower()):
        np.testing.assert_allclose(
            column(f"centroid_{letter}_um"), wanted[f"centroid-{place}"], rtol=1e-8
        )
        assert column(f"first_{letter}") == wanted[f"bbox-{place}"].tolist()
        ends = [end + 1 for end in column(f"last_{letter}")]
        assert ends == wanted[f"bbox-{place + len(axes)}"].tolist()
    for channel in (0, 1):
        for ours, theirs in (
            ("mean", "mean"),
            ("sd", "std"),
            ("min", "min"),
            ("max", "max"),
        ):
            np.testing.assert_allclose(
                column(f"{ours}_{channel}"),
                wanted[f"intensity_{theirs}-{channel}"],
                rtol=1e-7,
                atol=1e-7,
            )
    assert read_objects(path)[3] == facts[3]


def test_measurements_of_a_movie_have_times(export: Export) -> None:
    labels = awkward_labels("TZYX", 300)
    path, _ = export(subject_of(labels, "TZYX"), "csv", "a.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    ones = [row for row in rows if row["label"] == "1"]
    assert [row["frame"] for row in ones] == ["0", "1", "2"]
    assert [float(row["time_s"]) for row in ones] == [0, 30, 60]
    assert [int(row["voxels"]) for row in ones] == [42 * 3, 42 * 4, 42 * 4]


@pytest.mark.parametrize(
    ("key", "labels_folder"),
    [("train-cellpose", ""), ("train-stardist", "masks"), ("train-micro-sam", "labels")],
)
def test_what_is_not_verified_is_to_be_ignored(
    key: str, labels_folder: str, export: Export
) -> None:
    labels = awkward_labels("ZYX", 300)
    image = np.stack([labels, labels + 5]).astype(np.uint16)
    facts = {k: ObjectFacts(state="verified") for k in (1, 2, 3, 4, 7, 9)}
    facts[300] = ObjectFacts(state="accepted")
    path, said = export(subject_of(labels, "ZYX", facts, image, "CZYX"), key, "train")
    assert any(sentence.startswith("1 object is not verified") for sentence in said)
    files = sorted(file.name for file in (path / "ignore").iterdir())
    # the empty plane 2 is left out
    assert files == [f"cells_z{z:03d}.tif" for z in (0, 1, 3)]
    ignored = tifffile.imread(path / "ignore" / "cells_z001.tif")
    np.testing.assert_array_equal(ignored, labels[1] == 300)
    suffix = "_masks" if key == "train-cellpose" else ""
    saved = tifffile.imread(path / labels_folder / f"cells_z001{suffix}.tif")
    expected = labels[1].astype(np.int64)
    if key == "train-stardist":
        expected[labels[1] == 300] = -1
    np.testing.assert_array_equal(saved, expected)
    folder = path if key == "train-cellpose" else path / "images"
    np.testing.assert_array_equal(tifffile.imread(folder / "cells_z001.tif"), image[:, 1])
