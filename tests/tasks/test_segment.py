from __future__ import annotations

import json
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.brightness import BrightSegmenter, disks

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.label_tiff import read_labels
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


def test_one_plane_at_a_time() -> None:
    with pytest.raises(ImageError, match="holds several planes"):
        segment(np.zeros((3, 64, 64), np.uint8), points=[9, 9])
