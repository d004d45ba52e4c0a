from __future__ import annotations

import numpy as np
import pytest
from tests.followers import discs, follow_bright

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.segment.segmenter import PlaneSegmenter
from napari_cellprompt.tasks.inputs import loading
from napari_cellprompt.tasks.propagate import propagate


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
