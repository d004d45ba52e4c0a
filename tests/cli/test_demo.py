from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_cellprompt.cli.main import main
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.evaluation.demo import inner_points
from napari_cellprompt.evaluation.overlay import draw_overlay
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


def test_inner_points_lie_deepest_in_their_object() -> None:
    labels = np.zeros((30, 40), np.uint16)
    labels[0:9, 0:9] = 2
    labels[20:25, 10:31] = 7
    labels[2, 35] = 5
    points = inner_points(labels)
    assert set(points) == {2, 5, 7}
    assert points[2] == (4, 4)
    assert points[5] == (35, 2)
    assert points[7][1] == 22
    assert all(labels[int(y), int(x)] == index for index, (x, y) in points.items())


def test_overlays_show_outlines_and_prompts() -> None:
    image = np.full((30, 40), 50, np.uint8)
    labels = np.zeros((30, 40), np.uint16)
    labels[5:15, 5:15] = 3
    labels[5:15, 15:25] = 4
    prompts = [
        Prompts(points=((10, 10), (35, 2)), labels=(1, 0)),
        Prompts(box=(-5, 20, 100, 28)),
    ]
    picture = draw_overlay(image, labels, prompts)
    assert picture.shape == (30, 40, 3)
    assert (image == 50).all()
    assert tuple(picture[5, 7]) != tuple(picture[5, 20]) != (50, 50, 50)
    assert tuple(picture[7, 7]) == (50, 50, 50)
    assert picture[10, 10, 1] > picture[10, 10, 0]
    assert picture[2, 35, 0] > picture[2, 35, 1]
    assert tuple(picture[20, 0]) == tuple(picture[27, 39]) == (255, 220, 60)
