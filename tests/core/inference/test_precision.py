"""The number format of each kind of device."""

from __future__ import annotations

import pytest

from napari_cellprompt.core.inference.precision import choose_precision


@pytest.mark.parametrize(
    ("kind", "name", "capability", "dtype"),
    [
        ("cpu", "", None, "float32"),
        ("mps", "", None, "float32"),
        ("cuda", "NVIDIA A100", (8, 0), "bfloat16"),
        ("cuda", "NVIDIA H200", (9, 0), "bfloat16"),
        ("cuda", "NVIDIA GeForce RTX 2080", (7, 5), "float16"),
        ("cuda", "Tesla V100", (7, 0), "float16"),
        ("cuda", "NVIDIA GeForce GTX 1660 Ti", (7, 5), "float32"),
        ("cuda", "NVIDIA GeForce GTX 1080", (6, 1), "float32"),
        ("cuda", "unknown", None, "float32"),
    ],
)
def test_precision(
    kind: str, name: str, capability: tuple[int, int] | None, dtype: str
) -> None:
    chosen = choose_precision(kind, name, capability)
    assert chosen.dtype == dtype
    assert chosen.reason
