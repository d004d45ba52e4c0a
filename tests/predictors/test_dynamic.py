from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.teaching import SHAPE, SIDE, make, make_present, picture, square, teach

from napari_cellprompt import SAM2DynamicInteractivePredictor, SAM2Predictor
from napari_cellprompt.core.errors import (
    ImageError,
    PromptError,
)
from napari_cellprompt.core.inference.sam.drawing import draw_prompts
from napari_cellprompt.core.networks.layers import sine_position_encoding


# -- ids -----------------------------------------------------------------------
def test_any_positive_ids_up_to_the_limit(present) -> None:
    predictor = make(present)
    points = [[20, 20], [60, 60], [100, 100]]
    result = teach(predictor, 0, [900, 1, 3], points=points)
    assert result.ids == (1, 3, 900)
    assert len(result) == 3
    with pytest.raises(PromptError, match="max_obj_num is 3, but there would be 4"):
        teach(predictor, 0, [4], points=[20, 20])
    assert len(predictor.memory_bank) == 1
    predictor.remove_object(3)
    assert teach(predictor, 0, [4], points=[20, 20]).ids == (1, 4, 900)


def test_one_object_is_enough_as_limit(present) -> None:
    predictor = make(present, max_obj_num=1)
    assert teach(predictor, 0, 1, points=[20, 20]).ids == (1,)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0], "positive whole numbers: got 0"),
        ([-1], "positive whole numbers: got -1"),
        ([True], "positive whole numbers: got True"),
        ([1.5], "positive whole numbers: got 1.5"),
        ([1, 2], "got 2 ids for 1 objects"),
        (None, "got none"),
    ],
)
def test_wrong_ids_are_refused(present, ids, message) -> None:
    predictor = make(present)
    with pytest.raises(PromptError, match=message):
        teach(predictor, 0, ids, points=[20, 20])
    assert len(predictor.memory_bank) == 0


def test_same_id_twice_is_refused(present) -> None:
    with pytest.raises(PromptError, match="differ from each other"):
        teach(make(present), 0, [2, 2], points=[[20, 20], [60, 60]])


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError)])
def test_wrong_limit_is_refused(value, error) -> None:
    with pytest.raises(error, match="max_obj_num"):
        SAM2DynamicInteractivePredictor(max_obj_num=value)


# -- calling -------------------------------------------------------------------
def test_prediction_before_any_memory_is_an_error(present) -> None:
    predictor = make(present)
    with pytest.raises(PromptError, match="Nothing has been taught yet"):
        predictor(picture(0))
    predictor.set_image(picture(0))
    with pytest.raises(PromptError, match="Nothing has been taught yet"):
        predictor.inference()
    with pytest.raises(PromptError, match="Nothing has been taught yet"):
        predictor.get_maskmem_enc()


def test_calls_that_make_no_sense_are_refused(present) -> None:
    predictor = make(present)
    with pytest.raises(ImageError, match="no image"):
        predictor.update_memory(1, points=[20, 20])
    teach(predictor, 0, 1, points=[20, 20])
    with pytest.raises(PromptError, match="update_memory=True"):
        predictor(picture(1), points=[20, 20])
    with pytest.raises(PromptError, match="update_memory=True"):
        predictor(picture(1), obj_ids=[1])
    with pytest.raises(ImageError, match="exactly one image"):
        pair = [picture(0), picture(1)]
        predictor(pair, points=[20, 20], obj_ids=1, update_memory=True)
    with pytest.raises(PromptError, match="not both"):
        teach(predictor, 0, 1, points=[20, 20], masks=square(10, 10))
    with pytest.raises(ValueError, match="multimask_output"):
        predictor(picture(1), multimask_output=True)
    assert len(predictor.memory_bank) == 1


