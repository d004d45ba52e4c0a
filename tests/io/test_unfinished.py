"""Parts of a result that are kept until the whole is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_cellprompt.io.unfinished import Unfinished, folder_of


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "labels.tif"


def test_a_part_comes_back_for_the_same_request(output) -> None:
    labels = np.arange(12, dtype=np.uint32).reshape(3, 4)
    Unfinished(output, "asked").put("plane-1", {"labels": labels})
    again = Unfinished(output, "asked")
    assert again.names() == ["plane-1"]
    np.testing.assert_array_equal(again.get("plane-1")["labels"], labels)
    assert again.get("plane-2") is None


def test_another_request_sees_nothing_and_takes_the_folder_over(output) -> None:
    Unfinished(output, "asked").put("plane-1", {"labels": np.zeros(2)})
    notes = folder_of(output) / "notes.md"
    notes.write_text("mine")
    other = Unfinished(output, "asked otherwise")
    assert len(other) == 0 and other.get("plane-1") is None
    other.put("plane-2", {"labels": np.ones(2)})
    assert other.names() == ["plane-2"]
    assert notes.read_text() == "mine", "files that are not ours stay"
    assert len(Unfinished(output, "asked")) == 0


def test_a_broken_part_is_done_again(output) -> None:
    kept = Unfinished(output, "asked")
    kept.put("plane-1", {"labels": np.zeros(100)})
    path = folder_of(output) / "plane-1.npz"
    path.write_bytes(path.read_bytes()[:40])
    assert Unfinished(output, "asked").get("plane-1") is None


def test_the_folder_goes_with_the_end(output) -> None:
    kept = Unfinished(output, "asked")
    kept.put("plane-1", {"labels": np.zeros(2)})
    kept.drop()
    assert list(output.parent.iterdir()) == []
    kept.drop()


def test_nothing_is_lost_where_nothing_can_be_kept(tmp_path) -> None:
    kept = Unfinished(tmp_path / "missing" / "labels.tif", "asked")
    kept.put("plane-1", {"labels": np.zeros(2)})
    assert "cannot be kept" in str(kept.problem)
    assert len(kept) == 0
