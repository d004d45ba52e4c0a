from __future__ import annotations

import gc
import io

import numpy as np
import pytest
import tifffile
import torch

from napari_cellprompt import SAM2VideoPredictor
from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.inference.sam.tracking import TrackSettings

SHAPE = (40, 56)


@pytest.fixture(scope="module")
def present(model):
    """Objects are there: the bias of their score is high."""
    head = model.network.sam_mask_decoder.pred_obj_score_head.layers[-1]
    before = head.bias.detach().clone()
    with torch.no_grad():
        head.bias.fill_(50.0)
    yield model
    with torch.no_grad():
        head.bias.copy_(before)


def stack(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, *SHAPE), dtype=np.uint8)


def make(model, source=None, **options) -> SAM2VideoPredictor:
    predictor = SAM2VideoPredictor(**options)
    predictor.setup_model(model, verbose=False)
    predictor.setup_source(stack() if source is None else source)
    return predictor


@pytest.fixture
def predictor(present) -> SAM2VideoPredictor:
    return make(present)


def masks(predictor: SAM2VideoPredictor, frames=range(6)) -> list[np.ndarray]:
    return [np.asarray(predictor.frame_result(t).masks.data) for t in frames]


def test_both_ways_from_a_prompt_in_the_middle(predictor) -> None:
    predictor.add_new_prompts(3, points=[20, 10], frame_idx=2)
    frames = [frame for frame, _ in predictor.propagate()]
    assert frames == [2, 3, 4, 5, 1, 0]
    assert all(frame.any() for frame in masks(predictor))
    assert predictor.inference_state.frames_already_tracked == set(range(6))
    assert predictor.inference_state.tracking_has_started


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"direction": "forward"}, [2, 3, 4, 5], id="forward"),
        pytest.param({"direction": "backward"}, [2, 1, 0], id="backward"),
        pytest.param({"direction": "forward", "stop": 3}, [2, 3], id="up to"),
        pytest.param({"direction": "backward", "stop": 1}, [2, 1], id="down to"),
        pytest.param({"start": 4, "direction": "forward"}, [4, 5], id="from"),
        pytest.param({"stop": (1, 3)}, [2, 3, 1], id="range"),
        pytest.param({"start": 0, "direction": "backward"}, [0], id="backward from 0"),
    ],
)
def test_ranges(predictor, arguments, expected) -> None:
    predictor.add_new_prompts(1, points=[20, 10], frame_idx=2)
    assert [frame for frame, _ in predictor.propagate(**arguments)] == expected


def test_objects_start_at_their_first_prompt_and_ids_never_shift(predictor) -> None:
    predictor.add_new_prompts(7, points=[20, 10], frame_idx=0)
    predictor.add_new_prompts(2, points=[40, 30], frame_idx=3)
    for frame, result in predictor.propagate(direction="forward"):
        assert result.ids == (7, 2)
        assert len(result) == 2
        assert bool(result.masks.data[1].any()) == (frame >= 3)
        assert (result.boxes.conf[1] == 0) == (frame < 3)
    predictor.start_at_first_prompt = False
    predictor.non_overlap_masks = False
    list(predictor.propagate(direction="forward"))
    assert all(frame[1].any() for frame in masks(predictor))


def test_vanished_object_stays_as_an_empty_mask(present, monkeypatch) -> None:
    predictor = make(present)
    predictor.add_new_prompts(1, points=[20, 10])
    predictor.add_new_prompts(2, points=[40, 30])
    head = present.network.sam_mask_decoder.pred_obj_score_head
    handle = head.register_forward_hook(lambda _, __, score: torch.full_like(score, -4.0))
    try:
        list(predictor.propagate(direction="forward"))
    finally:
        handle.remove()
    result = predictor.frame_result(3)
    assert result.ids == (1, 2)
    assert not result.masks.data.any()
    assert result.boxes.conf.tolist() == [0, 0]
    assert predictor.frame_result(0).masks.data.any()


def test_a_click_for_one_object_says_nothing_about_the_others(predictor) -> None:
    predictor.non_overlap_masks = False
    predictor.add_new_prompts(1, points=[20, 10])
    list(predictor.propagate(direction="forward"))
    alone = masks(predictor)
    predictor.add_new_prompts(2, points=[40, 30], frame_idx=2)
    list(predictor.propagate(direction="forward"))
    for before, after in zip(alone, masks(predictor), strict=True):
        assert np.mean(before[0] != after[0]) < 0.01


def test_correction_sticks(predictor) -> None:
    predictor.add_new_prompts(1, points=[20, 10])
    list(predictor.propagate(direction="forward"))
    before = masks(predictor)
    drawn = np.zeros(SHAPE, bool)
    drawn[8:20, 30:50] = True
    predictor.add_new_prompts(1, masks=drawn, frame_idx=3)
    list(predictor.propagate(direction="forward"))
    after = masks(predictor)
    assert np.mean(after[3][0] != drawn) < 0.02
    assert not np.array_equal(before[4], after[4])
    assert all(np.array_equal(before[t], after[t]) for t in (0,))


