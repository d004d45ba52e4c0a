from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.followers import discs, follow_bright

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.inference.sam.following.follower import SamFollower
from napari_cellprompt.core.masks.packed import PackedMask
from napari_cellprompt.core.propagate.objects import StoredPlane
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.unfinished import folder_of
from napari_cellprompt.tasks.followed import arrays_of, records_of
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.propagate import propagate, run
from napari_cellprompt.tasks.report import Report
from napari_cellprompt.tasks.requests import PropagateRequest


@pytest.fixture(autouse=True)
def small(model, monkeypatch) -> None:
    follow_bright(monkeypatch)
    monkeypatch.setattr(loading, "load_segmenter", lambda *_, **__: PlaneSegmenter(model))


def two() -> np.ndarray:
    left = dict.fromkeys(range(2, 9), (30.0, 50.0, 9.0))
    right = dict.fromkeys(range(12), (65.0, 40.0, 7.0))
    return discs([left, right])


def mask_at(stack: np.ndarray, plane: int, side: str) -> np.ndarray:
    mask = stack[plane] > 128
    mask[:, 48:] &= side == "right"
    mask[:, :48] &= side == "left"
    return mask


def test_labels_follow_the_objects_with_their_ids() -> None:
    stack = two()
    labels = propagate(
        stack,
        {
            (3, 5): {"mask": mask_at(stack, 5, "left")},
            (300, 0): {"mask": mask_at(stack, 0, "right")},
        },
    )
    assert labels.shape == stack.shape
    assert labels.dtype == np.uint16
    assert set(np.unique(labels[5])) == {0, 3, 300}
    assert [bool((plane == 3).any()) for plane in labels] == [2 <= p < 9 for p in range(12)]
    truth = stack > 128
    assert (truth & (labels > 0)).sum() / (truth | (labels > 0)).sum() > 0.9


def test_another_axis_and_range() -> None:
    stack = np.stack([np.zeros_like(two()), two()])
    labels = propagate(
        stack,
        {(1, 5): {"mask": mask_at(stack[1], 5, "left")}},
        axis="z",
        axes="TZYX",
        at={"T": 1},
        start=4,
        stop=6,
    )
    assert labels.shape == (12, 96, 96)
    assert np.flatnonzero(labels.any((1, 2))).tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    ("prompts", "options", "error", "message"),
    [
        pytest.param({}, {}, PromptError, "at least one prompt", id="none"),
        pytest.param({(1, 5): 3}, {}, PromptError, "must be a dict", id="kind"),
        pytest.param({(1, 5): {"bbox": 1}}, {}, PromptError, "not bbox", id="key"),
        pytest.param({(1, 5): {"box": [1]}}, {}, PromptError, "x0, y0, x1, y1", id="box"),
        pytest.param(
            {(1, 5): {"points": [1, 2, 3]}}, {}, PromptError, r"\(K, 2\)", id="points"
        ),
        pytest.param(
            {(1, 5): {"box": [1, 1, 5, 5]}},
            {"axis": "t"},
            ImageError,
            "no axis T",
            id="axis",
        ),
    ],
)
def test_bad_input_is_told(prompts, options, error, message) -> None:
    with pytest.raises(error, match=message):
        propagate(two(), prompts, **options)


@pytest.fixture
def request_(tmp_path: Path) -> PropagateRequest:
    stack = two()
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    seeds = np.zeros(stack.shape[1:], np.uint8)
    seeds[mask_at(stack, 5, "left")] = 3
    seeds[mask_at(stack, 5, "right")] = 7
    tifffile.imwrite(tmp_path / "seeds.tif", seeds)
    return PropagateRequest(
        image=tmp_path / "stack.tif",
        seeds=tmp_path / "seeds.tif",
        plane=5,
        output=tmp_path / "out.tif",
        axes="ZYX",
    )


@pytest.mark.parametrize("steps", [2, 8], ids=["forward", "backward"])
def test_an_interrupted_run_goes_on_and_ends_as_one_that_never_stopped(
    request_, steps
) -> None:
    assert run(request_)
    expected = read_labels(request_.output).labels
    whole = len(SamFollower.looked)
    request_.output.unlink()
    SamFollower.looked.clear()
    told: list[tuple[int, int]] = []
    stopping = Report(
        progress=lambda *found: told.append(found), cancelled=lambda: len(told) >= steps
    )
    assert not run(request_, stopping)
    partial = read_labels(request_.output).labels
    assert partial[5].any() and not partial[0].any()
    before = len(SamFollower.looked)
    assert 0 < before < whole
    said: list[str] = []
    assert run(request_, Report(say=said.append))
    # each run times one look before it begins
    assert len(SamFollower.looked) - 2 == whole - 1, "no plane was followed to twice"
    assert any(f"kept ({steps})" in line for line in said)
    np.testing.assert_array_equal(read_labels(request_.output).labels, expected)
    assert not folder_of(request_.output).exists()


def test_what_is_kept_of_an_object_comes_back() -> None:
    mask = PackedMask.pack(CroppedMask(np.eye(4, dtype=bool), (3, 5), (20, 30)))
    records = [
        (3, 7, StoredPlane(mask, 0.5, 0.75, "tracked", 1, step=-1, contrast=0.25)),
        (9, 7, StoredPlane(None, 0.0, 0.125, "absent", 0, step=1, failed=2)),
    ]
    back = records_of(arrays_of(records))
    assert [place[:2] for place in back] == [(3, 7), (9, 7)]
    assert back[1][2] == records[1][2]
    assert replace(back[0][2], mask=None) == replace(records[0][2], mask=None)
    np.testing.assert_array_equal(back[0][2].mask.levels(), mask.levels())
    assert back[0][2].mask.mask().origin == (3, 5)
