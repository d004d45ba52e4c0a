from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.inference.sam.decoding import gather_prompts, mask_to_logits

SHAPE = (40, 60)


def gather(**prompts):
    return gather_prompts(**prompts, shape=SHAPE, low_res=32)


@pytest.mark.parametrize(
    ("points", "objects", "clicks"),
    [
        pytest.param([5, 6], 1, 1, id="one point"),
        pytest.param([[5, 6], [7, 8]], 2, 1, id="N objects of one point"),
        pytest.param([[[5, 6], [7, 8]]], 1, 2, id="one object of two points"),
        pytest.param(torch.tensor([[5.0, 6.0]]), 1, 1, id="tensor"),
    ],
)
def test_points_of_every_shape(points, objects, clicks) -> None:
    batch = gather(points=points)
    assert batch.points.shape == (objects, clicks, 2)
    assert (batch.labels == 1).all()
    assert batch.points[0, 0].tolist() == [5, 6]


def test_ragged_points_are_padded() -> None:
    batch = gather(points=[[[1, 2]], [[3, 4], [5, 6]]], labels=[[1], [1, 0]])
    assert batch.labels.tolist() == [[1, -1], [1, 0]]
    assert batch.points[0].tolist() == [[1, 2], [0, 0]]


def test_box_corners_come_before_clicks() -> None:
    batch = gather(bboxes=[2, 3, 20, 30], points=[[[5, 6]]], labels=[[0]])
    assert batch.labels.tolist() == [[2, 3, 0]]
    assert batch.points[0].tolist() == [[2, 3], [20, 30], [5, 6]]


def test_box_is_clipped_to_the_image() -> None:
    batch = gather(bboxes=[-5, -5, 100, 20])
    assert batch.points[0].tolist() == [[0, 0], [60, 20]]


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        pytest.param({}, "at least one", id="nothing"),
        pytest.param({"labels": [1]}, "without points", id="labels alone"),
        pytest.param({"points": np.zeros((0, 2))}, "empty", id="no objects"),
        pytest.param({"points": [[1, 2, 3]]}, "shape", id="three coordinates"),
        pytest.param({"points": [[1, float("nan")]]}, "finite", id="NaN"),
        pytest.param({"points": [[1, 2]], "labels": [1, 0]}, "match", id="label count"),
        pytest.param(
            {"points": [[1, 2]], "labels": [4]}, "labels must be", id="label value"
        ),
        pytest.param({"points": [[61, 2]]}, "outside", id="point outside"),
        pytest.param({"bboxes": [5, 5, 5, 9]}, "x0 < x1", id="empty box"),
        pytest.param({"bboxes": [70, 5, 80, 9]}, "outside", id="box outside"),
        pytest.param({"bboxes": [1, 2, 3]}, "shape", id="three numbers"),
        pytest.param(
            {"bboxes": [[1, 2, 3, 4]], "points": [[1, 2], [3, 4]]}, "pair up", id="counts"
        ),
        pytest.param({"masks": np.zeros((1, 5, 5), bool)}, "masks must be", id="mask size"),
        pytest.param(
            {"masks": np.zeros((1, 5, 5))}, "logits of the shape", id="logit size"
        ),
        pytest.param({"points": "abc"}, "numbers", id="text"),
    ],
)
def test_what_does_not_fit_is_said(prompts, sentence) -> None:
    with pytest.raises(PromptError, match=sentence):
        gather(**prompts)


def test_masks_keep_their_kind() -> None:
    drawn = gather(masks=np.ones(SHAPE, np.uint8))
    assert drawn.masks is not None
    assert drawn.masks.dtype == bool
    assert drawn.masks.shape == (1, *SHAPE)
    logits = gather(masks=np.full((2, 32, 32), 3.5))
    assert logits.masks is not None
    assert logits.masks.dtype == np.float32


def test_mask_logits_reach_from_minus_to_plus_ten() -> None:
    mask = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    mask[..., :32] = True
    logits = mask_to_logits(mask, 16)
    assert logits.shape == (1, 1, 16, 16)
    assert logits[0, 0, 8, 2] == 10
    assert logits[0, 0, 8, 13] == -10
