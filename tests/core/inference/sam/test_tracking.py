from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch

from napari_cellprompt.core.inference.sam.object_memory import select_prompted
from napari_cellprompt.core.inference.sam.tracking import (
    ObjectFrame,
    ObjectMemory,
    TrackSettings,
    condition_objects,
    encode_frames,
    mask_frame,
    prompt_frame,
    track_frame,
)
from napari_cellprompt.core.networks.sam import memory as memory_module
from napari_cellprompt.core.zoo.registry import DrawingSpec

SIDE = 128
GRID = SIDE // 16
SETTINGS = TrackSettings()


@pytest.fixture(scope="module")
def network(model):
    """Its objects are present: the score's bias is high."""
    network = model.network
    head = network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    before = head.bias.detach().clone()
    with torch.no_grad():
        head.bias.fill_(50.0)
    yield network
    with torch.no_grad():
        head.bias.copy_(before)


@pytest.fixture(scope="module")
def frames(network):
    """Features of six frames."""
    images = torch.randn(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        return [network.frame_features(image[None]) for image in images]


def clicked(network, features, *xy: tuple[float, float]) -> list[ObjectFrame]:
    points = torch.tensor(xy)[:, None]
    labels = torch.ones(len(xy), 1, dtype=torch.int32)
    plain = network.without_memory(features)
    found = prompt_frame(network, plain, points, labels, None, drawing=None)
    return encode_frames(network, features, found, binarize=True)


def start(network, frames, *xy: tuple[float, float]) -> list[ObjectMemory]:
    found = clicked(network, frames[0], *xy)
    return [ObjectMemory(prompted={0: frame}) for frame in found]


def run(network, frames, objects, settings=SETTINGS, last=6) -> list[list[ObjectFrame]]:
    found = []
    for index in range(1, last):
        row = track_frame(
            network,
            frames[index],
            objects,
            index,
            reverse=False,
            num_frames=len(frames),
            settings=settings,
        )
        for item, frame in zip(objects, row, strict=True):
            item.tracked[index] = frame
        found.append(row)
    return found


def assert_same(first: ObjectFrame, second: ObjectFrame, tolerance: float = 2e-3) -> None:
    # rounding the memories to bfloat16 turns differences of the last bit into larger ones
    torch.testing.assert_close(first.low_res, second.low_res, rtol=0, atol=tolerance)
    torch.testing.assert_close(first.pointer, second.pointer, rtol=0, atol=tolerance)


def test_a_tracked_frame_has_everything_that_later_ones_need(network, frames) -> None:
    objects = start(network, frames, (40.0, 40.0))
    (found,) = run(network, frames, objects, last=2)[0]
    assert found.low_res.shape == (1, SIDE // 4, SIDE // 4)
    assert found.memory.shape == (64, GRID, GRID)
    assert found.memory.dtype == torch.bfloat16
    assert not found.prompted
    assert found.object_logit > 0
    assert 0 <= found.iou <= 1
    assert objects[0].prompted[0].prompted


def test_objects_do_not_influence_each_other(network, frames) -> None:
    both = run(network, frames, start(network, frames, (40.0, 40.0), (90.0, 70.0)))
    for number, xy in enumerate([(40.0, 40.0), (90.0, 70.0)]):
        alone = run(network, frames, start(network, frames, xy))
        for together, single in zip(both, alone, strict=True):
            assert_same(together[number], single[0])


def test_objects_prompted_on_different_frames_run_in_groups(network, frames) -> None:
    early = start(network, frames, (40.0, 40.0))[0]
    run(network, frames, [early], last=3)
    late = ObjectMemory(prompted={2: clicked(network, frames[2], (90.0, 70.0))[0]})
    arguments = {"reverse": False, "num_frames": 6, "settings": SETTINGS}
    together = track_frame(network, frames[3], [late, early], 3, **arguments)
    for row, item in enumerate((late, early)):
        alone = track_frame(network, frames[3], [item], 3, **arguments)
        assert_same(together[row], alone[0])


def test_pruning_changes_nothing_later_and_stays_flat(network, frames) -> None:
    many = [frames[index % 6] for index in range(60)]
    kept = start(network, many, (40.0, 40.0))
    pruned = start(network, many, (40.0, 40.0))
    sizes = []
    for index in range(1, 60):
        arguments = {"reverse": False, "num_frames": 60, "settings": SETTINGS}
        (first,) = track_frame(network, many[index], kept, index, **arguments)
        (second,) = track_frame(network, many[index], pruned, index, **arguments)
        assert torch.equal(first.low_res, second.low_res)
        kept[0].tracked[index] = first
        pruned[0].tracked[index] = second
        pruned[0].prune(index, settings=SETTINGS)
        sizes.append(pruned[0].nbytes)
    assert sizes[-1] == sizes[-20] < kept[0].nbytes / 1.5
    # backwards from the prompted frame everything is still there
    assert all(pruned[0].tracked[index].memory is not None for index in range(1, 7))


def test_backwards_mirrors_forwards(network, frames) -> None:
    forwards = start(network, frames, (40.0, 40.0))
    expected = run(network, frames, forwards)
    mirrored = [ObjectMemory(prompted={5: forwards[0].prompted[0]})]
    for index in range(4, -1, -1):
        (found,) = track_frame(
            network,
            frames[5 - index],
            mirrored,
            index,
            reverse=True,
            num_frames=6,
            settings=SETTINGS,
        )
        mirrored[0].tracked[index] = found
        assert_same(found, expected[4 - index][0])


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(TrackSettings(max_memories=2), id="fewer"),
        pytest.param(TrackSettings(stride=2), id="stride"),
        pytest.param(TrackSettings(pool_older=True), id="pooled"),
        pytest.param(TrackSettings(carry=True), id="carried"),
        pytest.param(TrackSettings(multimask=False), id="single"),
    ],
)
def test_settings_change_the_result_but_not_its_shape(network, frames, settings) -> None:
    expected = run(network, frames, start(network, frames, (40.0, 40.0)))[-1][0]
    found = run(network, frames, start(network, frames, (40.0, 40.0)), settings)[-1][0]
    assert found.low_res.shape == expected.low_res.shape
    assert not torch.equal(found.low_res, expected.low_res)


