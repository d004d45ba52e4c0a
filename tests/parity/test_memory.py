"""The memory parts of the network against the sam2 package."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from reference import assert_logits_agree
from torch import Tensor

from conftest import SIZE, Pair, make_pair
from napari_cellprompt import SAM2DynamicInteractivePredictor
from napari_cellprompt.core.networks.layers import sine_position_encoding
from napari_cellprompt.core.networks.sam.sam2 import (
    FrameMemory,
    ImageFeatures,
    ObjectPointer,
)

pytestmark = pytest.mark.parity

GRID = SIZE // 16
OBJECTS = 2


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def absent_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A network that judges every object absent."""
    folder = tmp_path_factory.mktemp("weights")
    return make_pair("sam2.1_hiera_tiny", folder, object_bias=-10.0)


@pytest.fixture(scope="module")
def features() -> ImageFeatures:
    return ImageFeatures(
        noise(1, 256, GRID, GRID, seed=1),
        (
            noise(1, 32, 4 * GRID, 4 * GRID, seed=2),
            noise(1, 64, 2 * GRID, 2 * GRID, seed=3),
        ),
    )


def as_reference(features: ImageFeatures, count: int) -> dict[str, Any]:
    """Features, flattened as the reference passes them from step to step."""
    levels = (*features.high_res, features.embed)
    flat = [x.flatten(2).permute(2, 0, 1).expand(-1, count, -1) for x in levels]
    places = [
        sine_position_encoding(x.shape[2], x.shape[3], 256, x.device)
        .flatten(2)
        .permute(2, 0, 1)
        .expand(-1, count, -1)
        for x in levels
    ]
    return {
        "current_vision_feats": flat,
        "current_vision_pos_embeds": places,
        "feat_sizes": [tuple(x.shape[-2:]) for x in levels],
    }


def memory_of(frame: int) -> dict[str, Any]:
    place = sine_position_encoding(GRID, GRID, 64, torch.device("cpu"))
    return {
        "maskmem_features": noise(OBJECTS, 64, GRID, GRID, seed=100 + frame).bfloat16(),
        "maskmem_pos_enc": [place.expand(OBJECTS, -1, -1, -1)],
        "obj_ptr": noise(OBJECTS, 256, seed=200 + frame),
    }


