from __future__ import annotations

import json
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.brightness import BrightSegmenter, disks

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.unfinished import folder_of
from napari_cellprompt.tasks import segment as task
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import SegmentRequest
from napari_cellprompt.tasks.segment import run, segment

CENTRES = [(16, 16), (44, 46)]


@pytest.fixture(autouse=True)
def bright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: BrightSegmenter())


@pytest.fixture
def request_(tmp_path: Path) -> SegmentRequest:
    image, _ = disks((64, 64), CENTRES, 8)
    tifffile.imwrite(
        tmp_path / "image.tif", np.stack([image] * 3), photometric="minisblack"
    )
    objects = [{"id": 3, "plane": z, "points": [[46, 44]]} for z in (0, 2)]
    (tmp_path / "p.json").write_text(json.dumps({"version": 1, "objects": objects}))
    return SegmentRequest(
        image=tmp_path / "image.tif",
        prompts=tmp_path / "p.json",
        output=tmp_path / "out.tif",
        axes="ZYX",
    )


def test_script_and_files_agree(request_) -> None:
    said: list[str] = []
    told: list[tuple[int, int]] = []
    run(request_, Report(say=said.append, progress=lambda *steps: told.append(steps)))
    labels = read_labels(request_.output).labels
    assert told == [(1, 2), (2, 2)]
    assert said[-1] == f"1 object written to {request_.output}"
    image = tifffile.imread(request_.image)[:1]
    results = segment(image, points=[46, 44])
    np.testing.assert_array_equal(
        labels[0] == 3, np.asarray(results.masks.data)[0].astype(bool)
    )
    assert not labels[1].any()


def test_a_stop_writes_nothing(request_) -> None:
    with pytest.raises(CancelledError):
        run(request_, Report(cancelled=lambda: True))
    assert not request_.output.exists()


def test_an_interrupted_run_goes_on_after_its_finished_planes(
    request_, monkeypatch
) -> None:
    run(request_)
    expected = read_labels(request_.output).labels
    request_.output.unlink()
    with pytest.raises(CancelledError):
        run(request_, stop_after(1))
    asked = planes_asked(monkeypatch)
    said: list[str] = []
    run(request_, Report(say=said.append))
    assert asked == [{"Z": 2}], "plane 0 was finished"
    assert any("kept (1)" in line for line in said)
    np.testing.assert_array_equal(read_labels(request_.output).labels, expected)
    assert not folder_of(request_.output).exists()


@pytest.mark.parametrize("other", ["pixels", "prompts", "channel"])
def test_what_another_request_has_finished_is_not_taken(
    request_, monkeypatch, other
) -> None:
    with pytest.raises(CancelledError):
        run(request_, stop_after(1))
    if other == "pixels":
        image = tifffile.imread(request_.image)
        tifffile.imwrite(request_.image, image + 1, photometric="minisblack")
    elif other == "prompts":
        text = request_.prompts.read_text()
        request_.prompts.write_text(text.replace("46, 44", "45, 44"))
    else:
        request_ = replace(request_, contrast=(0.0, 250.0))
    asked = planes_asked(monkeypatch)
    run(request_)
    assert asked == [{"Z": 0}, {"Z": 2}]


def stop_after(steps: int) -> Report:
    done: list[tuple[int, int]] = []
    return Report(
        progress=lambda *told: done.append(told), cancelled=lambda: len(done) == steps
    )


def planes_asked(monkeypatch) -> list[dict[str, int]]:
    """Receives the place of each plane that is predicted from now on."""
    asked: list[dict[str, int]] = []
    original = task.PlaneSource.from_image

    def note(*arguments, **options):
        asked.append(options["at"])
        return original(*arguments, **options)

    monkeypatch.setattr(task.PlaneSource, "from_image", note)
    return asked


def test_one_plane_at_a_time() -> None:
    with pytest.raises(ImageError, match="holds several planes"):
        segment(np.zeros((3, 64, 64), np.uint8), points=[9, 9])
