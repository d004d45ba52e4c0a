"""Tensors of every variant, and the image encoder, against the sam2 package."""

from __future__ import annotations

import pytest
import torch
from reference import CONFIGS, build_reference, shake

from conftest import SIZE, Pair
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo.registry import MODELS

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", CONFIGS)
def test_variants_have_the_same_tensors_and_the_same_encoder(
    name: str, image: torch.Tensor
) -> None:
    torch.manual_seed(0)
    reference = build_reference(name, image_size=SIZE)
    shake(reference, seed=1)
    ours = build_sam2(image_size=SIZE, **dict(MODELS[name].network)).eval()
    shapes = {key: t.shape for key, t in reference.state_dict().items()}
    assert {key: t.shape for key, t in ours.state_dict().items()} == shapes
    ours.load_state_dict(reference.state_dict())

    expected = reference.forward_image(image)["backbone_fpn"]
    features = ours.frame_features(image)
    for mine, theirs in zip((*features.high_res, features.embed), expected, strict=True):
        assert float(theirs.std()) > 1e-3  # not a constant that would hide mistakes
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


def test_encoder_of_two_images_of_another_size(pair: Pair) -> None:
    images = torch.randn(2, 3, 320, 320, generator=torch.Generator().manual_seed(2))
    expected = pair.reference.forward_image(images)["backbone_fpn"]
    features = pair.ours.frame_features(images)
    torch.testing.assert_close(features.embed, expected[2], rtol=0, atol=1e-5)
    torch.testing.assert_close(features.high_res[0], expected[0], rtol=0, atol=1e-5)


def test_image_mode_adds_the_no_memory_code(pair: Pair, image: torch.Tensor) -> None:
    expected = pair.reference.forward_image(image)["backbone_fpn"][2]
    expected = expected + pair.reference.no_mem_embed.reshape(1, -1, 1, 1)
    embed = pair.ours.image_features(image).embed
    torch.testing.assert_close(embed, expected, rtol=0, atol=1e-5)
