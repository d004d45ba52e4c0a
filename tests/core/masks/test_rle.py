from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.rle import area, decode, encode
from napari_cellprompt.core.types import MaskRLE


def _square() -> np.ndarray:
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:5, 3:7] = True
    return mask


# Made with pycocotools: mask.encode(np.asfortranarray(m))["counts"].
KNOWN = [
    pytest.param(np.zeros((3, 4), bool), "<", id="empty"),
    pytest.param(np.ones((3, 4), bool), "0<", id="full"),
    pytest.param(_square(), "P13700000l0", id="square"),
    pytest.param(np.eye(3, dtype=bool), "013000", id="diagonal"),
]


@pytest.mark.parametrize(("mask", "counts"), KNOWN)
def test_known_strings(mask: np.ndarray, counts: str) -> None:
    rle = encode(mask)
    assert rle == MaskRLE(size=mask.shape, counts=counts)
    np.testing.assert_array_equal(decode(rle), mask)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_round_trip(mask: np.ndarray) -> None:
    decoded = decode(encode(mask))
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.randoms())
def test_round_trip_of_long_runs(height: int, width: int, random: object) -> None:
    mask = np.zeros((height, width), dtype=np.uint8)
    y, x = random.randrange(height), random.randrange(width)  # type: ignore[attr-defined]
    mask[: y + 1, x:] = 7
    np.testing.assert_array_equal(decode(encode(mask)), mask > 0)


@settings(max_examples=30, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)))
def test_agrees_with_pycocotools(mask: np.ndarray) -> None:
    oracle = pytest.importorskip("pycocotools.mask", reason="pycocotools not installed")
    expected = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode(mask).counts == expected["counts"].decode()


@pytest.mark.parametrize(
    "counts",
    ["", "0", "P", "\x10", "oooooooooooooooooooo1", "00O", "é"],
    ids=["nothing", "too few", "cut off", "bad sign", "endless", "negative", "not ascii"],
)
def test_damaged_strings_are_refused(counts: str) -> None:
    with pytest.raises(PromptError, match="run lengths"):
        decode(MaskRLE(size=(3, 4), counts=counts))


def test_a_mask_has_two_axes() -> None:
    with pytest.raises(PromptError, match="two axes"):
        encode(np.zeros((2, 3, 4), bool))


def test_area_without_unpacking() -> None:
    mask = np.random.default_rng(5).random((37, 53)) > 0.6
    assert area(encode(mask)) == np.count_nonzero(mask)
    assert area(encode(np.zeros((4, 5), bool))) == 0
    assert area(encode(np.ones((4, 5), bool))) == 20
