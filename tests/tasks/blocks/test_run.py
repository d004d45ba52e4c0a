"""Images in blocks against the answer for the whole image, in one process."""

from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from tests.brightness import BrightSegmenter, disks

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.image_files import read_image
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.tasks.blocks import steps
from napari_cellprompt.tasks.blocks.run import run
from napari_cellprompt.tasks.everything import run as run_whole
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import EverythingRequest


def one_by_one(function, items):
    for item in items:
        yield item, function(item, 1)


@pytest.fixture(autouse=True)
def segmenter(monkeypatch: pytest.MonkeyPatch) -> BrightSegmenter:
    segmenter = BrightSegmenter()
    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: segmenter)
    monkeypatch.setattr(steps, "_kept", [])
    return segmenter


@pytest.fixture
def image(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """An OME-Zarr with disks, some of them on the borders of blocks of 128."""
    centres = [(y, x) for y in range(20, 300, 36) for x in range(22, 280, 36)]
    pixels, truth = disks((300, 290), centres, 9)
    path = tmp_path / "image.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=pixels, chunks=(64, 64))
    group.attrs["multiscales"] = [
        {
            "axes": [
                {"name": name, "type": "space", "unit": "micrometer"} for name in "yx"
            ],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.25]}],
                }
            ],
        }
    ]
    return path, truth


def request_for(image: Path, name: str, **values: object) -> EverythingRequest:
    return EverythingRequest(image=image, output=image.parent / name, size=19, **values)


@pytest.mark.parametrize("name", ["labels.zarr", "labels.tif"])
def test_as_the_whole_image(image, name: str) -> None:
    path, truth = image
    said: list[str] = []
    count = run(request_for(path, name), one_by_one, Report(say=said.append), side=128)
    whole = request_for(path, "whole.tif")
    run_whole(whole)
    wanted = read_labels(whole.output).labels
    found = read_image(path.parent / name)
    labels = np.asarray(found.data)
    assert count == labels.max() == len(np.unique(labels)) - 1 == truth.max()
    assert average_precision(labels, wanted)[1] == 1.0
    assert average_precision(labels, truth)[0] == 1.0
    assert (found.axes, found.scale, found.unit) == ("YX", (0.5, 0.25), "um")
    assert any("9 blocks of 128, 9 left" in text for text in said)
    assert not list(path.parent.glob(".*"))


def test_it_goes_on_where_it_was_stopped(image, monkeypatch) -> None:
    path, _ = image
    run(request_for(path, "undisturbed.zarr"), one_by_one, side=128)
    searched: list[int] = []
    find = steps.find

    def watched(work, attempt):
        searched.append(work[1].number)
        return find(work, attempt)

    monkeypatch.setattr("napari_cellprompt.tasks.blocks.run.find", watched)
    report = Report(cancelled=lambda: len(searched) == 4)
    request = request_for(path, "labels.zarr")
    with pytest.raises(CancelledError):
        run(request, one_by_one, report, side=128)
    assert not request.output.exists()
    run(request, one_by_one, side=128)
    assert searched == list(range(9))
    np.testing.assert_array_equal(
        read_image(request.output).data[:],
        read_image(path.parent / "undisturbed.zarr").data[:],
    )


def test_other_settings_begin_anew(image) -> None:
    path, truth = image
    request = request_for(path, "labels.zarr")
    with pytest.raises(CancelledError):
        run(request, one_by_one, Report(cancelled=lambda: True), side=128)
    dropped = request_for(
        path, "labels.zarr", filters=FilterSettings(drop_border=True, min_area=9)
    )
    assert run(dropped, one_by_one, side=128) == truth.max()


def test_a_stack_has_ids_of_its_own_on_each_plane(tmp_path: Path) -> None:
    plane, _ = disks((150, 140), [(30, 30), (64, 64), (120, 100)], 9)
    tifffile.imwrite(
        tmp_path / "stack.tif", np.stack([plane, plane]), metadata={"axes": "ZYX"}
    )
    count = run(request_for(tmp_path / "stack.tif", "labels.tif"), one_by_one, side=128)
    labels = read_labels(tmp_path / "labels.tif").labels
    assert count == labels.max() == 6
    assert set(np.unique(labels[0])) == {0, 1, 2, 3}


def test_an_empty_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "empty.tif", np.zeros((200, 200), np.uint16))
    request = EverythingRequest(
        image=tmp_path / "empty.tif", output=tmp_path / "labels.tif"
    )
    assert run(request, one_by_one, side=128) == 0
    assert not read_labels(tmp_path / "labels.tif").labels.any()


@pytest.mark.parametrize(
    ("name", "side", "sentence"),
    [
        ("labels.png", 128, "must go to a .zarr or .tif"),
        ("image.zarr", 128, "is the image"),
        ("labels.zarr", 100, "multiple of 64"),
        ("none/labels.zarr", 128, "does not exist"),
    ],
)
def test_refused_before_the_work(image, name: str, side: int, sentence: str) -> None:
    path, _ = image
    with pytest.raises(ImageError, match=sentence):
        run(request_for(path, name), one_by_one, side=side)
    assert not list(path.parent.glob(".*"))
