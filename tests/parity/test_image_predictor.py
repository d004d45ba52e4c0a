"""``SAM2Predictor`` end to end against ``SAM2ImagePredictor`` of the sam2 package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reference import (
    assert_logits_agree,
    build_reference,
    reference_predictor,
    scale_of,
)

from conftest import SIZE, Pair
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo.load import LoadedModel
from napari_cellprompt.core.zoo.registry import MODELS
from napari_cellprompt.predictors.sam2_image import SAM2Predictor

pytestmark = pytest.mark.parity

Image = NDArray[np.uint8]
WIDE, TALL = (190, 330), (610, 420)


def picture(shape: tuple[int, int]) -> Image:
    """Coloured blobs and noise, ``(H, W, 3)`` uint8."""
    rng = np.random.default_rng(shape[0])
    coarse = torch.from_numpy(rng.normal(size=(1, 3, 9, 9)))
    smooth = torch.nn.functional.interpolate(coarse, size=shape, mode="bicubic")[0]
    noisy = 128 + 60 * smooth.permute(1, 2, 0).numpy() + rng.normal(0, 12, (*shape, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Predictors:
    """Both predictors with the same image set."""

    reference: Any
    ours: SAM2Predictor
    shape: tuple[int, int]


def set_up(reference: Any, model: LoadedModel, image: Image) -> Predictors:
    theirs = reference_predictor(reference)
    theirs.set_image(image)
    ours = SAM2Predictor(overrides={"device": "cpu"})
    ours.setup_model(model, verbose=False)
    ours.set_image(image)
    return Predictors(theirs, ours, image.shape[:2])


@pytest.fixture(scope="module", params=[WIDE, TALL], ids=["wide", "tall"])
def predictors(request: pytest.FixtureRequest, pair: Pair) -> Predictors:
    with torch.no_grad():
        return set_up(pair.reference, pair.model, picture(request.param))


def compare(predictors: Predictors, multimask: bool, **prompts: Any) -> float:
    """Predict the same with both; return the largest relative difference of logits."""
    arguments = {
        "point_coords": prompts.get("points"),
        "point_labels": prompts.get("labels"),
        "box": prompts.get("bboxes"),
        "mask_input": prompts.get("masks"),
    }
    full, scores, low_res = (
        torch.from_numpy(array)
        for array in predictors.reference.predict(
            **arguments, multimask_output=multimask, return_logits=True
        )
    )
    ours = predictors.ours
    logits, our_scores = ours.prompt_inference(None, **prompts, multimask_output=multimask)
    height, width = predictors.shape
    full = full.reshape(-1, height, width)
    low_res = low_res.reshape(-1, *logits.shape[1:])

    # The reference clamps what it returns at low resolution, not what it resizes.
    worst = assert_logits_agree(logits.clamp(-32, 32), low_res)
    assert_logits_agree(ours._to_source(logits, predictors.shape), full)
    torch.testing.assert_close(our_scores, scores.reshape(-1), rtol=0, atol=1e-4)

    result = ours(**prompts, multimask_output=multimask)[0]
    clear = full.abs() > 1e-4 * scale_of(full)
    masks = torch.as_tensor(result.masks.data)
    assert masks.shape == full.shape
    assert torch.equal(masks[clear], (full > 0)[clear])
    torch.testing.assert_close(
        torch.as_tensor(result.boxes.conf), our_scores, rtol=0, atol=1e-6
    )
    covered = (full > 0).float().mean(dim=(1, 2))
    assert ((covered > 0.02) & (covered < 0.98)).any(), "masks that test nothing"
    return worst


def logits_prompt(count: int, side: int = SIZE // 4) -> NDArray[np.float32]:
    """Logits as an earlier prediction may have left them, within the clamp."""
    rng = np.random.default_rng(4)
    coarse = torch.from_numpy(rng.normal(size=(count, 1, 6, 6)).astype(np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (12 * smooth[:, 0]).clamp(-32, 32).numpy()


ONE_CLICK = {"points": [[[81.0, 60.5]]], "labels": [[1]]}
CLICKS = {"points": [[[81.0, 60.5], [150.2, 99.0], [7.0, 180.0]]], "labels": [[1, 1, 0]]}
BOX = {"bboxes": [30.0, 20.0, 170.5, 150.0]}
SINGLE_OBJECT = [
    pytest.param(ONE_CLICK, id="click"),
    pytest.param(CLICKS, id="clicks"),
    pytest.param(BOX, id="box"),
    pytest.param({**CLICKS, **BOX}, id="box+clicks"),
    pytest.param({"masks": logits_prompt(1)}, id="logits"),
    pytest.param({**ONE_CLICK, "masks": logits_prompt(1)}, id="click+logits"),
    pytest.param({**BOX, **CLICKS, "masks": logits_prompt(1)}, id="all"),
]
THREE_CLICKS = {
    "points": [[[81.0, 60.5]], [[150.2, 99.0]], [[20.0, 180.0]]],
    "labels": [[1], [1], [1]],
}
THREE_BOXES = {"bboxes": [[30.0, 20, 170.5, 150], [5, 100, 60, 186], [100.5, 3, 180, 80]]}
SEVERAL_OBJECTS = [
    pytest.param(THREE_CLICKS, id="clicks"),
    pytest.param(THREE_BOXES, id="boxes"),
    pytest.param({**THREE_CLICKS, **THREE_BOXES}, id="boxes+clicks"),
]


def as_arrays(prompts: dict[str, Any]) -> dict[str, Any]:
    return {
        name: np.asarray(value, np.int32 if name == "labels" else np.float32)
        for name, value in prompts.items()
    }


@pytest.mark.parametrize("multimask", [True, False], ids=["three", "single"])
@pytest.mark.parametrize("prompts", SINGLE_OBJECT)
def test_one_object(
    predictors: Predictors, prompts: dict[str, Any], multimask: bool
) -> None:
    compare(predictors, multimask, **as_arrays(prompts))


@pytest.mark.parametrize("multimask", [True, False], ids=["three", "single"])
@pytest.mark.parametrize("prompts", SEVERAL_OBJECTS)
def test_several_objects(
    predictors: Predictors, prompts: dict[str, Any], multimask: bool
) -> None:
    compare(predictors, multimask, **as_arrays(prompts))


def test_objects_with_a_mask_prompt_each(predictors: Predictors) -> None:
    """The reference takes a batch of masks one below the other, with a channel axis."""
    prompts = as_arrays({**THREE_BOXES, "masks": logits_prompt(3)})
    reference = predictors.reference
    _, scores, low_res = reference.predict(
        box=prompts["bboxes"],
        mask_input=prompts["masks"][:, None],
        multimask_output=True,
    )
    logits, our_scores = predictors.ours.prompt_inference(
        None, **prompts, multimask_output=True
    )
    expected = torch.from_numpy(low_res).flatten(0, 1)
    assert_logits_agree(logits.clamp(-32, 32), expected)
    torch.testing.assert_close(
        our_scores, torch.from_numpy(scores).flatten(), rtol=0, atol=1e-4
    )


def test_a_prediction_refined_with_its_own_logits(predictors: Predictors) -> None:
    _, _, low_res = predictors.reference.predict(
        point_coords=np.array([[81.0, 60.5]]),
        point_labels=np.array([1]),
        multimask_output=False,
    )
    refined = {**as_arrays(CLICKS), "masks": low_res.astype(np.float32)}
    compare(predictors, False, **refined)


@pytest.mark.parametrize("shape", [WIDE, TALL, (64, 64), (1, 40)], ids=str)
@pytest.mark.parametrize("side", [256, 1024])
def test_preprocessing_is_exactly_the_same(
    pair: Pair, shape: tuple[int, int], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair.reference, "image_size", side)
    monkeypatch.setattr(pair.ours, "image_size", side)
    image = picture(shape)
    expected = reference_predictor(pair.reference)._transforms(image)[None]
    ours = SAM2Predictor(overrides={"device": "cpu"})
    ours.setup_model(pair.model, verbose=False)
    assert torch.equal(ours.preprocess([image]), expected)


def test_a_grey_image_is_the_same_as_its_three_copies(pair: Pair) -> None:
    grey = picture(WIDE)[..., 0]
    theirs = reference_predictor(pair.reference)
    theirs.set_image(np.repeat(grey[..., None], 3, axis=2))
    ours = SAM2Predictor(overrides={"device": "cpu"})
    ours.setup_model(pair.model, verbose=False)
    ours.set_image(grey)
    compare(Predictors(theirs, ours, WIDE), True, **as_arrays(CLICKS))


def test_features_are_the_same(predictors: Predictors) -> None:
    theirs, ours = predictors.reference._features, predictors.ours.features
    for mine, expected in [
        (ours["image_embed"], theirs["image_embed"]),
        *zip(ours["high_res_feats"], theirs["high_res_feats"], strict=True),
    ]:
        torch.testing.assert_close(mine, expected, rtol=0, atol=2e-5)


def test_at_the_published_input_size(pair: Pair) -> None:
    """SAM 2.1 tiny at 1024, as its users run it."""
    if pair.ours.version != "2.1":
        pytest.skip("one version is enough at this size")
    name = "sam2.1_hiera_tiny"
    reference = build_reference(name, image_size=1024)
    reference.load_state_dict(pair.reference.state_dict())
    network = build_sam2(image_size=1024, **dict(MODELS[name].network)).eval()
    network.load_state_dict(reference.state_dict())
    model = replace(pair.model, network=network, spec=MODELS[name])
    predictors = set_up(reference, model, picture((480, 640)))
    for prompts in (ONE_CLICK, {**CLICKS, **BOX}, THREE_BOXES):
        for multimask in (True, False):
            compare(predictors, multimask, **as_arrays(prompts))