def test_only_the_asked_number_of_memories_is_attended_to(
    network, frames, monkeypatch
) -> None:
    lengths = []
    plain = memory_module._attend

    def spy(q, k, v):
        lengths.append(k.shape[1])
        return plain(q, k, v)

    monkeypatch.setattr(memory_module, "_attend", spy)
    for memories, pooled, tokens in [(7, False, 4), (2, False, 2), (7, True, 2.5)]:
        objects = start(network, frames, (40.0, 40.0))
        run(network, frames, objects, last=4)
        lengths.clear()
        settings = TrackSettings(max_memories=memories, pool_older=pooled)
        track_frame(
            network,
            frames[4],
            objects,
            4,
            reverse=False,
            num_frames=6,
            settings=settings,
        )
        # 4 pointers of 128 channels are 8 tokens
        assert set(lengths) == {int(tokens * GRID * GRID) + 8}


def test_attention_in_small_parts_is_attention(monkeypatch) -> None:
    q, k = torch.randn(1, 64, 32), torch.randn(3, 50, 32)
    v = torch.randn(3, 50, 8)
    expected = torch.nn.functional.scaled_dot_product_attention(q.expand(3, -1, -1), k, v)
    whole = memory_module._attend(q, k, v)
    monkeypatch.setattr(memory_module, "_SCORE_BYTES", 7 * 50 * 4)
    parts = memory_module._attend(q, k, v)
    torch.testing.assert_close(whole, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(parts, expected, rtol=0, atol=1e-6)


def test_tracking_in_training_gives_the_same(network, frames) -> None:
    x = torch.randn(1, GRID * GRID, 128)
    memory, place = torch.randn(2, GRID * GRID + 5, 64), torch.randn(1, GRID * GRID + 5, 64)
    attention = network.memory_attention
    with torch.inference_mode():
        quick = attention(x, torch.zeros_like(x), memory, place, grids=[(GRID, 1)])
    trained = attention(x, torch.zeros_like(x), memory, place, grids=[(GRID, 1)])
    assert trained.requires_grad
    torch.testing.assert_close(quick.clone(), trained.detach(), rtol=0, atol=1e-5)


def test_pooled_grids_stand_at_the_centres_of_their_blocks() -> None:
    device = torch.device("cpu")
    fine = memory_module._rotation_table(16, (8, 1), 10000.0, device)
    coarse = memory_module._rotation_table(16, (4, 2), 10000.0, device)
    assert coarse[0].shape == (16, 8)
    # the second block of the first row is centred on column 2.5, row 0.5
    angles = torch.atan2(coarse[1][1], coarse[0][1])
    steps = torch.atan2(fine[1][9], fine[0][9])  # column 1, row 1
    torch.testing.assert_close(angles, steps * torch.tensor([2.5] * 4 + [0.5] * 4))


def test_mask_is_taken_as_it_is_and_an_empty_one_means_absent(network, frames) -> None:
    masks = torch.zeros(2, 1, SIDE, SIDE)
    masks[0, 0, 32:64, 32:96] = 1
    there, absent = mask_frame(network, frames[0], masks)
    assert torch.equal(there.low_res[0] > 0, masks[0, 0, ::4, ::4] > 0)
    assert there.object_logit > 0 > absent.object_logit
    assert not (absent.low_res > 0).any()
    torch.testing.assert_close(absent.pointer, network.no_obj_ptr[0].detach())


def test_earlier_logits_are_clamped_but_not_in_place(network, frames) -> None:
    logits = torch.full((1, 1, SIDE // 4, SIDE // 4), 100.0)
    before = logits.clone()
    points, labels = torch.tensor([[[40.0, 40.0]]]), torch.ones(1, 1, dtype=torch.int32)
    plain = network.without_memory(frames[0])
    high = prompt_frame(network, plain, points, labels, logits, drawing=None)[0]
    assert torch.equal(logits, before)
    limit = prompt_frame(
        network, plain, points, labels, logits.clamp(-32, 32), drawing=None
    )
    assert torch.equal(high.low_res, limit[0].low_res)


def test_batch_of_one_and_two_points_is_as_each_alone(network, frames) -> None:
    points = torch.tensor([[[40.0, 40.0], [0.0, 0.0]], [[90.0, 70.0], [20.0, 100.0]]])
    labels = torch.tensor([[1, -1], [1, 0]], dtype=torch.int32)
    plain = network.without_memory(frames[0])
    both = prompt_frame(network, plain, points, labels, None, drawing=None)
    for row, frame in enumerate(both):
        part = slice(row, row + 1)
        alone = prompt_frame(network, plain, points[part], labels[part], None, drawing=None)
        assert_same(frame, alone[0], 1e-5)


def test_drawn_prompts_are_drawn(network, frames) -> None:
    points, labels = torch.tensor([[[40.0, 40.0]]]), torch.ones(1, 1, dtype=torch.int32)
    plain = network.without_memory(frames[0])
    found = [
        prompt_frame(network, plain, points, labels, None, drawing=drawing)[0].low_res
        for drawing in (None, DrawingSpec(16.0, 1.5), DrawingSpec(8.0, 1.5))
    ]
    assert not torch.equal(found[1], found[0])
    assert not torch.equal(found[1], found[2])


def test_a_correction_is_conditioned_on_memory(network, frames) -> None:
    objects = start(network, frames, (40.0, 40.0))
    arguments = {"reverse": False, "num_frames": 6, "settings": SETTINGS}
    conditioned = condition_objects(network, frames[1], objects * 2, 1, **arguments)
    assert conditioned.embed.shape == (2, 128, GRID, GRID)
    plain = network.without_memory(frames[1]).embed
    assert not torch.allclose(conditioned.embed[:1], plain)


def test_object_without_a_prompted_frame_is_refused(network, frames) -> None:
    nothing = ObjectMemory()
    not_encoded = start(network, frames, (40.0, 40.0))[0]
    not_encoded.prompted[0] = replace(not_encoded.prompted[0], memory=None)
    for item in (nothing, not_encoded):
        with pytest.raises(ValueError, match="prompted frame"):
            track_frame(
                network,
                frames[1],
                [item],
                1,
                reverse=False,
                num_frames=6,
                settings=SETTINGS,
            )


@pytest.mark.parametrize(
    ("frame", "limit", "expected"),
    [
        pytest.param(10, None, [2, 8, 9, 12, 30], id="all"),
        pytest.param(10, 2, [9, 12], id="neighbours"),
        pytest.param(10, 3, [9, 12, 8], id="then nearest"),
        pytest.param(12, 2, [9, 12], id="at counts as after"),
        pytest.param(1, 2, [2, 8], id="none before"),
    ],
)
def test_choice_of_prompted_frames(frame, limit, expected) -> None:
    prompted = dict.fromkeys([2, 8, 9, 12, 30])
    assert select_prompted(frame, prompted, limit) == expected


@pytest.mark.parametrize(
    "options", [{"max_memories": 0}, {"stride": 0}, {"max_prompted": 1}], ids=str
)
def test_settings_refuse_what_cannot_be(options) -> None:
    with pytest.raises(ValueError, match="at least"):
        TrackSettings(**options)


def test_state_is_picklable(network, frames) -> None:
    objects = start(network, frames, (40.0, 40.0))
    run(network, frames, objects, last=2)
    again = pickle.loads(pickle.dumps(objects[0]))
    assert again.nbytes == objects[0].nbytes
    assert torch.equal(again.tracked[1].low_res, objects[0].tracked[1].low_res)
