"""What EdgeTAM has besides SAM 2: a convolutional trunk, and memories of few tokens."""

from __future__ import annotations

import pytest
import torch

from napari_cellprompt.core.inference.sam.tracking import (
    ObjectMemory,
    TrackSettings,
    encode_frames,
    mask_frame,
    track_frame,
)
from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.networks.sam.perceiver import SpatialPerceiver
from napari_cellprompt.core.networks.sam.sam2 import SAM2
from napari_cellprompt.core.networks.trunks.repvit import REPVIT_CHANNELS, RepViT
from napari_cellprompt.core.zoo.registry import MODELS

SIDE = 256


@pytest.fixture(scope="module")
def network() -> SAM2:
    torch.manual_seed(0)
    made = build_sam2(image_size=SIDE, **dict(MODELS["edgetam"].network)).eval()
    with torch.no_grad():  # fresh weights judge every object absent
        made.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(10)
    return made


def test_the_trunk_halves_the_grid_from_stage_to_stage() -> None:
    with torch.no_grad():
        stages = RepViT().eval()(torch.randn(2, 3, 64, 96))
    assert [tuple(stage.shape) for stage in stages] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(REPVIT_CHANNELS, (4, 8, 16, 32), strict=True)
    ]


def test_each_latent_of_the_grid_sees_its_own_window() -> None:
    torch.manual_seed(0)
    perceiver = SpatialPerceiver(dim=64, layers=2)
    memory = torch.randn(1, 64, 32, 32)
    changed = memory.clone()
    changed[:, :, 6:8, 10:12] += 3  # the window in row 3, column 5
    with torch.no_grad():
        difference = (perceiver(memory) - perceiver(changed)).abs().amax(dim=1)[0]
    assert difference.shape == (32, 16)
    assert torch.nonzero(difference[16:] > 1e-6).tolist() == [[3, 5]]
    assert (difference[:16] > 0).all(), "the others see everything"


def test_a_memory_that_windows_do_not_cover() -> None:
    with pytest.raises(ValueError, match="multiple of 16 tokens: got 24 x 24"):
        SpatialPerceiver(dim=64, layers=1)(torch.zeros(1, 64, 24, 24))


def test_an_input_that_windows_do_not_cover() -> None:
    with pytest.raises(ValueError, match="multiple of 256 for EdgeTAM: got 320"):
        build_sam2(image_size=320, **dict(MODELS["edgetam"].network))


def test_an_unknown_trunk() -> None:
    with pytest.raises(ValueError, match="trunk must be"):
        build_sam2(trunk="resnet")


@pytest.mark.parametrize("pool_older", [False, True])
def test_objects_are_followed(network: SAM2, pool_older: bool) -> None:
    torch.manual_seed(1)
    frames = torch.randn(4, 1, 3, SIDE, SIDE)
    masks = torch.zeros(2, 1, SIDE, SIDE)
    masks[0, :, 40:90, 60:120] = 1
    masks[1, :, 150:200, 100:180] = 1
    settings = TrackSettings(pool_older=pool_older)
    with torch.inference_mode():
        features = [network.frame_features(frame) for frame in frames]
        objects = []
        for frame in mask_frame(network, features[0], masks):
            (encoded,) = encode_frames(network, features[0], [frame], binarize=True)
            assert encoded.memory is not None
            assert tuple(encoded.memory.shape) == network.memory_shape == (64, 32, 16)
            objects.append(ObjectMemory(prompted={0: encoded}))
        for index in range(1, 4):
            found = track_frame(
                network,
                features[index],
                objects,
                index,
                reverse=False,
                num_frames=4,
                settings=settings,
            )
            for item, output in zip(objects, found, strict=True):
                assert torch.isfinite(output.low_res).all()
                item.tracked[index] = output
    assert not torch.equal(objects[0].tracked[3].low_res, objects[1].tracked[3].low_res)