def test_correction_that_does_not_stick_is_metas_default(predictor) -> None:
    predictor.add_all_frames_to_correct_as_cond = False
    predictor.add_new_prompts(1, points=[20, 10])
    list(predictor.propagate(direction="forward"))
    predictor.add_new_prompts(1, masks=np.zeros(SHAPE, bool), frame_idx=3)
    assert not predictor.frame_result(3).masks.data.any()
    list(predictor.propagate(direction="forward"))
    assert predictor.frame_result(3).masks.data.any()
    assert predictor.inference_state.consolidated_frame_inds == {0}


def test_logits_of_an_earlier_frame_are_not_changed_in_place(predictor) -> None:
    predictor.add_new_prompts(1, points=[20, 10])
    list(predictor.propagate(direction="forward"))
    kept = predictor.inference_state.objects[1].memory.tracked[2].low_res
    with torch.inference_mode():
        kept[0, 0, 0] = 500.0
    predictor.add_new_prompts(1, points=[22, 12], frame_idx=2)
    assert kept[0, 0, 0] == 500.0


def test_images_are_encoded_once_for_corrections(predictor, monkeypatch) -> None:
    predictor.add_new_prompts(1, points=[20, 10])
    list(predictor.propagate(direction="forward"))

    def refuse(_):
        raise AssertionError("encoded again")

    monkeypatch.setattr(predictor.model.network, "frame_features", refuse)
    predictor.add_new_prompts(1, points=[40, 30], labels=[0], frame_idx=3)
    frames = [frame for frame, _ in predictor.propagate(3, direction="forward")]
    assert frames == [3, 4, 5]


def test_only_the_asked_objects_are_tracked(predictor) -> None:
    predictor.add_new_prompts(1, points=[20, 10])
    predictor.add_new_prompts(2, points=[40, 30])
    list(predictor.propagate(direction="forward", obj_ids=[2]))
    assert set(predictor.inference_state.objects[1].reverse) == set()
    assert set(predictor.inference_state.objects[2].reverse) == set(range(6))


def test_forgetting_memory_around_a_prompt(present) -> None:
    for several, expected in ((False, set()), (True, {1, 2, 3, 4, 5})):
        predictor = make(present)
        predictor.clear_non_cond_mem_around_input = True
        predictor.add_new_prompts(1, points=[20, 10])
        if several:
            predictor.add_new_prompts(2, points=[40, 30])
        list(predictor.propagate(direction="forward"))
        predictor.add_new_prompts(1, points=[25, 12], frame_idx=2)
        predictor.propagate_in_video_preflight()
        assert set(predictor.inference_state.objects[1].memory.tracked) == expected - {2}


def test_removing_and_taking_back(predictor) -> None:
    predictor.add_new_prompts(1, points=[20, 10])
    predictor.add_new_prompts(2, points=[40, 30])
    predictor.add_new_prompts(2, points=[42, 30], frame_idx=4)
    list(predictor.propagate(direction="forward"))
    predictor.remove_object(1)
    assert predictor.frame_result(3).ids == (2,)
    predictor.clear_prompts(2, 4)
    assert predictor.inference_state.consolidated_frame_inds == {0}
    list(predictor.propagate(direction="forward"))
    predictor.clear_prompts(2)
    with pytest.raises(PromptError, match="prompt an object"):
        list(predictor.propagate())
    with pytest.raises(PromptError, match="no object 1"):
        predictor.remove_object(1)


def test_memory_does_not_grow_with_the_stack(present) -> None:
    predictor = make(present, stack(200), feature_bytes=1)
    predictor.add_new_prompts(1, points=[20, 10])
    predictor.add_new_prompts(2, points=[40, 30], frame_idx=5)
    counts, sizes = [], []
    for frame, _ in predictor.propagate(direction="forward"):
        if frame in (60, 199):
            gc.collect()
            item = predictor.inference_state.objects[1]
            counts.append(
                (
                    len(item.memory.tracked),
                    sum(out.memory is not None for out in item.memory.tracked.values()),
                    sum(not out.is_packed for out in item.outcomes.values()),
                )
            )
            sizes.append(predictor.inference_state.nbytes)
    assert counts[0] == counts[1]
    assert counts[0][1] <= 2 * 8
    # of each further frame only the packed mask stays
    assert (sizes[1] - sizes[0]) / 139 / 2 <= 32 * 32 * 2


def test_pruning_changes_no_result(present) -> None:
    found = []
    for prune in (True, False):
        predictor = make(present, stack(30))
        predictor.prune_memory = prune
        predictor.add_new_prompts(1, points=[20, 10], frame_idx=12)
        list(predictor.propagate())
        found.append(masks(predictor, range(30)))
    # half precision moves an outline between two pixels at most
    assert all(np.mean(a != b) < 1e-3 for a, b in zip(*found, strict=True))


