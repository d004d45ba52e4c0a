from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cellprompt.core.results import Results
from napari_cellprompt.core.types import Candidate, CroppedMask

SHAPE = (12, 16)


def candidate(y, x, height, width, level, score=0.9) -> Candidate:
    data = np.ones((height, width), bool)
    return Candidate(
        CroppedMask(data, (y, x), SHAPE), np.full((height, width), level, np.float32), score
    )


@pytest.fixture
def result() -> Results:
    objects = [candidate(1, 2, 4, 6, 1.0), candidate(3, 5, 5, 5, 2.0, 0.7)]
    return Results(orig_img=None, objects=objects, shape=SHAPE, ids=(3, 300))


def test_boxes_and_masks(result) -> None:
    assert result.boxes.xyxy.tolist() == [[2, 1, 8, 5], [5, 3, 10, 8]]
    assert result.boxes.conf.tolist() == pytest.approx([0.9, 0.7])
    assert result.boxes.cls.tolist() == [0, 0]
    assert result.masks.data.sum(dim=(1, 2)).tolist() == [24, 25]
    assert result.names == {0: "object"}


def test_labels_use_the_ids_and_the_higher_logit(result) -> None:
    labels = result.to_labels()
    assert labels.dtype == np.uint16
    assert labels[3, 5] == 300
    assert labels[1, 2] == 3
    assert set(np.unique(labels)) == {0, 3, 300}
    assert result.to_labels(np.int32).dtype == np.int32


def test_type_that_cannot_hold_the_ids_is_refused(result) -> None:
    with pytest.raises(ValueError, match="300"):
        result.to_labels(np.uint8)


def test_indexing_and_iterating(result) -> None:
    assert [item.ids for item in result] == [(3,), (300,)]
    assert result[-1].ids == (300,)
    assert len(result[:1]) == 1


def test_numpy_and_back(result) -> None:
    arrays = result.numpy()
    assert isinstance(arrays.masks.data, np.ndarray)
    assert isinstance(arrays.boxes.xyxy, np.ndarray)
    assert isinstance(result.cpu().masks.data, torch.Tensor)


def test_outline_follows_the_mask(result) -> None:
    outline = result.masks.xy[0]
    assert outline.shape[1] == 2
    assert outline.min(axis=0).tolist() == [1.5, 0.5]
    assert outline.max(axis=0).tolist() == [7.5, 4.5]


def test_nothing_at_all() -> None:
    empty = Results(orig_img=None, objects=[], shape=SHAPE)
    assert empty.masks is None
    assert len(empty.boxes) == 0
    assert empty.to_labels().shape == SHAPE


def test_empty_mask_keeps_its_place() -> None:
    gone = Candidate(
        CroppedMask(np.zeros((0, 0), bool), (0, 0), SHAPE),
        np.zeros((0, 0), np.float32),
        0.1,
    )
    result = Results(orig_img=None, objects=[gone, candidate(1, 1, 2, 2, 1.0)], shape=SHAPE)
    assert len(result) == 2
    assert result.boxes.xyxy[0].tolist() == [0, 0, 0, 0]
    assert result.masks.xy[0].shape == (0, 2)
    assert np.unique(result.to_labels()).tolist() == [0, 2]


def test_ids_must_match() -> None:
    with pytest.raises(ValueError, match="ids"):
        Results(orig_img=None, objects=[candidate(1, 1, 2, 2, 1.0)], shape=SHAPE, ids=())
