from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_cellprompt.evaluation.data import find_sets
from napari_cellprompt.io.folders import images_in, natural_order
from napari_cellprompt.tasks.series import Series

NAMES = ["img_1.png", "img_2.png", "IMG_3.tif", "img_10.png", "other.tif"]


def test_people_count_so(tmp_path: Path) -> None:
    for name in [*NAMES, ".hidden.tif", "notes.txt"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    assert [path.name for path in images_in(tmp_path)] == NAMES
    assert [path.name for path in Series.of(tmp_path, tmp_path).images] == NAMES


@pytest.mark.parametrize(
    ("first", "second"),
    [("a2/x1.tif", "a10/x0.tif"), ("t9", "t10"), ("a", "b"), ("x²1", "x²2"), ("1", "a")],
)
def test_order_of_two(first: str, second: str) -> None:
    assert natural_order(Path(first)) < natural_order(Path(second))


def test_data_sets_are_in_that_order_as_well(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        for kind in ("img", "lab"):
            tifffile.imwrite(tmp_path / f"s{number}_{kind}.tif", np.zeros((4, 5), np.uint8))
    assert [item.name for item in find_sets(tmp_path)] == ["s1", "s2", "s10"]
