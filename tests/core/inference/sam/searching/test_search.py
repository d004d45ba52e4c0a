from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.brightness import BrightModel, BrightSegmenter, disks

from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.sam.searching import search as everything_module
from napari_cellprompt.core.inference.sam.searching.foreground import Foreground, peaks
from napari_cellprompt.core.inference.sam.searching.search import find_candidates, find_size
from napari_cellprompt.core.inference.searching import SearchSettings
from napari_cellprompt.core.masks.found import (
    FilterSettings,
    FoundObject,
    filter_candidates,
)
from napari_cellprompt.core.masks.labels import resolve_overlaps
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures
from napari_cellprompt.core.zoo.traits import Traits

CENTRES = [(y, x) for y in range(12, 150, 26) for x in range(14, 210, 28)]


def labelled(found: list[FoundObject], shape: tuple[int, int]) -> np.ndarray:
    kept = filter_candidates(found, FilterSettings()).kept
    return resolve_overlaps(
        [item.candidate for item in kept], range(1, len(kept) + 1), shape
    )


def test_every_object_is_found_once_across_tiles() -> None:
    image, truth = disks((160, 220), CENTRES, 7)
    segmenter = BrightSegmenter()
    found = find_candidates(segmenter.model, PlaneSource.from_image(image))
    assert len(set(segmenter.encoded)) > 4
    labels = labelled(found, image.shape)
    assert labels.max() == len(CENTRES) == truth.max()
    assert average_precision(labels, truth)[0] == 1.0
    assert all(item.object_score > 0.9 for item in found)


def test_what_is_known_of_a_candidate() -> None:
    image, _ = disks((64, 64), [(30, 40), (2, 10)], 9)
    found = find_candidates(
        BrightSegmenter().model,
        PlaneSource.from_image(image),
        SearchSettings(size=19, spacing=12),
    )
    inner, border = sorted(found, key=lambda item: item.touches_border)
    assert (inner.touches_border, border.touches_border) == (False, True)
    assert inner.votes > 1
    assert inner.consensus == 1.0
    assert inner.agreement > 0.9
    assert inner.stability == 1.0
    x, y = inner.point
    assert inner.mask.to_plane()[round(y), round(x)]
    assert 0.8 < inner.area / (np.pi * 81) < 1.2


@pytest.mark.parametrize("radius", [4, 9, 30])
def test_the_size_is_found_from_the_image(radius: int) -> None:
    step = 3 * radius
    centres = [(y, x) for y in range(step, 220, step) for x in range(step, 300, step)]
    image, _ = disks((240, 320), centres, radius)
    size = find_size(
        BrightSegmenter().model, PlaneSource.from_image(image), SearchSettings(spacing=20)
    )
    assert size == pytest.approx(2 * radius, rel=0.4, abs=4)


def test_clicks_follow_what_was_learnt() -> None:
    # of the four clicks of this grid, one hits an object
    image, truth = disks((60, 60), [(14, 14), (30, 32), (52, 22), (48, 54)], 6)
    segmenter = BrightSegmenter()
    settings = SearchSettings(size=13, spacing=100)
    found = find_candidates(segmenter.model, PlaneSource.from_image(image), settings)
    assert average_precision(labelled(found, image.shape), truth)[0] == 1.0
    assert segmenter.network.decoded <= 4 + 4 + 4


def test_a_few_objects_between_the_clicks_are_found() -> None:
    # in the middle between the two clicks of each row, and from row to row
    image, truth = disks((60, 60), [(15, 30)], 6)
    segmenter = BrightSegmenter()
    settings = SearchSettings(size=13, spacing=100)
    found = find_candidates(segmenter.model, PlaneSource.from_image(image), settings)
    assert average_precision(labelled(found, image.shape), truth)[0] == 1.0
    nothing = BrightSegmenter()
    image[:] = np.arange(60)
    assert find_candidates(nothing.model, PlaneSource.from_image(image), settings) == []
    assert 4 < nothing.network.decoded <= 4 + 25