def test_state_is_stored_and_taken_up(present) -> None:
    first = make(present)
    first.add_new_prompts(1, points=[20, 10])
    list(first.propagate(direction="forward", stop=2))
    first.add_new_prompts(5, bboxes=[30, 5, 50, 30], frame_idx=1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make(present)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.inference_state.obj_ids == [1, 5]
    for made in (first, second):
        list(made.propagate(direction="forward"))
    for a, b in zip(masks(first), masks(second), strict=True):
        assert np.array_equal(a, b)
    other = make(present, stack(4))
    with pytest.raises(ValueError, match="num_frames 6, here it is 4"):
        other.load_state_dict(first.state_dict())


def test_calling_takes_prompts_on_the_first_frame_and_streams(present) -> None:
    predictor = SAM2VideoPredictor()
    predictor.setup_model(present, verbose=False)
    results = list(predictor(stack(3), stream=True, points=[[20, 10], [40, 30]]))
    assert [result.ids for result in results] == [(1, 2)] * 3
    assert all(result.masks.data.any() for result in results)
    assert predictor.inference_state.num_frames == 3


def test_prompts_on_later_frames_before_calling(predictor) -> None:
    predictor.add_new_prompts(4, points=[20, 10], frame_idx=2)
    results = list(predictor(stream=True))
    assert [bool(result.masks.data.any()) for result in results] == [False] * 2 + [True] * 4


def test_settings_follow_the_model(drawing_model, present) -> None:
    # nothing is left to the model: what it would say stands in the settings
    assert make(present).settings == TrackSettings(carry=False)
    assert not make(drawing_model).settings.multimask
    chosen = TrackSettings(max_memories=2)
    assert make(present, settings=chosen).settings == chosen


def test_one_contrast_for_all_frames(present) -> None:
    dark = np.zeros((3, *SHAPE), np.uint16)
    dark[2] = 4000
    predictor = make(present, dark)
    assert predictor.read_frame(0).max() == 0
    assert predictor.read_frame(2).min() == 255
    predictor.setup_source(dark, contrast_limits=(0, 8000))
    assert 120 <= predictor.read_frame(2).max() <= 128


def test_frames_are_read_when_they_are_needed(present) -> None:
    class Lazy:
        shape, dtype = (5, *SHAPE), np.dtype(np.uint8)

        def __init__(self) -> None:
            self.read = []

        def __getitem__(self, key):
            self.read.append(key[0])
            return stack(5)[key]

    lazy = Lazy()
    predictor = make(present, lazy)
    lazy.read.clear()
    predictor.add_new_prompts(1, points=[20, 10], frame_idx=3)
    assert lazy.read == [3]


def test_features_for_several_objects(predictor) -> None:
    found = predictor.get_im_features(torch.zeros(1, 3, 128, 128), batch=3)
    assert found["image_embed"].shape == (3, 128, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param({"obj_id": 0, "points": [1, 2]}, "positive", id="id"),
        pytest.param({"obj_id": 1, "points": [1, 2], "frame_idx": 6}, "0 to 5", id="frame"),
        pytest.param({"obj_id": 1}, "at least one", id="nothing"),
        pytest.param({"obj_id": 1, "points": [99, 2]}, "outside", id="outside"),
        pytest.param(
            {"obj_id": 1, "points": [1, 2], "masks": np.zeros(SHAPE, bool)},
            "both",
            id="both",
        ),
        pytest.param({"obj_id": 1, "masks": np.zeros(SHAPE)}, "floats", id="logits"),
        pytest.param({"obj_id": 1, "masks": np.zeros((2, 2), bool)}, "shape", id="size"),
        pytest.param(
            {"obj_id": 1, "bboxes": [[1, 1, 5, 5], [2, 2, 9, 9]]}, "one object", id="two"
        ),
    ],
)
def test_prompts_that_do_not_fit_are_refused(predictor, arguments, sentence) -> None:
    with pytest.raises(PromptError, match=sentence):
        predictor.add_new_prompts(**arguments)
    assert predictor.inference_state.obj_ids == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param({"start": 9}, "start must be a frame from 0 to 5", id="start"),
        pytest.param({"direction": "up"}, "direction", id="direction"),
        pytest.param({"stop": 3}, "pair", id="stop"),
        pytest.param({"obj_ids": [8]}, "no object 8", id="object"),
    ],
)
def test_propagation_refuses(predictor, arguments, sentence) -> None:
    predictor.add_new_prompts(1, points=[20, 10])
    with pytest.raises(PromptError, match=sentence):
        list(predictor.propagate(**arguments))


def test_without_frames_or_prompts(present) -> None:
    predictor = SAM2VideoPredictor()
    predictor.setup_model(present, verbose=False)
    with pytest.raises(ImageError, match="setup_source"):
        predictor.add_new_prompts(1, points=[1, 2])
    predictor.setup_source(stack())
    with pytest.raises(PromptError, match="prompt an object"):
        list(predictor.propagate())


def test_tiff_and_folder_and_list(present, tmp_path) -> None:
    frames = stack(3)
    tifffile.imwrite(
        tmp_path / "stack.tif", frames, compression="zlib", photometric="minisblack"
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, number in enumerate((2, 10, 11)):
        tifffile.imwrite(folder / f"t{number}.tif", frames[index])
    for source in (tmp_path / "stack.tif", folder, list(frames)):
        predictor = make(present, source)
        assert predictor.state.num_frames == 3
        assert np.array_equal(predictor.read_frame(1)[..., 0], frames[1])
