"""What the crop-wise network promises before and after training."""

from __future__ import annotations

import pytest
import torch

from napari_cellprompt.core.inference.crops import CHANNELS
from napari_cellprompt.core.networks.focus import PROMPT_CHANNELS, FocusNet
from napari_cellprompt.core.networks.trunks.efficientnet_lite import (
    STAGE_CHANNELS,
    EfficientNetLite,
    rename_published,
)


@pytest.fixture(scope="module")
def network() -> FocusNet:
    torch.manual_seed(0)
    return FocusNet(decoder=(16, 16, 8, 8, 8), entry=8, full=8, hidden=8).eval()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def inputs(size: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(count, 3, size, size, generator=generator)
    prompts = torch.rand(count, len(PROMPT_CHANNELS), size, size, generator=generator)
    return image, prompts


def test_prompt_channels_are_those_that_are_drawn():
    assert tuple(CHANNELS) == PROMPT_CHANNELS
    assert list(CHANNELS.values()) == list(range(len(PROMPT_CHANNELS)))


@pytest.mark.parametrize("size", [64, 96, 160])
def test_any_multiple_of_32_works(network, size):
    image, prompts = inputs(size)
    output = network(image, prompts, dense=True)
    assert output.logits.shape == (2, size, size)
    assert output.dense.shape == (2, 3, size, size)
    assert output.iou.shape == output.presence.shape == (2,)
    assert ((output.iou > 0) & (output.iou < 1)).all()


def test_dense_map_only_where_asked_for(network):
    assert network(*inputs(64)).dense is None


def test_crops_of_a_batch_do_not_see_each_other(network):
    image, prompts = inputs(64, 3)
    together, alone = network(image, prompts), network(image[1:2], prompts[1:2])
    torch.testing.assert_close(together.logits[1:2], alone.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.iou[1:2], alone.iou, rtol=1e-4, atol=1e-5)


def test_untrained_prompts_leave_the_encoder_alone(network):
    image, prompts = inputs(64)
    for added in network.entry(torch.cat([image, prompts], 1)):
        assert not added.any()


def test_default_size_is_within_the_file_that_is_promised():
    count = sum(parameter.numel() for parameter in FocusNet().parameters())
    assert 2 * count < 8e6


def test_half_decoder_answers_almost_the_same(network):
    image, prompts = inputs(64)
    exact = network(image, prompts)
    network.half_decoder = True
    try:
        half = network(image, prompts)
    finally:
        network.half_decoder = False
    assert half.logits.dtype == half.iou.dtype == torch.float32
    assert (half.logits - exact.logits).abs().max() < 0.05 * exact.logits.abs().max() + 0.02


def test_encoder_levels():
    encoder = EfficientNetLite().eval()
    levels = encoder(torch.rand(1, 3, 64, 64))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (channels, 32 >> i, 32 >> i) for i, channels in enumerate(STAGE_CHANNELS)
    ]


def test_what_is_added_reaches_every_level_after_it():
    encoder = EfficientNetLite().eval()
    image = torch.rand(1, 3, 64, 64)
    plain = encoder(image)
    shapes = ((32, 32), (STAGE_CHANNELS[1], 16), (STAGE_CHANNELS[2], 8))
    for position, unchanged in enumerate((0, 1, 2)):
        entries = [torch.zeros(1, c, s, s) for c, s in shapes]
        entries[position] += 0.5
        changed = encoder(image, tuple(entries))
        same = [torch.equal(a, b) for a, b in zip(plain, changed, strict=True)]
        assert same == [True] * unchanged + [False] * (5 - unchanged)


def test_renaming_leaves_out_block_and_classifier():
    published = {
        "_conv_stem.weight": torch.zeros(1),
        "_bn0.running_mean": torch.zeros(1),
        "_blocks.1._expand_conv.weight": torch.zeros(1),
        "_blocks.1._bn0.weight": torch.zeros(1),
        "_blocks.15._project_conv.weight": torch.zeros(1),
        "_fc.weight": torch.zeros(1),
    }
    assert set(rename_published(published)) == {
        "stem.weight",
        "stem_norm.running_mean",
        "blocks.1.expand.0.weight",
        "blocks.1.expand.1.weight",
    }
