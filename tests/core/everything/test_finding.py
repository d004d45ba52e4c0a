from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.brightness import BrightSegmenter, disks

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.everything.finding import (
    EverythingSettings,
    find_on_plane,
    label_plane,
    typical_side,
)
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.sam import model as sam_model
from napari_cellprompt.core.inference.sam.searching.grid import MaskModel
from napari_cellprompt.core.inference.searching import GridSettings, SearchSettings
from napari_cellprompt.core.masks.found import FilterSettings
from napari_cellprompt.core.masks.matching import average_precision

CENTRES = [(14, 14), (14, 44), (44, 14), (46, 46)]
SETTINGS = EverythingSettings(search=SearchSettings(size=17))


@pytest.fixture
def segmenter() -> BrightSegmenter:
    return BrightSegmenter()


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


def test_what_cannot_be(segmenter) -> None:
    with pytest.raises(ValueError, match="auto or grid: got fast"):
        SearchSettings(mode="fast")  # type: ignore[arg-type]
    image, _ = disks((64, 64), CENTRES, 8)
    with pytest.raises(ImageError, match="not a part of a plane of 64 x 64"):
        find_on_plane(
            segmenter, PlaneSource.from_image(image), SETTINGS, region=(0, 0, 70, 10)
        )


def test_the_typical_side_is_that_of_most_objects(segmenter) -> None:
    image, _ = disks((64, 64), CENTRES, 8)
    found = find_on_plane(segmenter, PlaneSource.from_image(image), SETTINGS)
    assert typical_side(found) == 17
    assert typical_side([]) is None
