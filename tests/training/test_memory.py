from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "training"))

from clips import ClipStream, clip_from_plane, clip_from_stack, load_stacks, make_stack
from data import Plane
from napari_cellprompt.core.networks.sam2 import FrameMemory, ImageFeatures
from tracking import clip_loss, follow, prepare_memory
from train import build_network

SIZE = 128


@pytest.fixture(scope="module")
def config() -> dict:
    text = (Path(__file__).parents[2] / "training" / "config.json").read_text()
    return json.loads(text) | {"image_size": SIZE}


@pytest.fixture(scope="module")
def images_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """A disc that moves to the right and a square that leaves after half of 8 planes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    labels = np.zeros((8, 64, 64), np.uint16)
    for plane in range(8):
        labels[plane][(y - 32) ** 2 + (x - 20 - 2 * plane) ** 2 <= 64] = 3
        if plane < 4:
            labels[plane, 4:14, 44:54] = 7
    images = (labels > 0) * 150 + rng.integers(0, 40, labels.shape)
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def stack(images_and_labels):
    return make_stack("toy", *images_and_labels)


def test_a_stack_lists_its_objects_with_boxes_and_without_their_tips():
    labels = np.zeros((3, 40, 40), np.uint16)
    labels[0, 10:13, 10:13] = 2
    labels[1, 8:18, 6:18] = 2
    labels[2, 30:32, 30:32] = 5
    found = make_stack("toy", labels.astype(np.uint8), labels)
    assert found.starts.tolist() == [[1, 2, 6, 8, 18, 18]]


def test_clips_of_a_stack_start_where_the_object_is(stack):
    rng = np.random.default_rng(1)
    clips = [clip_from_stack(stack, 5, SIZE, 2, rng) for _ in range(30)]
    # from the middle of few planes, two at a time, there is not always room for a clip
    known = [clip for clip in clips if clip is not None]
    assert len(known) > 20
    left = 0
    for clip in known:
        frames, count = clip.masks.shape[:2]
        assert 3 <= frames <= 5 and 1 <= count <= 2
        assert clip.images.shape == (frames, 3, SIZE, SIZE)
        assert clip.images.isfinite().all()
        assert clip.masks[0].flatten(1).any(dim=1).all()
        left += int((~clip.masks[1:].flatten(2).any(dim=2)).sum())
    assert left, "no object ever left"


def test_clips_of_an_image_move_and_lose_objects(images_and_labels):
    images, labels = images_and_labels
    boxes = np.array(((12, 24, 29, 41), (44, 4, 54, 14)))
    plane = Plane("toy", "toy", images[0], labels[0], np.array((3, 7)), boxes)
    rng = np.random.default_rng(2)
    clips = [clip_from_plane(plane, 4, SIZE, 2, rng) for _ in range(20)]
    known = [clip for clip in clips if clip is not None]
    assert len(known) > 10
    assert all(clip.masks[0].flatten(1).any(dim=1).all() for clip in known)
    assert any((clip.masks[0] != clip.masks[-1]).any() for clip in known)
    assert any(not clip.masks[-1].flatten(1).any(dim=1).all() for clip in known)


def test_colour_planes_make_clips(images_and_labels):
    images, labels = images_and_labels
    colour = np.repeat(images[0][..., None], 3, axis=2)
    boxes = np.array(((12, 24, 29, 41),))
    plane = Plane("toy", "toy", colour, labels[0], np.array((3,)), boxes)
    rng = np.random.default_rng(3)
    clips = [clip_from_plane(plane, 3, SIZE, 1, rng) for _ in range(5)]
    shapes = {clip.images.shape for clip in clips if clip is not None}
    assert shapes == {(3, 3, SIZE, SIZE)}


def test_the_same_seed_gives_the_same_clips(stack):
    def first() -> torch.Tensor:
        stream = ClipStream(
            [stack], [stack], [], shares=(1, 1, 0), frames=4, size=64, objects=2, seed=5
        )
        return next(iter(stream)).images

    assert torch.equal(first(), first())


def test_untrained_memory_passes_features_on(config, stack):
    torch.manual_seed(0)
    network = build_network(config)
    with torch.no_grad():
        network.no_mem_embed.normal_(std=0.1)
    clip = clip_from_stack(stack, 4, SIZE, 1, np.random.default_rng(0))
    prepare_memory(network, clip.images)
    with torch.no_grad():
        seen = network.frame_features(clip.images)
        wanted = network.without_memory(seen).embed
        side = SIZE // 16
        empty = torch.zeros(1, network.mem_dim, side, side)
        first = ImageFeatures(seen.embed[:1], tuple(level[:1] for level in seen.high_res))
        got = network.condition(
            first, [FrameMemory(empty, empty, 0)], [], max_distance=15, count=1
        )
    error = (got.embed - wanted[:1]).square().mean()
    assert error < 0.3 * wanted.var()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_clip_loss_teaches_the_memory_and_not_the_encoder(config, stack, seed):
    torch.manual_seed(seed)
    network = build_network(config)
    network.image_encoder.requires_grad_(False)
    rng = np.random.default_rng(seed)
    clip = clip_from_stack(stack, 4, SIZE, 2, rng)
    loss, parts = clip_loss(network, clip, config, rng)
    loss.backward()
    assert torch.isfinite(loss)
    assert set(parts) - {"presence"} <= {"tracked", "carried"}
    assert network.memory_attention.layers[0].self_attn.out_proj.weight.grad.any()
    assert network.memory_encoder.out_proj.weight.grad.any()
    assert all(p.grad is None for p in network.image_encoder.parameters())


def test_following_counts_every_object_on_every_later_frame(config, stack):
    network = build_network(config).eval()
    clip = clip_from_stack(stack, 4, SIZE, 2, np.random.default_rng(4))
    tracked, copied = follow(network, clip, carry=True, keep=2)
    assert len(copied) <= (len(clip.images) - 1) * clip.masks.shape[1]
    assert all(0 <= value <= 1 for value in (*tracked, *copied))
    assert copied and max(copied) > 0.3


@pytest.mark.skipif("CELLPROMPT_DATA" not in os.environ, reason="CELLPROMPT_DATA not set")
def test_training_and_validation_stacks_are_different_columns():
    root = os.environ["CELLPROMPT_DATA"]
    train = {s.dataset: s for s in load_stacks(root, "train")}
    val = {s.dataset: s for s in load_stacks(root, "val")}
    tested = {s.dataset for s in load_stacks(root, "test")}
    assert {"mouse_embryo_16cell", "chloroplast_sbfsem_left"} <= set(train) & set(val)
    assert not tested & set(train)
    for name in set(train) & set(val):
        whole = train[name].images.shape[2] + val[name].images.shape[2]
        assert train[name].labels.shape[0] == val[name].labels.shape[0]
        assert whole > 0
        assert not np.array_equal(
            train[name].labels[:, :, :20], val[name].labels[:, :, :20]
        )
