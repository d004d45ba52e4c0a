from __future__ import annotations

from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.networks.sam.mask_decoder import DecoderOutput
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts


def click(x: float, y: float) -> Prompts:
    return Prompts(points=((x, y),), labels=(1,))


class Disc:
    """Stands in for the decoder: finds a disc of the image at any magnification."""

    def __init__(
        self, segmenter: PlaneSegmenter, x: float, y: float, radius: float
    ) -> None:
        self.truth = (x, y, radius)
        self.tiles = []
        self.counts = []
        original = segmenter.model._tensors

        def spy(plane, tile, group):
            self.tiles.append(tile)
            self.counts.append(len(group))
            return original(plane, tile, group)

        segmenter.model._tensors = spy
        self.side = segmenter.model.image_size // 4

    def __call__(self, network, features, points, labels, logits, *, drawing, multimask):
        tile = self.tiles[-1]
        x, y, radius = self.truth
        pixel = (np.arange(self.side) + 0.5) * tile.size / self.side - 0.5
        columns, rows = pixel + tile.x0, pixel + tile.y0
        distance = np.hypot(columns[None, :] - x, rows[:, None] - y)
        disc = torch.from_numpy(10 * (radius - distance).astype(np.float32))
        count = len(points)
        return DecoderOutput(
            disc.expand(count, 4, -1, -1),
            torch.tensor([[0.5, 0.6, 0.9, 0.7]]).expand(count, 4),
            torch.zeros(count, 4, 8),
            torch.full((count, 1), 3.0),
        )


@pytest.fixture
def plane() -> PlaneSource:
    pixels = np.random.default_rng(0).integers(0, 255, (700, 900), dtype=np.uint8)
    return PlaneSource.from_image(pixels)


def disc_segmenter(model, monkeypatch, *truth) -> tuple[PlaneSegmenter, Disc]:
    segmenter = PlaneSegmenter(model)
    disc = Disc(segmenter, *truth)
    monkeypatch.setattr("napari_cellprompt.core.inference.sam.model.decode_prompts", disc)
    return segmenter, disc


def iou_with_disc(mask, x, y, radius) -> float:
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    truth = np.hypot(columns - x, rows - y) <= radius
    return (mask & truth).sum() / (mask | truth).sum()


@pytest.mark.parametrize(
    ("x", "y", "radius"),
    [
        pytest.param(400, 300, 6, id="small"),
        pytest.param(400, 300, 20, id="middling"),
        pytest.param(450, 350, 110, id="larger than the first tile"),
        pytest.param(890, 690, 20, id="in the corner of the image"),
        pytest.param(3, 350, 12, id="cut by the image"),
    ],
)
def test_mask_of_one_click_is_whole_and_in_place(
    model, monkeypatch, plane, x, y, radius
) -> None:
    segmenter, _ = disc_segmenter(model, monkeypatch, x, y, radius)
    result = segmenter.predict(plane, click(x, y))
    assert result.best.mask.plane_shape == plane.shape
    assert iou_with_disc(result.best.mask.to_plane(), x, y, radius) > 0.9
    assert [c.score for c in result.candidates] == pytest.approx([0.9, 0.7, 0.6])
    assert result.object_score == pytest.approx(0.9526, abs=1e-3)


def test_small_object_is_looked_at_again_at_a_finer_level(
    model, monkeypatch, plane
) -> None:
    segmenter, disc = disc_segmenter(model, monkeypatch, 400, 300, 3)
    assert segmenter.predict(plane, click(400, 300)).magnification == 4
    assert [tile.magnification for tile in disc.tiles] == [2, 4]


def test_known_size_needs_one_look(model, monkeypatch, plane) -> None:
    segmenter, disc = disc_segmenter(model, monkeypatch, 400, 300, 3)
    assert segmenter.predict(plane, click(400, 300), size_hint=6).magnification == 4
    assert len(disc.tiles) == 1


class Doubtful(Disc):
    """Rates the disc by the magnification: ``ratings`` of 4, 2, 1, else 0.5."""

    ratings: dict[float, float]

    def __call__(self, *args, **options):
        found = super().__call__(*args, **options)
        rating = self.ratings.get(self.tiles[-1].magnification, 0.5)
        return replace(found, iou=torch.full_like(found.iou, rating))


@pytest.mark.parametrize(
    ("ratings", "looks", "chosen"),
    [
        pytest.param({1.0: 0.9}, [2, 1], 1, id="sure at once"),
        pytest.param({1.0: 0.55, 2.0: 0.5, 4.0: 0.4}, [2, 1, 4], 1, id="nothing better"),
        pytest.param({1.0: 0.3, 2.0: 0.8, 4.0: 0.2}, [2, 1, 4], 2, id="seen on the way"),
        pytest.param({1.0: 0.3, 2.0: 0.2, 4.0: 0.9}, [2, 1, 4], 4, id="two levels finer"),
    ],
)
def test_doubtful_click_is_asked_again_on_finer_levels(
    drawing_model, monkeypatch, plane, ratings, looks, chosen
) -> None:
    segmenter = PlaneSegmenter(drawing_model)
    # 0.09 of a tile at magnification 1
    side = 0.09 * segmenter.model.image_size
    disc = Doubtful(segmenter, 400, 300, side / 2)
    disc.ratings = ratings
    monkeypatch.setattr("napari_cellprompt.core.inference.sam.model.decode_prompts", disc)
    result = segmenter.predict(plane, click(400, 300))
    assert [tile.magnification for tile in disc.tiles] == looks
    assert result.magnification == chosen
    assert result.seconds > 0


