"""Arguments that stand in published examples of this interface."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_cellprompt import (
    Predictor,
    SAM2DynamicInteractivePredictor,
    SAM2Predictor,
    SAM2VideoPredictor,
)
from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.zoo.load import LoadedModel
from napari_cellprompt.predictors.prompted import GENERATE_OPTIONS, PromptPredictor

OVERRIDES = {"conf": 0.25, "task": "segment", "mode": "predict", "imgsz": 128, "batch": 1}
CLASSES = (Predictor, SAM2Predictor, SAM2VideoPredictor, SAM2DynamicInteractivePredictor)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)


@pytest.fixture
def predictor(model: LoadedModel) -> SAM2Predictor:
    predictor = SAM2Predictor()
    predictor.setup_model(model, verbose=False)
    return predictor


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("save", [False, None])
def test_overrides_of_published_examples(cls, save) -> None:
    predictor = cls(overrides={**OVERRIDES, "model": "sam2.1_t.pt", "save": save})
    assert predictor.args.imgsz == 128
    assert predictor.args.save is None


def test_generate_through_a_call(model, image) -> None:
    predictor = SAM2Predictor(overrides={"iou": 1.0})
    predictor.setup_model(model, verbose=False)
    loose = {
        "conf_thres": 0.0,
        "stability_score_thresh": 0.0,
        "crop_nms_thresh": 1.0,
        "points_stride": 3,
    }
    found = predictor(image, crop_n_layers=1, **loose)[0]
    predictor.set_image(image)
    masks, scores, _ = predictor.generate(crop_n_layers=1, **loose)
    assert len(found) == len(masks) > 1
    assert torch.equal(found.boxes.conf, scores)
    fewer = predictor(image, **{**loose, "points_stride": 1})[0]
    assert len(fewer) < len(found)


def test_all_arguments_of_generate_are_taken() -> None:
    arguments = set(inspect.signature(PromptPredictor.generate).parameters)
    assert arguments - {"self", "im"} == GENERATE_OPTIONS
    assert Predictor.call_options >= GENERATE_OPTIONS


def test_arguments_of_generate_beside_prompts_are_refused(predictor, image) -> None:
    with pytest.raises(PromptError, match="points_stride say how everything"):
        predictor(image, points=[5, 5], points_stride=4)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_an_unknown_argument_is_refused_at_once_with_the_known_ones(cls, image) -> None:
    with pytest.raises(TypeError, match=rf"{cls.__name__} was called .*colour.*it takes"):
        cls()(image, stream=True, colour=3)


def test_a_video_takes_contrast_with_its_source(model) -> None:
    frames = np.full((2, 40, 56), 500, np.uint16)
    predictor = SAM2VideoPredictor()
    predictor.setup_model(model, verbose=False)
    predictor(frames, contrast_limits=(0, 1000), bboxes=[4, 4, 20, 20])
    assert 126 <= predictor.read_frame(0).max() <= 128
    with pytest.raises(ValueError, match="give them together"):
        predictor(contrast_limits=(0, 1000))
    with pytest.raises(PromptError, match="labels were given without points"):
        predictor(frames, labels=[1])
    with pytest.raises(ValueError, match="multimask_output"):
        predictor(frames, bboxes=[4, 4, 20, 20], multimask_output=True)


def test_save_true_names_a_folder(model, image, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    predictor = SAM2Predictor(overrides={"save": True})
    predictor.setup_model(model, verbose=False)
    predictor(image, points=[5, 5])
    assert [p.name for p in tmp_path.glob("*/*")] == ["image_labels.tif"]
