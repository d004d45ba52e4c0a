"""``Predictor`` against the packages segment-anything and mobilesam-mirror."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from reference import assert_logits_agree, scale_of

from napari_cellprompt.core.zoo.load import LoadedModel, load_model
from napari_cellprompt.predictors.sam import Predictor

pytestmark = pytest.mark.parity

Image = NDArray[np.uint8]
# name -> width, depth, heads, blocks that see the whole image, side of the input
ENCODERS = {
    "vit_b": (768, 12, 12, (2, 5, 8, 11), 256),
    "vit_l": (1024, 4, 16, (1, 3), 256),
    "vit_h": (1280, 4, 16, (1, 3), 256),
}


def build_vit(name: str) -> Any:
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    width, depth, heads, whole, side = ENCODERS[name]
    grid = side // 16
    return Sam(
        image_encoder=ImageEncoderViT(
            depth=depth,
            embed_dim=width,
            img_size=side,
            mlp_ratio=4,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            num_heads=heads,
            patch_size=16,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=whole,
            window_size=14,
            out_chans=256,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=256,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8
            ),
            transformer_dim=256,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
    )


def build_mobile() -> Any:
    with warnings.catch_warnings():
        # it registers models with a timm that has moved on
        warnings.simplefilter("ignore")
        from mobile_sam import sam_model_registry

        return sam_model_registry["vit_t"]()


def randomise(network: Any) -> None:
    """Give values to everything that starts at zero, and masks that are not flat."""
    generator = torch.Generator().manual_seed(3)

    def noise(tensor: torch.Tensor, std: float) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator) * std

    for name, parameter in network.named_parameters():
        if any(part in name for part in ("rel_pos", "pos_embed", "attention_biases")):
            parameter.copy_(noise(parameter, 0.2))
        elif parameter.ndim < 2:
            parameter.add_(noise(parameter, 0.1))
        elif "hypernetworks" in name and "layers.2" in name:
            parameter.mul_(20)
    for name, buffer in network.named_buffers():
        if "running_mean" in name:
            buffer.copy_(noise(buffer, 0.1))
        elif "running_var" in name:
            buffer.copy_(1 + noise(buffer, 0.1))
    network.eval()
    # MobileSAM keeps its biases in a copy that eval() makes
    network.train(False)


@dataclass(frozen=True)
class Pair:
    reference: Any
    model: LoadedModel


@pytest.fixture(scope="module", params=[*ENCODERS, "mobile_sam"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    name = request.param
    torch.manual_seed(0)
    with torch.no_grad():
        network = build_mobile() if name == "mobile_sam" else build_vit(name)
        randomise(network)
    path: Path = tmp_path_factory.mktemp("weights") / "any name.pth"
    torch.save(network.state_dict(), path)
    side = 1024 if name == "mobile_sam" else ENCODERS[name][4]
    model = load_model(path, image_size=side, device="cpu")
    path.unlink()
    assert model.spec.family == "sam1"
    return Pair(network, model)


def picture(shape: tuple[int, int]) -> Image:
    rng = np.random.default_rng(shape[0])
    coarse = torch.from_numpy(rng.normal(size=(1, 3, 9, 9)))
    smooth = torch.nn.functional.interpolate(coarse, size=shape, mode="bicubic")[0]
    noisy = 128 + 60 * smooth.permute(1, 2, 0).numpy() + rng.normal(0, 12, (*shape, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Predictors:
    reference: Any
    ours: Predictor
    shape: tuple[int, int]


@pytest.fixture(scope="module")
def predictors(pair: Pair) -> Predictors:
    if "mobile_sam" in type(pair.reference).__module__:
        from mobile_sam import SamPredictor
    else:
        from segment_anything import SamPredictor

    image = picture((190, 330))
    theirs = SamPredictor(pair.reference)
    ours = Predictor(overrides={"device": "cpu"})
    ours.setup_model(pair.model, verbose=False)
    with torch.no_grad():
        theirs.set_image(image)
        ours.set_image(image)
    return Predictors(theirs, ours, image.shape[:2])


@pytest.mark.parametrize("shape", [(190, 330), (610, 420), (37, 300)])
def test_preprocessing_is_the_same_to_the_last_bit(
    pair: Pair, shape: tuple[int, int]
) -> None:
    from segment_anything.utils.transforms import ResizeLongestSide

    image, side = picture(shape), pair.model.network.image_size
    resized = ResizeLongestSide(side).apply_image(image)
    tensor = torch.as_tensor(resized).permute(2, 0, 1)[None]
    expected = pair.reference.preprocess(tensor)
    ours = Predictor(overrides={"device": "cpu"})
    ours.setup_model(pair.model, verbose=False)
    assert torch.equal(ours.preprocess([image]), expected)


def test_features_agree(predictors: Predictors) -> None:
    expected, found = predictors.reference.features, predictors.ours.features
    assert float((found - expected).abs().max()) < 1e-4 * scale_of(expected)


POINTS = np.array([[60.0, 50.0], [200.0, 120.0]])
LABELS = np.array([1, 0])
BOX = np.array([40.0, 30.0, 180.0, 150.0])
PROMPTS = {
    "a point": {"points": POINTS[:1], "labels": LABELS[:1]},
    "two points": {"points": POINTS, "labels": LABELS},
    "a box": {"bboxes": BOX},
    "a box and points": {"bboxes": BOX, "points": POINTS, "labels": LABELS},
    "logits and a point": {"points": POINTS[:1], "labels": LABELS[:1], "masks": True},
    "logits": {"masks": True},
}


@pytest.mark.parametrize("multimask", [True, False], ids=["three masks", "one mask"])
@pytest.mark.parametrize("kind", PROMPTS)
def test_one_object(predictors: Predictors, kind: str, multimask: bool) -> None:
    given = dict(PROMPTS[kind])
    if given.get("masks"):
        side = predictors.ours.image_size // 4
        rng = np.random.default_rng(8)
        given["masks"] = rng.normal(0, 8, (1, side, side)).astype(np.float32)
    masks, scores, low_res = (
        torch.from_numpy(array)
        for array in predictors.reference.predict(
            point_coords=given.get("points"),
            point_labels=given.get("labels"),
            box=given.get("bboxes"),
            mask_input=given.get("masks"),
            multimask_output=multimask,
            return_logits=True,
        )
    )
    if "points" in given:
        given["points"], given["labels"] = given["points"][None], given["labels"][None]
    logits, our_scores = predictors.ours.prompt_inference(
        None, **given, multimask_output=multimask
    )
    assert_logits_agree(logits, low_res)
    assert torch.allclose(our_scores, scores, atol=1e-4)
    full = predictors.ours._to_source(logits, predictors.shape)
    assert_logits_agree(full, masks)
    assert 0 < int((full > 0).sum()) < full.numel(), "nothing to compare"


def test_batches_of_boxes_and_of_points(predictors: Predictors) -> None:
    boxes = np.array([[40, 30, 180, 150], [0, 0, 90, 90], [150, 60, 320, 180]], np.float32)
    points = np.random.default_rng(1).uniform(5, 180, (3, 2, 2)).astype(np.float32)
    labels = np.array([[1, 1], [1, 0], [0, 1]])
    reference = predictors.reference
    moved = torch.as_tensor(
        reference.transform.apply_coords(points, predictors.shape), dtype=torch.float32
    )
    framed = reference.transform.apply_boxes_torch(torch.as_tensor(boxes), predictors.shape)
    for given, theirs in (
        ({"bboxes": boxes}, (None, None, framed)),
        ({"points": points, "labels": labels}, (moved, torch.as_tensor(labels), None)),
        (
            {"bboxes": boxes, "points": points, "labels": labels},
            (moved, torch.as_tensor(labels), framed),
        ),
    ):
        _, scores, low_res = reference.predict_torch(*theirs, multimask_output=True)
        logits, our_scores = predictors.ours.prompt_inference(
            None, **given, multimask_output=True
        )
        assert_logits_agree(logits, low_res.flatten(0, 1))
        assert torch.allclose(our_scores, scores.flatten(), atol=1e-4)


@pytest.mark.parametrize("layers", [0, 1], ids=["whole image", "crops"])
def test_everything(pair: Pair, layers: int) -> None:
    """Thresholds let all masks pass: those of random weights are no objects."""
    if "mobile_sam" in type(pair.reference).__module__:
        from mobile_sam import SamAutomaticMaskGenerator
    else:
        from segment_anything import SamAutomaticMaskGenerator

    reference = SamAutomaticMaskGenerator(
        pair.reference,
        points_per_side=3,
        points_per_batch=5,
        pred_iou_thresh=1e-6,  # 0 would switch the filter off
        stability_score_thresh=0.3,
        stability_score_offset=0.05,
        box_nms_thresh=1.0,
        crop_n_layers=layers,
        crop_nms_thresh=1.0,
        crop_n_points_downscale_factor=2,
    )
    image = picture((150, 210))
    predictor = Predictor(overrides={"device": "cpu", "iou": 1.0})
    predictor.setup_model(pair.model, verbose=False)
    with torch.no_grad():
        records = reference.generate(image)
        masks, scores, boxes = predictor.generate(
            image,
            points_stride=3,
            points_batch_size=5,
            conf_thres=1e-6,
            stability_score_thresh=0.3,
            stability_score_offset=0.05,
            crop_n_layers=layers,
            crop_nms_thresh=1.0,
            crop_downscale_factor=2,
        )
    assert len(masks) == len(records)
    assert len(masks) > 5, "a comparison that tests nothing"
    # masks that are alike may come in another order: pair them by score
    theirs = sorted(records, key=lambda r: (r["predicted_iou"], r["area"]))
    ours = sorted(
        zip(masks, scores.tolist(), boxes.tolist(), strict=True),
        key=lambda item: (item[1], int(item[0].sum())),
    )
    for (mask, score, box), record in zip(ours, theirs, strict=True):
        differing = int((mask.numpy() != record["segmentation"]).sum())
        assert differing <= 1e-3 * mask.numel()
        assert score == pytest.approx(record["predicted_iou"], abs=1e-4)
        if differing == 0:
            x, y, width, height = record["bbox"]
            # the reference counts the last row and column as inside
            assert box == [x, y, x + width + 1, y + height + 1]