def test_box_is_offered_the_single_mask_first(model, monkeypatch, plane) -> None:
    segmenter, disc = disc_segmenter(model, monkeypatch, 400, 300, 10)
    result = segmenter.predict(plane, Prompts(box=(389, 289, 412, 312)))
    assert len(disc.tiles) == 1
    assert [c.score for c in result.candidates] == pytest.approx([0.5, 0.9, 0.7])


def test_objects_of_one_tile_are_decoded_together(model, monkeypatch, plane) -> None:
    segmenter, disc = disc_segmenter(model, monkeypatch, 400, 300, 10)
    boxes = [Prompts(box=(389 + i, 289, 412 + i, 312)) for i in range(5)]
    results = segmenter.predict_many(plane, [*boxes, Prompts(box=(20, 20, 42, 43))])
    assert len(results) == 6
    assert sorted(disc.counts) == [1, 5]


def test_features_are_computed_once_per_tile(model, plane, monkeypatch) -> None:
    segmenter = PlaneSegmenter(model)
    original, calls = model.network.frame_features, []
    monkeypatch.setattr(
        model.network, "frame_features", lambda x: calls.append(1) or original(x)
    )
    segmenter.prepare(plane, (400, 300), size_hint=20)
    first = segmenter.predict(plane, Prompts(box=(390, 290, 410, 310)))
    before = len(calls)
    again = segmenter.predict(plane, Prompts(box=(390, 290, 410, 310)))
    assert len(calls) == before
    assert np.array_equal(first.best.logits, again.best.logits)


def test_another_contrast_is_another_image(model) -> None:
    segmenter = PlaneSegmenter(model)
    pixels = np.random.default_rng(0).integers(0, 4000, (100, 100), dtype=np.uint16)
    box = Prompts(box=(30, 30, 60, 60))
    narrow = segmenter.predict(PlaneSource.from_image(pixels, limits=(0, 500)), box)
    wide = segmenter.predict(PlaneSource.from_image(pixels, limits=(0, 4000)), box)
    assert segmenter.model.cache.nbytes > 0
    assert not np.array_equal(narrow.best.logits, wide.best.logits)


def test_drawn_prompts_reach_the_network(drawing_model, model, plane) -> None:
    box = Prompts(box=(30, 30, 60, 60))
    drawn = PlaneSegmenter(drawing_model).predict(plane, box)
    plain = PlaneSegmenter(model).predict(plane, box)
    assert not np.array_equal(drawn.best.logits, plain.best.logits)


def test_mask_prompt_and_distant_background_click(model, plane) -> None:
    mask = np.zeros(plane.shape, bool)
    mask[100:140, 100:140] = True
    segmenter = PlaneSegmenter(model)
    assert segmenter.predict(plane, Prompts(mask=encode(mask))).candidates
    near = segmenter.predict(plane, Prompts(box=(100, 100, 140, 140)))
    far = Prompts(box=(100, 100, 140, 140), points=((800.0, 600.0),), labels=(0,))
    # a background click outside the tile only leaves padding behind, which says nothing
    assert np.array_equal(near.best.logits, segmenter.predict(plane, far).best.logits)


def test_cancel_stops_before_the_encoder(model, plane) -> None:
    segmenter = PlaneSegmenter(model)
    with pytest.raises(CancelledError):
        segmenter.predict(plane, click(5, 5), cancelled=lambda: True)
    assert len(segmenter.model.cache) == 0


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        pytest.param(Prompts(), "nothing to predict", id="empty"),
        pytest.param(click(2000, 5), "outside", id="point"),
        pytest.param(Prompts(box=(1000, 5, 1100, 50)), "outside", id="box"),
        pytest.param(Prompts(points=((5, 5),), labels=(0,)), "background", id="negative"),
        pytest.param(Prompts(mask=encode(np.ones((3, 3), bool))), "pixels", id="mask size"),
        pytest.param(
            Prompts(mask=encode(np.zeros((700, 900), bool))), "empty", id="empty mask"
        ),
    ],
)
def test_prompts_that_cannot_be_used(model, plane, prompts, sentence) -> None:
    with pytest.raises(PromptError, match=sentence):
        PlaneSegmenter(model).predict(plane, prompts)


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.full((60, 80), np.nan, np.float32), id="NaN"),
        pytest.param(np.full((60, 80), 7, np.uint16), id="constant"),
        pytest.param(np.zeros((60, 1), np.uint8), id="one pixel wide"),
        pytest.param(np.zeros((1, 1), np.uint8), id="one pixel"),
    ],
)
def test_odd_images_give_an_answer(model, pixels) -> None:
    plane = PlaneSource.from_image(pixels)
    result = PlaneSegmenter(model).predict(plane, click(0, 0))
    assert result.best.mask.plane_shape == pixels.shape
    assert all(np.isfinite(item.logits).all() for item in result.candidates)