@pytest.mark.parametrize(("score", "levels"), [(0.6, [1.0, 2.0, 4.0]), (0.9, [1.0])])
def test_a_finer_level_is_tried_where_answers_are_doubtful(
    monkeypatch: pytest.MonkeyPatch, score: float, levels: list[float]
) -> None:
    image, truth = disks((160, 220), CENTRES, 7)
    searched = []
    search = everything_module._search

    def spy(segmenter, plane, settings, size, *rest):
        level = everything_module._level(size, segmenter.image_size)
        searched.append(level)
        found = search(segmenter, plane, settings, 15, *rest)
        # each level finds more than the one before
        kept = found[: round(len(found) * level / 4)]
        candidates = [replace(item.candidate, score=score) for item in kept]
        return [
            replace(item, candidate=candidate)
            for item, candidate in zip(kept, candidates, strict=True)
        ]

    monkeypatch.setattr(everything_module, "_search", spy)
    monkeypatch.setattr(everything_module, "find_size", lambda *_, **__: 60.0)
    monkeypatch.setattr(everything_module, "_median_side", lambda _: None)
    found = find_candidates(BrightSegmenter().model, PlaneSource.from_image(image))
    assert searched == levels
    precision = average_precision(labelled(found, image.shape), truth)[0]
    assert precision == 1.0 if levels[-1] == 4.0 else precision < 0.5


def test_sure_finds_are_not_clicked_again_from_the_next_tile(monkeypatch) -> None:
    image, truth = disks((160, 220), CENTRES, 7)
    plane = PlaneSource.from_image(image)
    counts = []
    for sure in (0.0, 2.0):
        monkeypatch.setattr(everything_module, "_SURE", sure)
        segmenter = BrightSegmenter()
        found = find_candidates(segmenter.model, plane, SearchSettings(size=15))
        assert average_precision(labelled(found, image.shape), truth)[0] == 1.0
        counts.append(segmenter.network.decoded)
    assert counts[0] < counts[1]


def test_blank_tiles_are_not_looked_at() -> None:
    image, _ = disks((128, 512), [(60, 40)], 8)
    image[image == 20] = 0
    segmenter = BrightSegmenter()
    find_candidates(segmenter.model, PlaneSource.from_image(image), SearchSettings(size=17))
    assert segmenter.encoded
    assert all(tile.x0 < 50 for tile in segmenter.encoded)
    nothing = BrightSegmenter()
    empty = PlaneSource.from_image(np.zeros((300, 300), np.uint8))
    assert find_candidates(nothing.model, empty) == []
    assert nothing.encoded == []


@pytest.mark.parametrize("how", ["setting", "model"])
def test_without_refinement_the_masks_are_those_of_clicks(how: str) -> None:
    image, truth = disks((64, 64), [(32, 32)], 9)
    settings = SearchSettings(size=19, refine=False if how == "setting" else None)
    segmenter = BrightSegmenter()
    if how == "model":
        segmenter.model.loaded.spec.traits = Traits(refines_by_box=False)
    found = find_candidates(segmenter.model, PlaneSource.from_image(image), settings)
    assert {item.agreement for item in found} == {1.0}
    assert average_precision(labelled(found, image.shape), truth)[0] == 1.0


def test_a_region_limits_where_is_clicked() -> None:
    image, _ = disks((160, 220), CENTRES, 7)
    segmenter = BrightSegmenter()
    plane = PlaneSource.from_image(image)
    found = find_candidates(
        segmenter.model, plane, SearchSettings(size=15), region=(0, 0, 60, 50)
    )
    kept = filter_candidates(found, FilterSettings()).kept
    assert 4 <= len(kept) <= 9
    assert all(item.point[0] < 82 and item.point[1] < 72 for item in kept)


