from __future__ import annotations

from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.brightness import BrightSegmenter, disks

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.sam import model as sam_model
from napari_cellprompt.core.inference.sam.searching.grid import MaskModel
from napari_cellprompt.core.inference.searching import GridSettings, SearchSettings
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.tasks.everything import (
    EverythingSettings,
    everything,
    find_on_plane,
    label_plane,
    label_stack,
    run,
)
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


def test_one_plane(segmenter) -> None:
    image, truth = disks((64, 64), CENTRES, 8)
    labels, filtered = label_plane(segmenter, PlaneSource.from_image(image), SETTINGS)
    assert average_precision(labels, truth)[0] == 1.0
    assert len(filtered.kept) == 4


def test_filters_apply(segmenter) -> None:
    image, _ = disks((64, 64), CENTRES, 8)
    settings = EverythingSettings(
        search=SearchSettings(size=17), filters=FilterSettings(min_area=1000)
    )
    labels, filtered = label_plane(segmenter, PlaneSource.from_image(image), settings)
    assert not labels.any()
    assert filtered.removed["area"] >= 4


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


class FakePredictor:
    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def mask_model(self) -> MaskModel:
        import torch

        def encode(pixels: np.ndarray) -> np.ndarray:
            self.shapes.append(pixels.shape)
            return pixels

        def decode(pixels: np.ndarray, batch: Any, shape: Any) -> Any:
            from scipy import ndimage

            regions, _ = ndimage.label(pixels[:, :, 0] > 100)
            masks, scores = [], []
            for x, y in batch.points[:, 0].astype(int):
                masks.append(np.where(regions == max(regions[y, x], 1), 9.0, -9.0))
                scores.append(0.95 if regions[y, x] else 0.1)
            found = torch.from_numpy(np.stack(masks)).float()[:, None]
            return found, torch.tensor(scores)[:, None]

        return MaskModel(encode, decode, lambda logits, _: logits)


@pytest.mark.parametrize("region", [None, (30, 0, 64, 30)], ids=["plane", "region"])
def test_the_grid_and_its_region(segmenter, monkeypatch, region) -> None:
    predictor = FakePredictor()
    monkeypatch.setattr(sam_model, "whole_image", lambda _: predictor)
    image, truth = disks((64, 64), CENTRES, 8)
    settings = EverythingSettings(
        search=SearchSettings(mode="grid", grid=GridSettings(points_stride=10))
    )
    found = find_on_plane(segmenter, PlaneSource.from_image(image), settings, region=region)
    wanted = {1, 2, 3, 4} if region is None else {2}
    hit = {int(truth[round(item.point[1]), round(item.point[0])]) for item in found}
    assert hit == wanted
    for item in found:
        rows, columns = item.mask.indices()
        assert set(truth[rows, columns]) == {truth[rows[0], columns[0]]}
        assert item.stability == 1.0
    assert predictor.shapes == [(64, 64, 3) if region is None else (30, 34, 3)]


def test_the_script_face(segmenter, monkeypatch) -> None:

    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: segmenter)
    image, truth = drifting(2)
    labels = everything(image, size=17)
    assert labels.shape == image.shape
    assert labels.dtype == np.uint8
    assert average_precision(labels, truth)[0] == 1.0
    rgb = np.repeat(image[0][:, :, None], 3, axis=2)
    assert everything(rgb, size=17).shape == (64, 64)


def test_what_cannot_be(segmenter) -> None:
    with pytest.raises(ValueError, match="auto or grid: got fast"):
        SearchSettings(mode="fast")  # type: ignore[arg-type]
    image, _ = disks((64, 64), CENTRES, 8)
    with pytest.raises(ImageError, match="not a part of a plane of 64 x 64"):
        find_on_plane(
            segmenter, PlaneSource.from_image(image), SETTINGS, region=(0, 0, 70, 10)
        )


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
    run(request)
    labels = read_labels(request.output).labels
    np.testing.assert_array_equal(labels, everything(image, size=17))
    assert average_precision(labels[0], truth[0])[0] == 1.0
