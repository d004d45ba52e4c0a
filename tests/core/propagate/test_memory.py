"""What the engine remembers and computes; a small network with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.core.inference.sam.tracking import TrackSettings
from napari_cellprompt.core.masks.rle import encode
from napari_cellprompt.core.propagate.propagator import StackPropagator
from napari_cellprompt.core.propagate.types import PropagationSettings
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts

ENDLESS = {
    "stop_object_score": 0.0,
    "stop_area_ratio": 0.0,
    "stop_overlap": 0.0,
    "stop_contrast": 0.0,
    "stop_regrowth": 0.0,
}


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60, (9, 60, 60), dtype=np.uint8)
    image[:, 20:36, 22:40] += 150
    return image


@pytest.fixture
def encoded(model, monkeypatch) -> Iterator[list[int]]:
    """One entry for each image that the encoder ran on."""
    calls: list[int] = []
    original = model.network.frame_features

    def count(x):
        calls.append(1)
        return original(x)

    monkeypatch.setattr(model.network, "frame_features", count)
    monkeypatch.setattr(
        "napari_cellprompt.core.propagate.endings.has_left",
        lambda mask, *rest: mask.area == 0,
    )
    # present on every plane, whatever the random weights say
    bias = model.network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias
    before = bias.detach().clone()
    with torch.no_grad():
        bias.fill_(8.0)
    yield calls
    with torch.no_grad():
        bias.copy_(before)


def square(value: int = 20) -> Prompts:
    mask = np.zeros((60, 60), bool)
    mask[value : value + 16, 22:40] = True
    return Prompts(mask=encode(mask))


def engine_for(model, stack, **options) -> StackPropagator:
    track = TrackSettings(max_prompted=4, **options.pop("track", {}))
    return StackPropagator(
        PlaneSegmenter(model),
        ImageStack(stack),
        PropagationSettings(track=track, **(ENDLESS | options)),
    )


def test_corrections_and_repeats_encode_no_plane_again(model, stack, encoded) -> None:
    engine = engine_for(model, stack, geometry="field")
    engine.prompt(1, 4, square())
    list(engine.propagate())
    assert len(encoded) == len(stack)
    engine.prompt(1, 6, square(22))
    engine.lock(1, 4)
    tracked = [plane for plane, _ in engine.propagate()]
    engine.prompt(1, 2, Prompts(mask=square(18).mask))
    tracked += [plane for plane, _ in engine.propagate()]
    assert tracked
    assert len(encoded) == len(stack)


@pytest.mark.parametrize("method", ["memory", "neighbour"])
def test_a_resumed_run_ends_like_one_that_never_stopped(
    model, stack, encoded, method
) -> None:
    whole = engine_for(model, stack, method=method)
    whole.prompt(1, 4, square())
    list(whole.propagate())
    parts = engine_for(model, stack, method=method)
    parts.prompt(1, 4, square())
    for stop in (5, 6, 8):
        list(parts.propagate(stop=stop))
    list(parts.propagate())
    assert whole.planes(1) == parts.planes(1)
    for plane in whole.planes(1):
        one, other = whole.outcome(1, plane), parts.outcome(1, plane)
        assert (one.mask is None) == (other.mask is None)
        if one.mask is not None:
            assert np.array_equal(one.mask.to_plane(), other.mask.to_plane())
        assert one.iou == pytest.approx(other.iou)


def test_memories_do_not_grow_with_the_stack(model, encoded) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 200, (45, 60, 60), dtype=np.uint8)
    engine = engine_for(model, image, geometry="field", track={"max_memories": 3})
    engine.prompt(1, 0, square())
    sizes = {}
    for plane, _ in engine.propagate():
        (item,) = engine._tracker._passes.values()
        if item.state.memory is not None:
            sizes[plane] = item.state.memory.nbytes
    late = [size for plane, size in sizes.items() if plane > 34]
    if not late:
        pytest.fail("the object was lost")
    assert max(late) == min(late)


def test_estimates_count_what_a_run_does(model, stack, encoded) -> None:
    engine = engine_for(model, stack, geometry="field")
    engine.prompt(1, 4, square())
    guess = engine.estimate(start=2)
    assert guess.planes == 6
    assert guess.seconds > 0
    assert guess.nbytes > 0
    assert len(list(engine.propagate(start=2))) <= guess.planes
    assert engine.estimate(start=2).planes == 0


def test_models_without_memory_are_told(model, stack) -> None:
    other = replace(model, spec=replace(model.spec, family="sam1", name="sam_vit_b"))
    with pytest.raises(PromptError, match="sam_vit_b has no memory"):
        StackPropagator(
            PlaneSegmenter(other), ImageStack(stack), PropagationSettings(method="memory")
        )
    for method in ("neighbour", "auto"):
        StackPropagator(
            PlaneSegmenter(other), ImageStack(stack), PropagationSettings(method=method)
        )
