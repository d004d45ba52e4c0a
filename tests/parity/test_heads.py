"""Prompt encoder and mask decoder against the sam2 package."""

from __future__ import annotations

import pytest
import torch
from reference import assert_logits_agree
from torch import Tensor

from conftest import SIZE, Pair
from napari_cellprompt.core.networks.sam.sam2 import ImageFeatures

pytestmark = pytest.mark.parity


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


CLICK = (torch.tensor([[[100.0, 80.5]]]), torch.tensor([[1]], dtype=torch.int32))
CLICKS = (
    torch.tensor([[[100.0, 80.5], [3.0, 250.0], [0.0, 0.0]]]),
    torch.tensor([[1, 0, -1]], dtype=torch.int32),
)
BOX = (
    torch.tensor([[[40.0, 30.0], [200.0, 220.0]]]),
    torch.tensor([[2, 3]], dtype=torch.int32),
)
BOX_AND_CLICKS = (
    torch.cat((BOX[0], CLICKS[0]), dim=1),
    torch.cat((BOX[1], CLICKS[1]), dim=1),
)
BATCH = (
    torch.cat((CLICKS[0], CLICKS[0].flip(1) + 7, CLICKS[0] * 0.5)),
    torch.tensor([[1, 0, -1], [0, 1, 1], [2, 3, 1]], dtype=torch.int32),
)
MASK = 8 * noise(1, 1, SIZE // 4, SIZE // 4, seed=11)
MASKS = 8 * noise(3, 1, SIZE // 4, SIZE // 4, seed=12)

PROMPTS = [
    pytest.param(CLICK, None, id="click"),
    pytest.param(CLICKS, None, id="clicks"),
    pytest.param(BOX, None, id="box"),
    pytest.param(BOX_AND_CLICKS, None, id="box+clicks"),
    pytest.param(BATCH, None, id="batch"),
    pytest.param(None, MASK, id="mask"),
    pytest.param(CLICK, MASK, id="click+mask"),
    pytest.param(BATCH, MASKS, id="batch+masks"),
]
Points = tuple[Tensor, Tensor] | None


@pytest.mark.parametrize(("points", "mask"), PROMPTS)
def test_prompt_encoder(pair: Pair, points: Points, mask: Tensor | None) -> None:
    expected = pair.reference.sam_prompt_encoder(points=points, boxes=None, masks=mask)
    grid = (SIZE // 16, SIZE // 16)
    coordinates, labels = points if points is not None else (None, None)
    ours = pair.ours.sam_prompt_encoder(
        coordinates, labels, mask, image_size=SIZE, grid_size=grid
    )
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        pair.ours.sam_prompt_encoder.dense_positions(*grid),
        pair.reference.sam_prompt_encoder.get_dense_pe(),
        rtol=0,
        atol=1e-6,
    )


def decode_reference(
    pair: Pair,
    features: ImageFeatures,
    points: Points,
    mask: Tensor | None,
    multimask: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    sparse, dense = pair.reference.sam_prompt_encoder(points=points, boxes=None, masks=mask)
    result: tuple[Tensor, Tensor, Tensor, Tensor] = pair.reference.sam_mask_decoder(
        image_embeddings=features.embed,
        image_pe=pair.reference.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask,
        repeat_image=len(sparse) > 1,
        high_res_features=list(features.high_res),
    )
    return result


@pytest.mark.parametrize("multimask", [True, False], ids=["three", "single"])
@pytest.mark.parametrize(("points", "mask"), PROMPTS)
def test_mask_decoder(
    pair: Pair,
    image: Tensor,
    points: Points,
    mask: Tensor | None,
    multimask: bool,
) -> None:
    features = pair.ours.image_features(image)
    masks, iou, tokens, object_logits = decode_reference(
        pair, features, points, mask, multimask
    )
    coordinates, labels = points if points is not None else (None, None)
    ours = pair.ours.decode(features, None, coordinates, labels, mask, multimask=multimask)
    assert_logits_agree(ours.masks, masks)
    assert_logits_agree(ours.object_logits, object_logits)
    torch.testing.assert_close(ours.iou, iou, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.tokens, tokens, rtol=1e-4, atol=1e-4)
    covered = (masks > 0).float().mean(dim=(2, 3))
    assert ((covered > 0.02) & (covered < 0.98)).any(), "masks that test nothing"


@pytest.mark.parametrize("scale", [1.0, 1e-3], ids=["stable", "unstable"])
def test_single_masks_that_are_unstable_give_way(
    pair: Pair, image: Tensor, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits near 0 make every single mask unstable; large ones make it stable."""
    features = pair.ours.image_features(image)
    flat = ImageFeatures(features.embed, features.high_res)
    single = pair.reference.sam_mask_decoder.output_hypernetworks_mlps[0].layers[-1]
    mine = pair.ours.sam_mask_decoder.output_hypernetworks_mlps[0].layers[-1]
    for layer in (single, mine):
        monkeypatch.setattr(layer, "weight", torch.nn.Parameter(layer.weight * scale))
        monkeypatch.setattr(layer, "bias", torch.nn.Parameter(layer.bias * scale))
    masks, iou, _, _ = decode_reference(pair, flat, BATCH, None, False)
    ours = pair.ours.decode(flat, None, *BATCH, None, multimask=False)
    assert_logits_agree(ours.masks, masks)
    torch.testing.assert_close(ours.iou, iou, rtol=0, atol=1e-5)
    raw = pair.ours.decode(flat, None, *BATCH, None, multimask=None)
    fell_back = [
        not torch.equal(a, b[:1]) for a, b in zip(ours.masks, raw.masks, strict=True)
    ]
    if scale < 1:
        assert all(fell_back)


def test_objects_on_two_images(pair: Pair) -> None:
    images = noise(2, 3, SIZE, SIZE, seed=3)
    features = pair.ours.image_features(images)
    index = torch.tensor([1, 0, 1])
    ours = pair.ours.decode(features, index, *BATCH, None, multimask=True)
    for row, image_index in enumerate(index.tolist()):
        alone = ImageFeatures(
            features.embed[image_index : image_index + 1],
            (
                features.high_res[0][image_index : image_index + 1],
                features.high_res[1][image_index : image_index + 1],
            ),
        )
        prompt = (BATCH[0][row : row + 1], BATCH[1][row : row + 1])
        masks, *_ = decode_reference(pair, alone, prompt, None, True)
        assert_logits_agree(ours.masks[row : row + 1], masks)