def test_results_have_the_size_of_each_image_whatever_it_is(present) -> None:
    predictor = make(present)
    teach(predictor, 0, [5, 2], masks=np.stack([square(10, 10), square(70, 70)]))
    images = [picture(1, (50, 70)), picture(2, (90, 40))]
    found = list(predictor(images, stream=True))
    assert [item.shape for item in found] == [(50, 70), (90, 40)]
    assert [item.masks.data.shape for item in found] == [(2, 50, 70), (2, 90, 40)]
    assert all(item.ids == (2, 5) for item in found)


def test_scores_are_the_sigmoid_of_the_object_logit(present) -> None:
    predictor = make(present)
    teach(predictor, 0, 1, points=[20, 20])
    predictor.set_image(picture(1))
    logit = predictor.track_step().object_logits[0, 0]
    assert 0 < logit < 10
    result = predictor()[0]
    assert result.boxes.conf[0].item() == pytest.approx(logit.sigmoid().item())


def test_an_object_that_is_not_there_is_an_empty_mask_with_a_low_score(present) -> None:
    model = make_present(present)
    predictor = make(model)
    teach(predictor, 0, [1, 2], points=[[20, 20], [90, 90]])
    with torch.no_grad():
        model.network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(-50.0)
    result = predictor(picture(1))[0]
    assert result.ids == (1, 2)
    assert not result.masks.data.any()
    assert (result.boxes.conf < 0.01).all()


