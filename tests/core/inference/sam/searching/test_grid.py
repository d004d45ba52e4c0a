from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_cellprompt import SAM2Predictor
from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.inference.sam.decoding import PromptBatch
from napari_cellprompt.core.inference.sam.searching.grid import (
    GridSettings,
    MaskModel,
    crop_boxes,
    generate,
    stability,
)


class DiskModel:
    """Answers each click with a disk around it: three masks of different radius.

    Counts what is encoded and remembers where was clicked, in pixels of which crop.
    """

    def __init__(self, radii: tuple[float, ...] = (6.2, 6.6, 40.0)) -> None:
        self.encoded: list[np.ndarray] = []
        self.clicked: list[tuple[int, np.ndarray]] = []
        self.radii = radii
        self.scores = (0.95, 0.96, 0.3)
        self.offset = 0.0

    def encode(self, pixels: np.ndarray) -> int:
        self.encoded.append(pixels.copy())
        return len(self.encoded)

    def decode(
        self, features: int, batch: PromptBatch, shape: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        self.clicked.append((features, batch.points[:, 0].copy()))
        rows, columns = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
        x, y = torch.from_numpy(batch.points[:, 0]).T[..., None, None]
        distance = ((rows - y) ** 2 + (columns - x) ** 2).sqrt()
        logits = torch.stack([30 * (r - distance) for r in self.radii], dim=1)
        scores = torch.tensor(self.scores).repeat(len(batch), 1)
        return logits + self.offset, scores

    def as_model(self) -> MaskModel:
        return MaskModel(self.encode, self.decode, lambda logits, _: logits)


def grid(*points: tuple[float, float]) -> list[np.ndarray]:
    return [np.array(points)]


PIXELS = np.random.default_rng(0).integers(0, 255, (100, 140, 3), dtype=np.uint8)


def test_each_crop_is_encoded_once_from_its_own_pixels() -> None:
    model = DiskModel()
    settings = GridSettings(
        crop_n_layers=1, points_stride=6, points_batch_size=4, conf_thres=0.5
    )
    generate(model.as_model(), PIXELS, settings)
    boxes, _ = crop_boxes((100, 140), settings)
    assert len(model.encoded) == len(boxes) == 5
    for pixels, (x0, y0, x1, y1) in zip(model.encoded, boxes, strict=True):
        np.testing.assert_array_equal(pixels, PIXELS[y0:y1, x0:x1])
    # nine batches of 4 on each crop, decoded on the features of that crop
    seen = [features for features, _ in model.clicked]
    assert seen == [crop for crop in range(1, 6) for _ in range(9)]


def test_known_features_serve_the_whole_image_only() -> None:
    model = DiskModel()
    settings = GridSettings(crop_n_layers=1, points_stride=2)
    generate(model.as_model(), PIXELS, settings, features=-1)
    assert len(model.encoded) == 4
    assert [features for features, _ in model.clicked] == [-1, 1, 2, 3, 4]


def test_clicks_lie_in_the_crop_and_never_in_padding() -> None:
    model = DiskModel()
    settings = GridSettings(crop_n_layers=2, points_stride=8, crop_downscale_factor=2)
    generate(model.as_model(), PIXELS, settings)
    for features, points in model.clicked:
        height, width = model.encoded[features - 1].shape[:2]
        assert (points >= 0).all()
        assert (points < (width, height)).all()
        # spread over the whole crop: the outer clicks are half a step from its edges
        side = round(len(points) ** 0.5)
        np.testing.assert_allclose(points.min(0), np.array((width, height)) / (2 * side))
    sides = [round(len(points) ** 0.5) for _, points in model.clicked]
    assert sides == [8] + [4] * 4 + [2] * 16


def test_masks_of_crops_come_back_where_they_are() -> None:
    model = DiskModel()
    settings = GridSettings(
        crop_n_layers=1, point_grids=[np.array([[0.5, 0.5]])] * 2, conf_thres=0.5
    )
    found = generate(model.as_model(), PIXELS, settings)
    assert len(found) == 5
    for item in found:
        rows, columns = item.mask.indices()
        np.testing.assert_allclose((columns.mean(), rows.mean()), item.point, atol=0.5)
        x0, y0, x1, y1 = item.crop
        assert item.point == ((x0 + x1) / 2, (y0 + y1) / 2)


def test_smaller_crops_win() -> None:
    model = DiskModel()
    settings = GridSettings(crop_n_layers=1)
    (_, small, *_), _ = crop_boxes((100, 140), settings)
    x, y = (small[0] + small[2]) / 2, (small[1] + small[3]) / 2
    settings = GridSettings(
        crop_n_layers=1,
        point_grids=[np.array([[x / 140, y / 100]]), np.array([[0.5, 0.5]])],
        conf_thres=0.5,
    )
    found = generate(model.as_model(), PIXELS, settings)
    near = [m for m in found if abs(m.point[0] - x) < 2 and abs(m.point[1] - y) < 2]
    assert [m.crop for m in near] == [small]


@pytest.mark.parametrize(
    ("centre", "kept"),
    [
        pytest.param((0.5, 0.5), True, id="middle"),
        pytest.param((0.05, 0.5), True, id="edge of the image"),
        pytest.param((0.93, 0.5), False, id="edge of the crop"),
    ],
)
def test_what_the_crop_cuts_is_dropped(centre: tuple[float, float], kept: bool) -> None:
    model = DiskModel()
    never = np.array([[0.0, 0.0]])
    settings = GridSettings(
        crop_n_layers=1, point_grids=[never, np.array([centre])], conf_thres=0.5
    )
    boxes, _ = crop_boxes((100, 140), settings)
    found = generate(model.as_model(), PIXELS, settings)
    assert (boxes[1] in [item.crop for item in found]) == kept


def test_filters_in_order_and_at_their_limits() -> None:
    model = DiskModel(radii=(6.0,))
    model.scores = (0.5,)
    base: dict[str, Any] = {"point_grids": grid((0.5, 0.5)), "conf_thres": 0.4}
    (item,) = generate(model.as_model(), PIXELS, GridSettings(**base))
    at_limit = GridSettings(**base, stability_score_thresh=item.stability)
    assert len(generate(model.as_model(), PIXELS, at_limit)) == 1
    above = GridSettings(**base, stability_score_thresh=item.stability + 1e-4)
    assert generate(model.as_model(), PIXELS, above) == []
    # the score itself is strict, as in the reference
    strict = GridSettings(**base | {"conf_thres": 0.5})
    assert generate(model.as_model(), PIXELS, strict) == []


def test_duplicates_within_a_crop() -> None:
    model = DiskModel()
    settings = GridSettings(point_grids=grid((0.5, 0.5), (0.505, 0.5)), conf_thres=0.5)
    found = generate(model.as_model(), PIXELS, settings)
    assert [round(m.score, 2) for m in found] == [0.96]


def test_empty_masks_are_no_objects() -> None:
    model = DiskModel()
    model.offset = -10000.0
    settings = GridSettings(points_stride=3, conf_thres=0, stability_score_thresh=0)
    assert generate(model.as_model(), PIXELS, settings) == []


def test_nothing_good_enough(predictor) -> None:
    masks, scores, boxes = predictor.generate(PIXELS, points_stride=2, conf_thres=1.0)
    assert masks.shape == (0, 100, 140)
    assert scores.shape == (0,)
    assert boxes.shape == (0, 4)


def test_batches_do_not_change_what_is_found() -> None:
    found = [
        generate(
            DiskModel().as_model(),
            PIXELS,
            GridSettings(points_stride=5, points_batch_size=size, conf_thres=0.5),
        )
        for size in (1, 7, 64)
    ]
    points = [[item.point for item in part] for part in found]
    assert len(points[0]) == 25
    assert points[0] == points[1] == points[2]


def test_upsampling_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_cellprompt.core.inference.sam.searching import grid as module

    monkeypatch.setattr(module, "_UPSAMPLED_BYTES", 2 * 4 * 100 * 140)
    sizes = []

    def upsample(logits: Tensor, shape: tuple[int, int]) -> Tensor:
        sizes.append(len(logits))
        return logits

    model = DiskModel()
    settings = GridSettings(points_stride=3, conf_thres=0.5)
    generate(MaskModel(model.encode, model.decode, upsample), PIXELS, settings)
    assert max(sizes) == 2
    assert sum(sizes) == 18


def test_wide_masks_do_not_overflow() -> None:
    # the reference counts rows in int16
    logits = torch.full((1, 2, 40000), 5.0)
    assert stability(logits, 0.0, 0.95).tolist() == [1.0]


def test_cancelling_stops_between_batches() -> None:
    model = DiskModel()
    calls = iter(range(100))

    def stop() -> None:
        if next(calls) == 2:
            raise InterruptedError

    settings = GridSettings(points_stride=4, points_batch_size=4)
    with pytest.raises(InterruptedError):
        generate(model.as_model(), PIXELS, settings, cancelled=stop)
    assert len(model.clicked) == 1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"conf_thres": 1.2}, "conf_thres must lie between 0 and 1: got 1.2"),
        ({"points_stride": 0}, "points_stride must be at least 1"),
        ({"points_batch_size": 0}, "points_batch_size must be at least 1"),
        ({"crop_n_layers": -1}, "crop_n_layers must not be negative"),
        ({"crop_overlap_ratio": 1.0}, "crop_overlap_ratio must be at least 0"),
        ({"stability_score_offset": -1.0}, "stability_score_offset must not"),
        (
            {"points_stride": 2, "crop_n_layers": 2, "crop_downscale_factor": 2},
            "leaves no click in layer 2",
        ),
        ({"point_grids": grid((0.5, 0.5)), "crop_n_layers": 1}, "each of the 2 layers"),
        ({"point_grids": [np.zeros((3, 3))]}, r"must be \(N, 2\): got \(3, 3\)"),
        ({"point_grids": grid((0.5, 1.5))}, "between 0 and 1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GridSettings(**settings)


# -- the predictor --------------------------------------------------------------------
LOOSE: dict[str, Any] = {
    "points_stride": 4,
    "conf_thres": 0.0,
    "stability_score_thresh": 0.3,
}


@pytest.fixture
def predictor(model) -> SAM2Predictor:
    predictor = SAM2Predictor()
    predictor.setup_model(model, verbose=False)
    return predictor


@pytest.fixture
def count_encodings(model, monkeypatch) -> Callable[[], int]:
    count = [0]
    encode = model.network.image_features

    def counting(x: Tensor) -> Any:
        count[0] += 1
        return encode(x)

    monkeypatch.setattr(model.network, "image_features", counting)
    return lambda: count[0]


def test_the_encoder_runs_once_per_crop(predictor, count_encodings) -> None:
    predictor.generate(PIXELS, points_batch_size=4, **LOOSE)
    assert count_encodings() == 1
    predictor.set_image(PIXELS)
    assert count_encodings() == 2
    predictor.generate(points_batch_size=4, **LOOSE)
    assert count_encodings() == 2
    predictor.generate(crop_n_layers=1, **LOOSE)
    assert count_encodings() == 6


def test_masks_scores_and_boxes_belong_together(predictor) -> None:
    masks, scores, boxes = predictor.generate(PIXELS, **LOOSE)
    assert masks.shape == (len(scores), 100, 140)
    assert masks.dtype == torch.bool
    assert len(masks) > 0
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.tolist(), strict=True):
        rows, columns = mask.nonzero().T
        assert (x0, y0) == (int(columns.min()), int(rows.min()))
        assert (x1, y1) == (int(columns.max()) + 1, int(rows.max()) + 1)
    assert predictor.features is None


def test_no_prompt_at_all_means_everything(predictor, monkeypatch) -> None:
    monkeypatch.setattr(
        predictor,
        "generate",
        lambda im=None: SAM2Predictor.generate(predictor, im, **LOOSE),
    )
    result = predictor(PIXELS)[0]
    masks, scores, boxes = SAM2Predictor.generate(predictor, PIXELS, **LOOSE)
    assert torch.equal(result.masks.data, masks)
    torch.testing.assert_close(result.boxes.conf, scores)
    assert torch.equal(result.boxes.xyxy, boxes.float())
    labels = result.to_labels()
    assert (labels > 0).sum() == masks.any(dim=0).sum()


def test_what_generate_refuses(predictor) -> None:
    with pytest.raises(ImageError, match="set_image"):
        predictor.generate()
    with pytest.raises(TypeError, match="original pixels"):
        predictor.generate(torch.zeros(1, 3, 128, 128))
    with pytest.raises(ImageError, match="shape"):
        predictor.generate(np.zeros((2, 3, 4, 5), np.uint8))
    predictor.set_image(PIXELS)
    with pytest.raises(PromptError, match="without points"):
        predictor(labels=[1])
