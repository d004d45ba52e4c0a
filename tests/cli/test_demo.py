from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from napari_cellprompt.cli.main import main
from napari_cellprompt.io.label_tiff import read_labels

if TYPE_CHECKING:
    from .conftest import ThresholdSegmenter


def test_the_demo_writes_labels_and_pictures(
    fake: ThresholdSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "demo"
    assert main(["demo", "-o", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "mean IoU" in said
    assert "first click" in said
    assert "napari -w napari-cellprompt Segment" in said
    names = ["cell_box", "cell_click", "nuclei_boxes", "nuclei_clicks"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [f"{name}.png" for name in names] + [f"{name}_labels.tif" for name in names]
    )
    found = read_labels(folder / "nuclei_boxes_labels.tif")
    assert found.scale == pytest.approx((0.325, 0.325))
    assert found.unit == "um"
    with Image.open(folder / "nuclei_boxes.png") as picture:
        assert picture.size == found.labels.shape[::-1]


def test_a_file_in_place_of_the_folder(
    fake: ThresholdSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").touch()
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 1
    assert "Cannot make the folder" in capsys.readouterr().err
