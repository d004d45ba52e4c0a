"""A device that runs out of memory is pretended: the errors are those of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cellprompt.core.errors import OutOfMemoryError
from napari_cellprompt.core.images.planes import PlaneSource
from napari_cellprompt.core.inference.out_of_memory import in_batches, is_out_of_memory
from napari_cellprompt.core.inference.precision import Precision
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import Prompts, Tile
from napari_cellprompt.core.zoo.load import load_model


def test_which_errors_mean_it() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1)"))
    # this one is real
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_batches_are_halved_until_they_fit() -> None:
    asked = []

    def run(start: int, stop: int) -> list[int]:
        asked.append(stop - start)
        if stop - start > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return list(range(start, stop))

    parts = in_batches(10, 8, run)
    assert [number for part in parts for number in part] == list(range(10))
    assert asked == [8, 4, 2, 2, 2, 2, 2]
    assert in_batches(0, 8, run) == []


def test_a_single_one_that_does_not_fit() -> None:
    def run(start: int, stop: int) -> None:
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="smaller model"):
        in_batches(4, 4, run)

    def wrong(start: int, stop: int) -> None:
        raise RuntimeError("shapes")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches(4, 4, wrong)


@pytest.fixture(scope="module")
def nano():
    return load_model("cellprompt-nano", device="cpu")


@pytest.fixture
def plane() -> PlaneSource:
    y, x = np.mgrid[:128, :128]
    return PlaneSource.from_image(
        (200 * np.exp(-((y - 60) ** 2 + (x - 60) ** 2) / 300)).astype(np.uint8)
    )


def test_the_cache_makes_room(nano, plane, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = PlaneSegmenter(nano)
    first = segmenter.model.features(plane, Tile(1.0, 0, 0, 512))
    real, calls = nano.network.frame_features, []

    def full(x):
        calls.append(len(segmenter.model.cache))
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(x)

    monkeypatch.setattr(nano.network, "frame_features", full)
    assert (
        segmenter.model.features(plane, Tile(2.0, 0, 0, 256)).embed.shape
        == first.embed.shape
    )
    assert calls == [1, 0], "what is cached goes before the second attempt"
    monkeypatch.setattr(nano.network, "frame_features", lambda x: torch.empty(1 << 60))
    with pytest.raises(OutOfMemoryError, match="not enough memory"):
        segmenter.model.features(plane, Tile(0.5, 0, 0, 1024))


def test_narrow_numbers_inside_wide_ones_outside(nano, plane) -> None:
    prompts = Prompts(points=((60.0, 60.0),), labels=(1,))
    wide = PlaneSegmenter(nano)
    assert wide.model.precision.dtype == "float32"
    narrow = PlaneSegmenter(nano, precision=Precision("bfloat16", "a test"))
    tile = Tile(1.0, 0, 0, 512)
    one, other = wide.model.features(plane, tile), narrow.model.features(plane, tile)
    assert other.embed.dtype == torch.float32
    assert all(level.dtype == torch.float32 for level in other.high_res)
    assert not torch.equal(one.embed, other.embed), "bfloat16 must have been used"
    masks = [
        s.predict(plane, prompts).candidates[0].mask.to_plane() for s in (wide, narrow)
    ]
    overlap = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
    assert overlap > 0.95