@pytest.mark.parametrize(
    ("pointers", "grids"), [(0, 1), (4, 1), (12, 3)], ids=["none", "one", "three"]
)
def test_memory_attention(pair: Pair, pointers: int, grids: int) -> None:
    length = GRID * GRID
    x, place = noise(OBJECTS, length, 256, seed=1), noise(OBJECTS, length, 256, seed=2)
    memory = noise(OBJECTS, grids * length + pointers, 64, seed=3)
    memory_place = noise(OBJECTS, grids * length + pointers, 64, seed=4)
    expected = pair.reference.memory_attention(
        curr=x.transpose(0, 1),
        curr_pos=place.transpose(0, 1),
        memory=memory.transpose(0, 1),
        memory_pos=memory_place.transpose(0, 1),
        num_obj_ptr_tokens=pointers,
    ).transpose(0, 1)
    ours = pair.ours.memory_attention(
        x, place, memory, memory_place, grids=[(GRID, 1)] * grids
    )
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("num_frames", [10, 40], ids=["short", "long"])
def test_conditioning_on_prompted_and_tracked_frames(
    pair: Pair, features: ImageFeatures, num_frames: int, reverse: bool
) -> None:
    current = 3 if reverse else 6
    prompted = [9, 0] if reverse else [0, 9]  # one passed already, one still to come
    tracked = range(4, 9) if reverse else range(1, 6)
    outputs = {
        "cond_frame_outputs": {t: memory_of(t) for t in prompted},
        "non_cond_frame_outputs": {t: memory_of(t) for t in tracked},
    }
    flat = as_reference(features, OBJECTS)
    expected = pair.reference._prepare_memory_conditioned_features(
        frame_idx=current,
        is_init_cond_frame=False,
        output_dict=outputs,
        num_frames=num_frames,
        track_in_reverse=reverse,
        **{name: value[-1:] for name, value in flat.items()},
    )

    def passed(frame: int) -> int:
        return frame - current if reverse else current - frame

    memories = [
        FrameMemory(out["maskmem_features"], out["maskmem_pos_enc"][0][:1], distance)
        for distance, out in [
            *((0, outputs["cond_frame_outputs"][t]) for t in prompted),
            *((passed(t), outputs["non_cond_frame_outputs"][t]) for t in tracked),
        ]
    ]
    pointers = [
        ObjectPointer(memory_of(t)["obj_ptr"], passed(t))
        for t in [*prompted, *tracked]
        if passed(t) >= 0
    ]
    ours = pair.ours.condition(
        features,
        memories,
        pointers,
        max_distance=min(num_frames, 16) - 1,
        count=OBJECTS,
    )
    torch.testing.assert_close(ours.embed, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("binarize", [True, False], ids=["prompted", "tracked"])
@pytest.mark.parametrize("score", [5.0, -5.0], ids=["present", "absent"])
def test_memory_encoder(
    pair: Pair,
    features: ImageFeatures,
    binarize: bool,
    score: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pair.reference, "binarize_mask_from_pts_for_mem_enc", True)
    logits = 3 * noise(OBJECTS, 1, SIZE, SIZE, seed=7)
    scores = torch.full((OBJECTS, 1), score)
    flat = as_reference(features, OBJECTS)
    expected, places = pair.reference._encode_new_memory(
        current_vision_feats=flat["current_vision_feats"],
        feat_sizes=flat["feat_sizes"],
        pred_masks_high_res=logits,
        object_score_logits=scores,
        is_mask_from_pts=binarize,
    )
    memory, place = pair.ours.encode_memory(
        features.embed, logits, scores, binarize=binarize
    )
    torch.testing.assert_close(memory, expected, rtol=0, atol=2e-5)
    torch.testing.assert_close(place, places[0][:1], rtol=0, atol=1e-6)


CLICKS = (
    torch.tensor([[[100.0, 80.5]], [[30.0, 200.0]]]),
    torch.ones(2, 1, dtype=torch.int32),
)


@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@pytest.mark.parametrize("multimask", [True, False], ids=["three", "single"])
@pytest.mark.parametrize("prompt", ["clicks", "clicks+logits", "none"])
def test_heads_on_a_frame(
    request: pytest.FixtureRequest,
    features: ImageFeatures,
    prompt: str,
    multimask: bool,
    present: bool,
) -> None:
    pair = request.getfixturevalue("absent_pair") if not present else None
    pair = pair or request.getfixturevalue("present_pair")
    clicks = CLICKS if "clicks" in prompt else (None, None)
    logits = 8 * noise(OBJECTS, 1, SIZE // 4, SIZE // 4, seed=9)
    mask_input = logits if "logits" in prompt else None
    both = ImageFeatures(
        features.embed.expand(OBJECTS, -1, -1, -1),
        (
            features.high_res[0].expand(OBJECTS, -1, -1, -1),
            features.high_res[1].expand(OBJECTS, -1, -1, -1),
        ),
    )
    points = None
    if clicks[0] is not None:
        points = {"point_coords": clicks[0], "point_labels": clicks[1]}
    _, _, iou, low_res, high_res, pointer, score = pair.reference._forward_sam_heads(
        backbone_features=both.embed,
        point_inputs=points,
        mask_inputs=mask_input,
        high_res_features=list(both.high_res),
        multimask_output=multimask,
    )
    ours = pair.ours.heads(both, *clicks, mask_input, multimask=multimask)
    assert (score > 0).all() == present
    assert_logits_agree(ours.low_res, low_res)
    assert_logits_agree(ours.high_res, high_res)
    assert_logits_agree(ours.object_logits, score)
    torch.testing.assert_close(ours.iou, iou, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.pointer, pointer, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def present_pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair("sam2.1_hiera_tiny", tmp_path_factory.mktemp("weights"))


def test_masks_taken_as_they_are(pair: Pair, features: ImageFeatures) -> None:
    masks = torch.zeros(OBJECTS, 1, SIZE, SIZE)
    masks[0, 0, 50:120, 30:200] = 1  # the second object is prompted to be absent
    both = features.embed.expand(OBJECTS, -1, -1, -1)
    high_res = [x.expand(OBJECTS, -1, -1, -1) for x in features.high_res]
    _, _, iou, low, high, pointer, score = pair.reference._use_mask_as_output(
        both, high_res, masks
    )
    ours = pair.ours.heads_from_mask(features, masks)
    assert_logits_agree(ours.low_res, low, 1e-6)
    assert torch.equal(ours.high_res, high)
    assert torch.equal(ours.iou, iou)
    assert torch.equal(ours.object_logits, score)
    torch.testing.assert_close(ours.pointer, pointer, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def taught_by_the_reference(
    network: Any, example: Tensor, box: list[int], image: Tensor
) -> tuple[Tensor, Tensor]:
    """Low-resolution logits and score of an object that a box on an example has shown.

    The published interface of the memory bank in steps of the package: a box on an image
    without memory, its soft mask encoded, the only memory with the code of prompted
    frames, no pointers.
    """
    shown = network._prepare_backbone_features(network.forward_image(example))
    _, features, places, sizes = shown
    high_res = [
        x.permute(1, 2, 0).reshape(1, -1, *size)
        for x, size in zip(features[:-1], sizes[:-1], strict=True)
    ]
    plain = (features[-1] + network.no_mem_embed).permute(1, 2, 0)
    corners = torch.tensor(box, dtype=torch.float32).reshape(1, 2, 2)
    _, _, _, _, mask, _, score = network._forward_sam_heads(
        backbone_features=plain.reshape(1, -1, *sizes[-1]),
        point_inputs={
            "point_coords": corners,
            "point_labels": torch.tensor([[2, 3]], dtype=torch.int32),
        },
        high_res_features=high_res,
        multimask_output=False,
    )
    memory, memory_places = network._encode_new_memory(
        current_vision_feats=features,
        feat_sizes=sizes,
        pred_masks_high_res=mask,
        object_score_logits=score,
        is_mask_from_pts=False,
    )
    _, features, places, sizes = network._prepare_backbone_features(
        network.forward_image(image)
    )
    tokens = memory.bfloat16().float().flatten(2).permute(2, 0, 1)
    code = network.maskmem_tpos_enc[network.num_maskmem - 1]
    conditioned = network.memory_attention(
        curr=features[-1:],
        curr_pos=places[-1:],
        memory=tokens,
        memory_pos=memory_places[0].flatten(2).permute(2, 0, 1) + code,
        num_obj_ptr_tokens=0,
    )
    high_res = [
        x.permute(1, 2, 0).reshape(1, -1, *size)
        for x, size in zip(features[:-1], sizes[:-1], strict=True)
    ]
    _, _, _, low_res, _, _, score = network._forward_sam_heads(
        backbone_features=conditioned.permute(1, 2, 0).reshape(1, -1, *sizes[-1]),
        high_res_features=high_res,
        multimask_output=False,
    )
    return low_res[:, 0], score[:, 0]


def test_what_a_box_on_an_example_teaches(present_pair: Pair) -> None:
    pictures = [
        np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        for seed in (1, 2)
    ]
    box = [40, 60, 190, 170]
    predictor = SAM2DynamicInteractivePredictor()
    predictor.setup_model(present_pair.model, verbose=False)
    predictor(pictures[0], bboxes=[box], obj_ids=[1], update_memory=True)
    predictor.set_image(pictures[1])
    logits, scores = predictor.inference()
    inputs = [predictor.preprocess([picture]) for picture in pictures]
    expected, score = taught_by_the_reference(
        present_pair.reference, inputs[0], box, inputs[1]
    )
    assert_logits_agree(logits, expected)
    torch.testing.assert_close(scores, score.sigmoid(), rtol=0, atol=1e-5)
