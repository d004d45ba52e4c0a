from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.brightness import BrightSegmenter, disks

from napari_cellprompt.core.everything.finding import (
    EverythingSettings,
)
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.unfinished import folder_of
from napari_cellprompt.tasks.everything import everything, label_stack, run
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import EverythingRequest

CENTRES = [(14, 14), (14, 44), (44, 14), (46, 46)]
SETTINGS = EverythingSettings(search=SearchSettings(size=17))


@pytest.fixture
def segmenter() -> BrightSegmenter:
    return BrightSegmenter()


def drifting(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Disks that move by two pixels a plane; the last one is only on the first plane."""
    planes = [
        disks((64, 64), [(y, x + 2 * z) for y, x in CENTRES[: 4 if z == 0 else 3]], 8)
        for z in range(count)
    ]
    return np.stack([p[0] for p in planes]), np.stack([p[1] for p in planes])


def test_a_stack_is_linked(segmenter) -> None:
    image, truth = drifting(3)
    planes = list(label_stack(segmenter, image, SETTINGS))
    assert [position for position, _ in planes] == [(0,), (1,), (2,)]
    labels = np.stack([plane for _, plane in planes])
    assert average_precision(labels, truth)[0] == 1.0
    assert len(np.unique(labels)) == 5


def test_without_links_every_plane_has_new_ids(segmenter) -> None:
    image, _ = drifting(2)
    settings = EverythingSettings(search=SearchSettings(size=17), link=False)
    first, second = (plane for _, plane in label_stack(segmenter, image, settings))
    assert not set(np.unique(first[first > 0])) & set(np.unique(second[second > 0]))


def test_time_points_are_not_linked_through_z(segmenter) -> None:
    image, _ = drifting(2)
    movie = np.stack([image, image])
    planes = dict(label_stack(segmenter, movie, SETTINGS, axes="TZYX"))
    ids = [set(np.unique(planes[t, 0])) - {0} for t in (0, 1)]
    assert not ids[0] & ids[1]
    assert set(np.unique(planes[0, 1])) - {0} < ids[0]


def test_the_size_is_found_once_in_a_stack(segmenter, monkeypatch) -> None:
    sizes: list[float | None] = []
    find = segmenter.model.find

    def watch(plane: Any, settings: SearchSettings, **options: Any) -> Any:
        sizes.append(settings.size)
        return find(plane, settings, **options)

    monkeypatch.setattr(segmenter.model, "find", watch)
    image, _ = drifting(2)
    list(label_stack(segmenter, image, EverythingSettings()))
    assert sizes[0] is None
    assert sizes[1] == pytest.approx(17, abs=3)


def test_cancelling_between_planes(segmenter) -> None:
    image, _ = drifting(3)
    stop = [False]
    planes = label_stack(segmenter, image, SETTINGS, cancelled=lambda: stop[0])
    next(planes)
    stop[0] = True
    with pytest.raises(CancelledError):
        next(planes)


def test_the_script_face(segmenter, monkeypatch) -> None:

    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: segmenter)
    image, truth = drifting(2)
    labels = everything(image, size=17)
    assert labels.shape == image.shape
    assert labels.dtype == np.uint8
    assert average_precision(labels, truth)[0] == 1.0
    rgb = np.repeat(image[0][:, :, None], 3, axis=2)
    assert everything(rgb, size=17).shape == (64, 64)


def test_a_request_is_told_plane_by_plane_and_stops(
    segmenter, monkeypatch, tmp_path: Path
) -> None:
    image, truth = drifting(3)
    tifffile.imwrite(tmp_path / "i.tif", image, photometric="minisblack")
    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: segmenter)
    request = EverythingRequest(
        image=tmp_path / "i.tif", output=tmp_path / "o.tif", axes="ZYX", size=17
    )
    told: list[tuple[int, int]] = []
    stopping = Report(
        progress=lambda *steps: told.append(steps), cancelled=lambda: len(told) == 2
    )
    with pytest.raises(CancelledError):
        run(request, stopping)
    assert told == [(1, 3), (2, 3)]
    assert not request.output.exists()
    decoded = segmenter.model.loaded.network.decoded
    said: list[str] = []
    run(request, Report(say=said.append))
    again = segmenter.model.loaded.network.decoded - decoded
    assert 0 < again < decoded, "two of three planes were finished"
    assert any("kept (2)" in line for line in said)
    assert not folder_of(request.output).exists()
    labels = read_labels(request.output).labels
    np.testing.assert_array_equal(labels, everything(image, size=17))
    assert average_precision(labels[0], truth[0])[0] == 1.0
