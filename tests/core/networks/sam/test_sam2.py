"""What the network promises by itself; agreement with Meta's package is in tests/parity."""

from __future__ import annotations

import pytest
import torch

from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.networks.sam.mask_decoder import stable_single
from napari_cellprompt.core.networks.sam.sam2 import (
    NO_OBJECT_LOGIT,
    FrameMemory,
    ImageFeatures,
    ObjectPointer,
)

SMALL = {
    "embed_dim": 16,
    "stages": (1, 1, 2, 1),
    "global_att_blocks": (3,),
    "d_model": 64,
    "mem_dim": 32,
    "memory_attention_layers": 1,
    "memory_attention_feedforward": 64,
    "decoder_mlp_dim": 64,
}


@pytest.fixture(scope="module", params=["2.0", "2.1"])
def network(request):
    torch.manual_seed(0)
    return build_sam2(image_size=128, version=request.param, **SMALL).eval()


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_features_have_the_promised_shapes(network) -> None:
    features = network.image_features(torch.randn(2, 3, 128, 128))
    assert features.embed.shape == (2, 64, 8, 8)
    assert features.high_res[0].shape == (2, 8, 32, 32)
    assert features.high_res[1].shape == (2, 16, 16, 16)
    assert features.nbytes == 4 * 2 * (64 * 64 + 8 * 1024 + 16 * 256)


def test_input_size_may_change(network) -> None:
    network.image_size = 192
    try:
        features = network.image_features(torch.randn(1, 3, 192, 192))
        points, labels = torch.tensor([[[10.0, 10.0]]]), torch.ones(1, 1)
        out = network.decode(features, None, points, labels, None, multimask=True)
        assert out.masks.shape == (1, 3, 48, 48)
    finally:
        network.image_size = 128


def test_objects_find_their_own_image(network) -> None:
    features = network.image_features(torch.randn(2, 3, 128, 128))
    points, labels = torch.tensor([[[30.0, 40.0]]]).expand(2, 1, 2), torch.ones(2, 1)
    index = torch.tensor([1, 0])
    both = network.decode(features, index, points, labels, None, multimask=None)
    second = ImageFeatures(features.embed[1:], tuple(x[1:] for x in features.high_res))
    alone = network.decode(second, None, points[:1], labels[:1], None, multimask=None)
    assert torch.allclose(both.masks[0], alone.masks[0], atol=1e-5)
    assert both.masks.shape == (2, 4, 32, 32)


def test_position_embedding_is_not_kept_past_a_change_of_weights(network) -> None:
    x = torch.randn(1, 3, 128, 128)
    before = network.image_features(x).embed
    network.image_encoder.trunk.pos_embed.add_(1.0)
    try:
        assert not torch.allclose(before, network.image_features(x).embed)
    finally:
        network.image_encoder.trunk.pos_embed.sub_(1.0)


def test_unstable_single_mask_gives_way_to_the_best() -> None:
    masks = torch.zeros(2, 4, 8, 8)
    masks[0, 0] = 0.01  # all of it within the margin: unstable
    masks[1, 0, :4] = 5.0
    masks[1, 0, 4:] = -5.0
    masks[:, 2] = 7.0
    iou = torch.tensor([[0.1, 0.2, 0.9, 0.3]]).expand(2, 4)
    chosen, scores = stable_single(masks, iou)
    assert chosen[0, 0, 0, 0] == 7
    assert chosen[1, 0, 0, 0] == 5
    assert scores[:, 0].tolist() == pytest.approx([0.9, 0.1])


def test_absent_object_has_no_mask_and_the_fixed_pointer(network) -> None:
    features = network.image_features(torch.randn(1, 3, 128, 128))
    last = network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    bias = last.bias.clone()
    last.bias.fill_(-100.0)
    try:
        out = network.heads(features, None, None, None, multimask=True)
    finally:
        last.bias.copy_(bias)
    assert (out.low_res == NO_OBJECT_LOGIT).all()
    assert torch.equal(out.pointer, network.no_obj_ptr)


def test_given_mask_is_the_output(network) -> None:
    features = network.frame_features(torch.randn(1, 3, 128, 128))
    mask = torch.zeros(2, 1, 128, 128)
    mask[0, :, 32:64, 32:64] = 1
    out = network.heads_from_mask(features, mask)
    assert torch.equal(out.high_res, mask * 20 - 10)
    assert out.low_res.shape == (2, 1, 32, 32)
    assert out.object_logits.flatten().tolist() == [10, -10]
    assert torch.equal(out.pointer[1:], network.no_obj_ptr)


def remembered(network, count: int, frames: int):
    torch.manual_seed(1)
    features = network.frame_features(torch.randn(1, 3, 128, 128))
    masks = torch.randn(count, 1, 128, 128)
    logits = torch.ones(count, 1)
    memories, pointers = [], []
    for distance in range(frames):
        memory, positions = network.encode_memory(
            features.embed, masks.roll(distance, -1), logits, binarize=distance == 0
        )
        memories.append(FrameMemory(memory, positions, distance))
        pointers.append(ObjectPointer(torch.randn(count, 64), distance + 1))
    return features, memories, pointers


def test_objects_condition_each_on_its_own_memory(network) -> None:
    features, memories, pointers = remembered(network, count=3, frames=3)
    together = network.condition(features, memories, pointers, max_distance=15, count=3)
    one = [FrameMemory(m.features[1:2], m.positions, m.distance) for m in memories]
    own = [ObjectPointer(p.pointer[1:2], p.distance) for p in pointers]
    alone = network.condition(features, one, own, max_distance=15, count=1)
    assert together.embed.shape == (3, 64, 8, 8)
    assert torch.allclose(together.embed[1], alone.embed[0], atol=1e-5)


def test_order_of_memories_does_not_matter(network) -> None:
    features, memories, pointers = remembered(network, count=1, frames=4)
    a = network.condition(features, memories, pointers, max_distance=15, count=1)
    b = network.condition(
        features, memories[::-1], pointers[::-1], max_distance=15, count=1
    )
    assert torch.allclose(a.embed, b.embed, atol=1e-5)


def test_distance_of_a_memory_matters(network) -> None:
    features, (memory, *_), _ = remembered(network, count=1, frames=1)
    near = FrameMemory(memory.features, memory.positions, 1)
    a = network.condition(features, [memory], [], max_distance=15, count=1)
    b = network.condition(features, [near], [], max_distance=15, count=1)
    assert not torch.allclose(a.embed, b.embed, atol=1e-6)


def test_absent_object_marks_its_memory_in_2_1_only(network) -> None:
    features = network.frame_features(torch.randn(1, 3, 128, 128))
    mask = torch.full((1, 1, 128, 128), -10.0)
    args = (features.embed, mask)
    here, _ = network.encode_memory(*args, torch.ones(1, 1), binarize=False)
    gone, _ = network.encode_memory(*args, -torch.ones(1, 1), binarize=False)
    assert torch.equal(here, gone) == (network.version == "2.0")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param({"version": "3"}, "version", id="version"),
        pytest.param({"image_size": 100}, "multiple of 32", id="size"),
        pytest.param({"d_model": 96, "mem_dim": 64}, "multiple of mem_dim", id="widths"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_sam2(**settings)
