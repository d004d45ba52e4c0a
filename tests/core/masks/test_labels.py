from __future__ import annotations

import numpy as np
import pytest

from napari_cellprompt.core.errors import ImageError, PromptError
from napari_cellprompt.core.masks.labels import (
    masks_to_boxes,
    resolve_overlaps,
    smallest_dtype,
)
from napari_cellprompt.core.types import Candidate, CroppedMask


def candidate(
    rows: slice, columns: slice, logit: float, shape: tuple[int, int] = (10, 12)
) -> Candidate:
    data = np.ones((rows.stop - rows.start, columns.stop - columns.start), bool)
    mask = CroppedMask(data, (rows.start, columns.start), shape)
    return Candidate(mask, np.full(data.shape, logit, np.float32), score=0.9)


@pytest.mark.parametrize(
    ("max_id", "dtype"),
    [
        (0, np.uint8),
        (255, np.uint8),
        (256, np.uint16),
        (65535, np.uint16),
        (65536, np.uint32),
        (2**32 - 1, np.uint32),
    ],
)
def test_smallest_dtype(max_id: int, dtype: type) -> None:
    assert smallest_dtype(max_id) == dtype


@pytest.mark.parametrize("max_id", [-1, 2**32])
def test_ids_beyond_32_bits(max_id: int) -> None:
    with pytest.raises(ImageError, match="must lie in 0"):
        smallest_dtype(max_id)


def test_the_higher_logit_wins() -> None:
    low = candidate(slice(0, 6), slice(0, 6), 1.0)
    high = candidate(slice(4, 8), slice(4, 8), 2.0)
    for order, ids in (((low, high), (3, 300)), ((high, low), (300, 3))):
        labels = resolve_overlaps(order, ids)
        assert labels.dtype == np.uint16
        assert (labels == 3).sum() == 36 - 4
        assert (labels == 300).sum() == 16


def test_of_equal_logits_the_first_wins() -> None:
    objects = [candidate(slice(0, 6), slice(0, 6), 1.0)] * 2
    assert set(np.unique(resolve_overlaps(objects, [5, 6]))) == {0, 5}


def test_negative_logits_of_a_cleaned_mask_count_as_object() -> None:
    # A filled hole belongs to the mask although its logits are below 0.
    labels = resolve_overlaps([candidate(slice(0, 2), slice(0, 2), -3.0)], [1])
    assert labels.sum() == 4


def test_no_objects() -> None:
    labels = resolve_overlaps([], [], (4, 5))
    assert labels.shape == (4, 5)
    assert not labels.any()


@pytest.mark.parametrize(
    ("ids", "shape", "message"),
    [
        ([1, 2], None, "1 masks and 2 ids"),
        ([0], None, "positive"),
        ([1], (3, 3), "one plane size"),
    ],
)
def test_resolve_refuses(
    ids: list[int], shape: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(PromptError, match=message):
        resolve_overlaps([candidate(slice(0, 6), slice(0, 6), 1.0)], ids, shape)


def test_boxes_are_exclusive_at_their_end() -> None:
    masks = np.zeros((3, 8, 9), bool)
    masks[0, 5, 3] = True
    masks[1, 1:4, 2:8] = True
    assert masks_to_boxes(masks).tolist() == [[3, 5, 4, 6], [2, 1, 8, 4], [0, 0, 0, 0]]
    assert masks_to_boxes(masks[:0]).shape == (0, 4)
