"""Every order of calls on a predictor that has not loaded its model yet."""

from __future__ import annotations

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
from napari_cellprompt.core.networks.build import build_sam1
from napari_cellprompt.core.zoo.load import LoadedModel, load_model, save_checkpoint

SHAPE = (40, 56)
BOXES = [[4, 4, 20, 20], [28, 10, 50, 36]]


@pytest.fixture(scope="module")
def sam2_file(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Objects are there: the bias of their score is high."""
    state = {name: value.clone() for name, value in model.network.state_dict().items()}
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(50.0)
    path = tmp_path_factory.mktemp("sam2") / "weights.safetensors"
    return save_checkpoint(path, state, model.spec, half=False)


@pytest.fixture(scope="module")
def sam1_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = build_sam1(
        image_size=128, native_size=128, embed_dim=32, depth=2, heads=2, global_blocks=(1,)
    )
    path = tmp_path_factory.mktemp("sam1") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def files(sam1_file: Path, sam2_file: Path) -> dict[type, Path]:
    return {
        Predictor: sam1_file,
        SAM2Predictor: sam2_file,
        SAM2VideoPredictor: sam2_file,
        SAM2DynamicInteractivePredictor: sam2_file,
    }


def overrides(path: Path) -> dict[str, object]:
    return {"model": path, "imgsz": 128, "device": "cpu"}


def stack(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, *SHAPE), dtype=np.uint8)


@pytest.mark.parametrize(
    "prompts",
    [
        pytest.param({"bboxes": BOXES}, id="boxes"),
        pytest.param({"points": [[10, 10], [40, 20]]}, id="points"),
        pytest.param({"points": [[[10, 10], [12, 9]], [[40, 20], [42, 20]]]}, id="groups"),
        pytest.param({"masks": np.stack([np.eye(*SHAPE), 1 - np.eye(*SHAPE)]) > 0}, id="m"),
    ],
)
def test_the_first_call_makes_one_object_a_row(sam2_file: Path, prompts) -> None:
    predictor = SAM2VideoPredictor(overrides=overrides(sam2_file))
    results = predictor(source=stack(), **prompts)
    assert [result.ids for result in results] == [(1, 2)] * 3
    ready = SAM2VideoPredictor(overrides=overrides(sam2_file))
    ready.setup_model(verbose=False)
    for result, expected in zip(results, ready(source=stack(), **prompts), strict=True):
        assert torch.equal(result.masks.data, expected.masks.data)


@pytest.mark.parametrize(
    "cls", [Predictor, SAM2Predictor, SAM2VideoPredictor], ids=lambda cls: cls.__name__
)
@pytest.mark.parametrize("way", ["call", "set_prompts", "stream", "inference"])
def test_rows_are_objects_in_every_order_of_calls(files, cls, way) -> None:
    predictor = cls(overrides=overrides(files[cls]))
    video = cls is SAM2VideoPredictor
    source = stack(1) if video else stack(1)[0]
    if way == "set_prompts":
        predictor.set_prompts({"bboxes": BOXES})
        (result,) = predictor(source)
    elif way == "stream":
        (result,) = predictor(source, stream=True, bboxes=BOXES)
    elif way == "inference":
        predictor.setup_source(source) if video else predictor.set_image(source)
        assert len(predictor.inference(predictor.im, bboxes=BOXES)[0]) == 2
        return
    else:
        (result,) = predictor(source, bboxes=BOXES)
    assert len(result) == 2


def test_rows_are_objects_when_teaching_is_the_first_call(sam2_file: Path) -> None:
    predictor = SAM2DynamicInteractivePredictor(overrides=overrides(sam2_file))
    (result,) = predictor(stack(1)[0], bboxes=BOXES, obj_ids=[1, 2], update_memory=True)
    assert result.ids == (1, 2)
    assert len(predictor.memory_bank[0].objects) == 2


def test_a_state_taken_before_the_model_is_loaded_stays(sam2_file: Path) -> None:
    predictor = SAM2VideoPredictor(overrides=overrides(sam2_file))
    predictor.setup_source(stack())
    state = predictor.state
    predictor.add_new_prompts(7, bboxes=BOXES[0])
    predictor.add_new_prompts(np.int64(8), bboxes=BOXES[1], frame_idx=1)
    assert predictor.inference_state is state
    assert state.obj_ids == [7, 8]
    model = predictor.model
    predictor.setup_model(model, verbose=False)
    assert predictor.inference_state is state
    predictor.setup_model(load_model(sam2_file, device="cpu"), verbose=False)
    assert predictor.inference_state is None


def test_prompts_of_a_callback_count_in_the_first_call(sam2_file: Path) -> None:
    predictor = SAM2VideoPredictor(
        overrides=overrides(sam2_file),
        _callbacks={"on_predict_start": [lambda p: p.add_new_prompts(5, bboxes=BOXES[0])]},
    )
    results = predictor(source=stack())
    assert [result.ids for result in results] == [(5,)] * 3
    assert results[1].masks.data.any()


@pytest.mark.parametrize(
    "cls", [Predictor, SAM2Predictor, SAM2VideoPredictor], ids=lambda cls: cls.__name__
)
def test_callbacks_of_the_first_call_find_a_model(files, cls) -> None:
    seen = []
    predictor = cls(
        overrides=overrides(files[cls]),
        _callbacks={"on_predict_start": [lambda p: seen.append(p.model is not None)]},
    )
    predictor(stack(1)[0], bboxes=BOXES)
    assert seen == [True]


def test_a_model_that_is_refused_changes_nothing(files) -> None:
    predictor = SAM2VideoPredictor(overrides=overrides(files[SAM2VideoPredictor]))
    predictor.setup_source(stack())
    predictor.add_new_prompts(1, bboxes=BOXES[0])
    model, state = predictor.model, predictor.inference_state
    with pytest.raises(ValueError, match=r"family sam2, such as overrides=.*: got weights"):
        predictor.setup_model(load_model(files[Predictor], device="cpu"), verbose=False)
    assert predictor.model is model
    assert predictor.inference_state is state


def test_shorter_frames_after_longer_ones(sam2_file: Path) -> None:
    predictor = SAM2VideoPredictor(overrides=overrides(sam2_file))
    predictor(source=stack(4), bboxes=BOXES)
    predictor.setup_source(stack(2))
    logits, _ = predictor.inference(bboxes=BOXES)
    assert len(logits) == 2
    assert predictor.inference_state.frames_already_tracked == {0}


def test_an_image_set_after_a_stream_was_left_stays(sam2_file: Path) -> None:
    predictor = SAM2Predictor(overrides=overrides(sam2_file))
    stream = predictor(list(stack()), stream=True, bboxes=BOXES)
    next(stream)
    predictor.set_image(np.zeros((30, 30), np.uint8))
    stream.close()
    assert predictor(points=[5, 5])[0].shape == (30, 30)
    stream = predictor(list(stack()), stream=True, bboxes=BOXES)
    next(stream)
    stream.close()
    assert predictor.im is None
