from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.brightness import BrightSegmenter, disks

from napari_cellprompt.cli.main import main
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.tasks.inputs import loading

CENTRES = [(14, 14), (14, 44), (44, 14), (46, 46)]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    loaded: list[tuple[str, str]] = []

    def load(model: str, device: str) -> BrightSegmenter:
        loaded.append((model, device))
        return BrightSegmenter()

    monkeypatch.setattr(loading, "load_segmenter", load)
    return loaded


def arguments(folder: Path, image: np.ndarray, **options: object) -> list[str]:
    tifffile.imwrite(folder / "image.tif", image, photometric="minisblack", **options)
    return [
        "everything", str(folder / "image.tif"), "-o", str(folder / "out.tif"),
        "--size", "17",
    ]  # fmt: skip


def test_a_plane(fake, tmp_path: Path) -> None:
    image, truth = disks((64, 64), CENTRES, 8)
    assert main([*arguments(tmp_path, image), "--model", "m", "--device", "cpu"]) == 0
    labels = read_labels(tmp_path / "out.tif").labels
    assert average_precision(labels, truth)[0] == 1.0
    assert fake == [("m", "cpu")]


def test_a_stack_keeps_its_calibration(fake, tmp_path: Path, capsys) -> None:
    image, _ = disks((64, 64), CENTRES, 8)
    line = arguments(
        tmp_path,
        np.stack([image] * 2).astype(np.uint16) * 9,
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    )
    assert main(line) == 0
    found = read_labels(tmp_path / "out.tif")
    assert (found.axes, found.scale, found.unit) == ("ZYX", (2, 0.25, 0.25), "um")
    np.testing.assert_array_equal(found.labels[0], found.labels[1])
    assert found.labels.max() == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "plane 2 of 2: 4 objects" in said.err
    assert main([*line, "--no-link"]) == 0
    assert read_labels(tmp_path / "out.tif").labels.max() == 8


def test_filters(fake, tmp_path: Path) -> None:
    image, truth = disks((64, 64), [*CENTRES[:3], (60, 60)], 8)
    line = arguments(tmp_path, image)
    assert main([*line, "--drop-border"]) == 0
    labels = read_labels(tmp_path / "out.tif").labels
    assert average_precision(labels, np.where(truth < 4, truth, 0))[0] == 1.0
    assert main([*line, "--min-area", "5000"]) == 0
    assert not read_labels(tmp_path / "out.tif").labels.any()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--min-area", "9", "--max-area", "3"], "must not be above max_area 3"),
        (["--max-overlap", "-1"], "max_overlap must not be negative"),
        (["--size", "0"], "must be positive: got 0"),
        (["--channel", "1"], "has no channels"),
        (["--axes", "CYX", "--channel", "7"], "channels 0 to 1: got 7"),
        (["--contrast", "9", "3"], "the smaller first"),
        (["-o", "labels.png"], "must go to a .tif file"),
    ],
)
def test_what_cannot_be_done(fake, tmp_path: Path, capsys, options, sentence) -> None:
    image, _ = disks((64, 64), CENTRES, 8)
    assert main([*arguments(tmp_path, np.stack([image] * 2)), *options]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out.tif").exists()
    assert fake == []


def test_objects_of_two_channels_are_found_together(fake, tmp_path: Path) -> None:
    first, _ = disks((64, 64), CENTRES[:2], 8)
    second, _ = disks((64, 64), CENTRES[2:], 8)
    _, truth = disks((64, 64), CENTRES, 8)
    line = arguments(
        tmp_path, np.stack([first, second * 0, second]), metadata={"axes": "CYX"}
    )
    assert main([*line, "--compose", "grey=0", "grey=2"]) == 0
    labels = read_labels(tmp_path / "out.tif").labels
    assert labels.shape == (64, 64)
    assert average_precision(labels, truth)[0] == 1.0