def test_masks_do_not_overlap_unless_asked_to(present) -> None:
    predictor = make(present)
    teach(predictor, 0, [1, 2], masks=np.stack([square(10, 10), square(12, 12)]))
    before = [item.memory.clone() for item in predictor.memory_bank[0].objects.values()]
    apart = predictor(picture(0))[0].masks.data
    predictor.non_overlap_masks = False
    free = predictor(picture(0))[0].masks.data
    assert (free.sum(0) > 1).any()
    assert apart.sum(0).max() == 1
    assert torch.equal(apart.any(0), free.any(0))
    after = [item.memory for item in predictor.memory_bank[0].objects.values()]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_image_encoder_runs_once_for_a_set_image(present, monkeypatch) -> None:
    predictor = make(present)
    predictor.set_image(picture(0))

    def refuse(_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(present.network, "frame_features", refuse)
    predictor(points=[20, 20], obj_ids=1, update_memory=True)
    assert len(predictor()[0]) == 1


def test_features_are_given_for_all_objects_without_a_copy(present) -> None:
    predictor = make(present, max_obj_num=5)
    predictor.set_image(picture(0))
    embed = predictor.features["image_embed"]
    assert embed.shape[0] == 5
    assert embed.stride(0) == 0
    assert [x.shape[0] for x in predictor.features["high_res_feats"]] == [5, 5]


# -- agreement with a plain calculation -----------------------------------------
@torch.inference_mode()
def encode(model, image):
    """Features without the no-memory code; the geometry is the image predictor's."""
    predictor = SAM2Predictor()
    predictor.setup_model(model, verbose=False)
    return model.network.frame_features(predictor.preprocess([image]))


@torch.inference_mode()
def plain_memory(network, features, logits, object_logit):
    """Memory of one object: soft mask, scaled, encoded, rounded to bfloat16."""
    full = F.interpolate(logits, size=SHAPE, mode="bilinear")
    mask = full.sigmoid() * 20 - 10
    memory, positions = network.memory_encoder(features.embed, mask)
    if object_logit <= 0 and network.no_obj_embed_spatial is not None:
        memory = memory + network.no_obj_embed_spatial[..., None, None]
    return memory.bfloat16().float(), positions


@torch.inference_mode()
def plain_prediction(network, features, memories):
    """Attend to all memories with the temporal code of prompted frames, then decode."""
    tokens = torch.cat([m.flatten(2).transpose(1, 2) for m, _ in memories], dim=1)
    code = network.maskmem_tpos_enc[6]
    places = torch.cat([p.flatten(2).transpose(1, 2) + code for _, p in memories], dim=1)
    height, width = features.embed.shape[-2:]
    place = sine_position_encoding(height, width, network.dim, features.embed.device)
    attention = network.memory_attention
    start = attention.start(
        features.embed.flatten(2).transpose(1, 2), place.flatten(2).transpose(1, 2)
    )
    seen = attention.finish(start, tokens, places, grids=[(height, 1)] * len(memories))
    embed = seen.transpose(1, 2).reshape(1, -1, height, width)
    sparse, dense = network.sam_prompt_encoder(
        torch.zeros(1, 1, 2),
        torch.full((1, 1), -1, dtype=torch.int32),
        None,
        image_size=SIDE,
        grid_size=(height, width),
    )
    out = network.sam_mask_decoder(
        embed,
        network.sam_prompt_encoder.dense_positions(height, width),
        sparse,
        dense,
        features.high_res,
        multimask=False,
    )
    return out.masks[0, 0], out.object_logits[0, 0]


def test_prediction_agrees_with_a_plain_calculation(present) -> None:
    network = present.network
    predictor = make(present)
    teach(predictor, 0, 7, points=[[[30, 40], [90, 90]]], labels=[[1, 0]])
    teach(predictor, 1, 7, masks=square(50, 30))
    predictor.set_image(picture(2))
    logits, scores = predictor.inference()

    with torch.inference_mode():
        first, second, third = (encode(present, picture(seed)) for seed in range(3))
        prompted = network.heads(
            network.without_memory(first),
            torch.tensor([[[30.0, 40.0], [90.0, 90.0]]]),
            torch.tensor([[1, 0]]),
            None,
            multimask=False,
        )
        mask = torch.from_numpy(square(50, 30))[None, None].float()
        drawn = F.interpolate(
            mask * 20 - 10, size=(32, 32), mode="bilinear", antialias=True
        )
        memories = [
            plain_memory(network, first, prompted.low_res, prompted.object_logits.item()),
            plain_memory(network, second, drawn, 10.0),
        ]
        expected, logit = plain_prediction(network, third, memories)
    scale = max(1.0, expected.abs().max().item())
    assert (logits[0] - expected).abs().max() < 1e-4 * scale
    assert scores[0].item() == pytest.approx(logit.sigmoid().item(), abs=1e-5)
    # and what was learnt decides: the first example alone gives another answer
    alone, _ = plain_prediction(network, third, memories[:1])
    assert (alone - expected).abs().max() > 1e-3 * scale

    features, positions = predictor.get_maskmem_enc()
    tokens = torch.cat([m.flatten(2).transpose(1, 2) for m, _ in memories], dim=1)
    assert torch.allclose(features, tokens, atol=0.05)
    assert positions.shape == (1, 2 * 64, network.mem_dim)
    code = network.maskmem_tpos_enc[6]
    place = memories[0][1].flatten(2).transpose(1, 2) + code
    assert torch.allclose(positions, torch.cat([place, place], dim=1), atol=1e-5)


def test_answer_after_an_update_is_that_of_memory_not_of_the_prompt(present) -> None:
    predictor = make(present)
    taught = teach(predictor, 0, 1, points=[20, 20]).low_res
    assert torch.allclose(taught, predictor(picture(0))[0].low_res, atol=1e-4)
    prompt = SAM2Predictor()
    prompt.setup_model(present, verbose=False)
    assert not torch.allclose(prompt(picture(0), points=[20, 20])[0].low_res, taught)


def test_a_prompted_object_is_segmented_as_by_the_image_predictor(present) -> None:
    predictor = make(present)
    teach(predictor, 0, 1, points=[20, 20])
    single = SAM2Predictor()
    single.setup_model(present, verbose=False)
    expected = single(picture(0), points=[20, 20])[0].low_res
    predictor.set_image(picture(0))
    point = torch.tensor([[[20.0, 20.0]]])
    found = predictor.track_step(9, point, torch.ones(1, 1, dtype=torch.int32))
    assert torch.allclose(found.low_res[:, 0].clamp(-32, 32), expected, atol=1e-4)
    assert torch.equal(predictor.memory_bank[0].objects[1].mask, expected[0] > 0)
    assert predictor.obj_ids == (1,)


# -- per-object banks -----------------------------------------------------------
def test_an_example_without_an_object_does_not_change_it(present) -> None:
    predictor = make(present)
    predictor.non_overlap_masks = False
    teach(predictor, 0, 1, points=[20, 20])
    before = predictor(picture(5))[0].low_res[0]
    teach(predictor, 1, 2, points=[90, 90])
    teach(predictor, 2, 2, points=[60, 90])
    assert [sorted(entry.objects) for entry in predictor.memory_bank] == [[1], [2], [2]]
    result = predictor(picture(5))[0]
    assert result.ids == (1, 2)
    assert torch.allclose(result.low_res[0], before, atol=1e-4)
    with pytest.raises(ValueError, match="equally many memories"):
        predictor.get_maskmem_enc()
    predictor.set_image(picture(5))
    alone = predictor.track_step(2).low_res[0, 0].clamp(-32, 32)
    assert torch.allclose(alone, result.low_res[1], atol=1e-4)


def test_rows_keep_their_order_where_objects_have_different_numbers(present) -> None:
    predictor = make(present)
    teach(predictor, 0, [1, 2, 3], points=[[20, 20], [60, 60], [100, 100]])
    teach(predictor, 1, 2, points=[90, 90])
    predictor.set_image(picture(4))
    together = predictor.track_step()
    for row, obj_id in enumerate((1, 2, 3)):
        alone = predictor.track_step(obj_id)
        assert torch.allclose(together.low_res[row], alone.low_res[0], atol=1e-3)
    with pytest.raises(PromptError, match=r"among \(1, 2, 3\): got \[8\]"):
        predictor.track_step(8)


def test_mask_prompts_have_a_pointer(present) -> None:
    predictor = make(present)
    predictor.set_image(picture(0))
    entry = predictor.update_memory([1], masks=square(40, 40))
    item = entry.objects[1]
    assert item.pointer.abs().max() > 0
    assert not torch.allclose(item.pointer, present.network.no_obj_ptr[0])
    assert item.object_logit > 0
    assert item.mask[12:18, 12:18].all()
    assert item.mask.sum() == 100
    predictor.inference()
    plain = predictor.track_step().low_res
    predictor.use_pointers = True
    assert not torch.allclose(predictor.track_step().low_res, plain)


def test_an_empty_mask_says_that_the_object_is_absent(present) -> None:
    predictor = make(present)
    predictor.set_image(picture(0))
    item = predictor.update_memory(1, masks=np.zeros(SHAPE, bool)).objects[1]
    assert item.object_logit < 0
    assert torch.allclose(item.pointer, present.network.no_obj_ptr[0])


def test_a_mask_smaller_than_a_pixel_of_the_input_is_kept(present) -> None:
    predictor = make(present)
    predictor.set_image(picture(0, (512, 512)))
    tiny = np.zeros((512, 512), bool)
    tiny[100, 100] = True
    assert predictor.update_memory(1, masks=tiny).objects[1].object_logit > 0


def test_drawn_prompts_reach_models_that_want_them(drawing_model) -> None:
    model = make_present(drawing_model)
    predictor = make(model)
    predictor.set_image(picture(0))
    entry = predictor.update_memory(1, bboxes=[20, 30, 80, 90])
    box = torch.tensor([[[20.0, 30.0], [80.0, 90.0]]])
    labels = torch.tensor([[2, 3]])
    with torch.inference_mode():
        features = encode(model, picture(0))
        drawn = draw_prompts(box, labels, SIDE, amplitude=16.0, sigma=1.5)
        seen = model.network.without_memory(features)
        with_it = model.network.heads(seen, box, labels, drawn, multimask=False)
        without = model.network.heads(seen, box, labels, None, multimask=False)
    assert torch.equal(entry.objects[1].mask, with_it.low_res[0, 0] > 0)
    assert not torch.equal(with_it.low_res > 0, without.low_res > 0)
