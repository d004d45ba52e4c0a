from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch

from napari_cellprompt import SAM2Predictor
from napari_cellprompt.core.errors import ImageError


@pytest.fixture
def predictor(model) -> SAM2Predictor:
    predictor = SAM2Predictor()
    predictor.setup_model(model, verbose=False)
    return predictor


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)


def test_results_have_the_size_and_order_of_what_was_asked(predictor, image) -> None:
    predictor.set_image(image)
    result = predictor(points=[[10, 20], [60, 40]])[0]
    assert len(result) == 2
    assert result.masks.data.shape == (2, 50, 70)
    assert result.masks.data.dtype == torch.bool
    assert result.boxes.data.shape == (2, 6)
    assert result.ids == (1, 2)
    assert set(result.speed) == {"preprocess", "inference", "postprocess"}
    single = predictor(points=[[60, 40]])[0]
    assert torch.equal(single.masks.data[0], result.masks.data[1])


def test_multimask_gives_three_per_object(predictor, image) -> None:
    result = predictor(image, points=[[10, 20], [60, 40]], multimask_output=True)[0]
    assert len(result) == 6
    assert result.low_res.shape == (6, 32, 32)


def test_image_is_encoded_once(predictor, image, monkeypatch) -> None:
    predictor.set_image(image)

    def refuse(_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(predictor.model.network, "image_features", refuse)
    assert len(predictor(points=[10, 20])[0]) == 1
    assert len(predictor(bboxes=[5, 5, 30, 30])[0]) == 1


def test_source_of_one_call_does_not_stay_as_the_set_image(predictor, image) -> None:
    predictor.set_image(image)
    predictor(np.zeros((20, 30), np.uint8), points=[5, 5])
    # the given source replaced the image: the next call runs on that source again
    assert predictor(points=[5, 5])[0].shape == (20, 30)


def test_previous_logits_change_the_answer(predictor, image) -> None:
    predictor.set_image(image)
    first = predictor(points=[10, 20])[0]
    assert first.low_res.abs().max() <= 32
    second = predictor(points=[10, 20], masks=first.low_res)[0]
    assert not torch.equal(first.low_res, second.low_res)


def test_prompts_set_before_are_used_once_and_win(predictor, image) -> None:
    predictor.set_image(image)
    predictor.set_prompts({"points": [[10, 20]], "labels": [1]})
    kept = predictor()[0]
    assert torch.equal(kept.low_res, predictor(points=[[10, 20]])[0].low_res)
    assert predictor.prompts == {}
    predictor.set_prompts({"points": [[10, 20]]})
    assert torch.equal(kept.low_res, predictor(points=[[60, 40]])[0].low_res)
    assert not torch.equal(kept.low_res, predictor(points=[[60, 40]])[0].low_res)
    predictor.set_prompts({"points": [[10, 20]]})
    logits, _ = predictor.inference(None, points=[[60, 40]])
    assert torch.equal(kept.low_res, logits.clamp(-32, 32))


def test_features_from_elsewhere(predictor, image) -> None:
    predictor.set_image(image)
    expected = predictor(points=[[10, 20]])[0]
    features = predictor.features
    predictor.reset_image()
    masks, boxes = predictor.inference_features(features, (50, 70), points=[[10, 20]])
    assert torch.equal(masks, expected.masks.data)
    assert torch.equal(boxes, expected.boxes.data)


def test_low_scores_are_emptied_not_dropped(model, image) -> None:
    predictor = SAM2Predictor(overrides={"conf": 1.0})
    predictor.setup_model(model, verbose=False)
    result = predictor(image, points=[[10, 20], [60, 40]])[0]
    assert len(result) == 2
    assert not result.masks.data.any()
    assert not result.to_labels().any()


def test_callbacks_get_the_predictor_in_order(model, image) -> None:
    calls = []
    names = ("on_predict_start", "on_predict_batch_start", "on_predict_end")
    predictor = SAM2Predictor(
        _callbacks={name: [lambda p, name=name: calls.append((name, p))] for name in names}
    )
    predictor.setup_model(model, verbose=False)
    predictor(image, points=[10, 20])
    assert calls == [(name, predictor) for name in names]


def test_stream_is_lazy_over_the_pages_of_a_tiff(predictor, tmp_path) -> None:
    stack = np.random.default_rng(1).integers(0, 4000, (3, 40, 50), dtype=np.uint16)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, stack, photometric="minisblack")
    stream = predictor(path, stream=True, points=[10, 20])
    first = next(stream)
    assert first.shape == (40, 50)
    assert first.path == str(path)
    assert len(list(stream)) == 2


def test_saved_labels_read_back(model, image, tmp_path) -> None:
    predictor = SAM2Predictor(overrides={"save": tmp_path / "out"})
    predictor.setup_model(model, verbose=False)
    result = predictor(image, points=[10, 20])[0]
    saved = tifffile.imread(tmp_path / "out" / "image_labels.tif")
    assert np.array_equal(saved, result.to_labels())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["image_labels.tif"]


def test_bgr_is_the_same_image(predictor, image) -> None:
    predictor.set_image(image)
    expected = predictor.im
    predictor.set_image(image[:, :, ::-1], channel_order="bgr")
    assert torch.equal(predictor.im, expected)


@pytest.mark.parametrize(
    ("image", "error", "sentence"),
    [
        pytest.param([np.zeros((9, 9), np.uint8)] * 2, ImageError, "exactly one", id="two"),
        pytest.param([], ImageError, "exactly one", id="none"),
        pytest.param(np.zeros((2, 3, 4, 5), np.uint8), ImageError, "shape", id="4D"),
        pytest.param("missing.tif", ImageError, "no file", id="missing"),
        pytest.param(7, TypeError, "source must be", id="number"),
    ],
)
def test_set_image_refuses(predictor, image, error, sentence) -> None:
    with pytest.raises(error, match=sentence):
        predictor.set_image(image)


def test_calling_without_an_image_says_so(predictor) -> None:
    with pytest.raises(ImageError, match="set_image"):
        predictor(points=[1, 2])


def test_wrong_tensor_size_is_refused(predictor) -> None:
    with pytest.raises(ValueError, match="128"):
        predictor.get_im_features(torch.zeros(1, 3, 64, 128))


def test_half_on_the_cpu_is_refused(model) -> None:
    with pytest.raises(ValueError, match="GPU"):
        SAM2Predictor(overrides={"half": True}).setup_model(model, verbose=False)


def test_remove_small_regions() -> None:
    mask = np.zeros((30, 30), bool)
    mask[5:20, 5:20] = True
    mask[10, 10] = False
    mask[25, 25] = True
    cleaned, kept = SAM2Predictor.remove_small_regions(mask[None], min_area=4)
    assert cleaned[0, 10, 10]
    assert not cleaned[0, 25, 25]
    assert kept.tolist() == [0]
    none, indices = SAM2Predictor.remove_small_regions(np.zeros((0, 5, 5), bool))
    assert len(none) == len(indices) == 0


def test_duplicate_after_cleaning_gives_way_to_the_untouched() -> None:
    clean = np.zeros((30, 30), bool)
    clean[5:20, 5:20] = True
    dirty = clean.copy()
    dirty[8, 8] = False
    masks, kept = SAM2Predictor.remove_small_regions(np.stack([dirty, clean]), min_area=3)
    assert kept.tolist() == [1]
    assert np.array_equal(masks[0], clean)