def test_progress_and_cancelling() -> None:
    image, _ = disks((160, 220), CENTRES, 7)
    plane = PlaneSource.from_image(image)
    seen: list[tuple[int, int]] = []
    settings = SearchSettings(size=15)
    find_candidates(BrightModel(), plane, settings, progress=lambda *now: seen.append(now))
    total = seen[-1][1]
    assert seen == [(number, total) for number in range(total + 1)]
    segmenter = BrightSegmenter()
    with pytest.raises(CancelledError):
        find_candidates(
            segmenter.model, plane, settings, cancelled=lambda: len(segmenter.encoded) > 1
        )
    assert len(segmenter.encoded) == 2


def features(image: np.ndarray) -> ImageFeatures:
    grey = torch.from_numpy(image)[None, None].float()
    pool = torch.nn.functional.avg_pool2d
    return ImageFeatures(pool(grey, 4), (grey, pool(grey, 2)))


def test_the_rule_learns_from_a_part_what_the_rest_is() -> None:
    image, truth = disks((128, 128), [(30, 30), (30, 90), (90, 30), (90, 90)], 12)
    rule = Foreground()
    objects = torch.from_numpy(truth == 1)
    background = torch.zeros_like(objects)
    background[55:65] = True
    assert not rule.is_fitted
    rule.learn(features(image), objects, torch.zeros_like(objects))
    assert not rule.is_fitted
    with pytest.raises(RuntimeError, match="background"):
        rule.predict(features(image))
    rule.learn(features(image), objects, background)
    looks = rule.predict(features(image)) > 0.5
    assert np.mean(looks == (truth > 0)) > 0.97
    points = peaks(rule.predict(features(image)), 24)
    assert sorted(truth[int(y), int(x)] for x, y in points) == [1, 2, 3, 4]


def test_touching_objects_have_a_peak_each() -> None:
    image, truth = disks((128, 128), [(60, 40), (60, 60)], 12)
    points = peaks((image > 100).astype(np.float32), 24)
    assert sorted(truth[int(y), int(x)] for x, y in points) == [1, 2]


def test_random_weights(model) -> None:
    from napari_cellprompt import PlaneSegmenter

    image = np.random.default_rng(0).integers(0, 255, (100, 140), dtype=np.uint8)
    settings = SearchSettings(size=20, min_object_score=0, min_score=0)
    found = find_candidates(
        PlaneSegmenter(model).model, PlaneSource.from_image(image), settings
    )
    for item in found:
        assert item.mask.plane_shape == (100, 140)
        assert item.area > 0
        assert 0 <= item.stability <= 1
        assert 0 <= item.consensus <= 1


class OneLevel(BrightModel):
    """Has features at one level only, as SAM and MobileSAM do."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded.spec.family = "sam1"
        self.seen = []
        decode = self.network.decode

        def with_one(features, *arguments, **options):
            assert features.high_res == ()
            whole = next(w for w in self.seen if w.embed is features.embed)
            return decode(whole, *arguments, **options)

        self.network.decode = with_one

    def features(self, plane, view, *, cancelled=None):
        self.seen.append(super().features(plane, view))
        return ImageFeatures(self.seen[-1].embed, ())


def test_models_with_one_level_of_features_do_as_well() -> None:
    image, truth = disks((160, 220), CENTRES, 7)
    found = find_candidates(OneLevel(), PlaneSource.from_image(image))
    assert average_precision(labelled(found, image.shape), truth)[0] == 1.0


def test_what_a_tile_cuts_is_known() -> None:
    image, _ = disks((160, 220), CENTRES, 7)
    found = find_candidates(BrightSegmenter().model, PlaneSource.from_image(image))
    sizes = {
        flag: [i.area for i in found if i.cut_by_tile is flag] for flag in (True, False)
    }
    assert np.median(sizes[False]) == pytest.approx(np.pi * 49, rel=0.05)
    assert all(area < 0.97 * np.pi * 49 for area in sizes[True])
