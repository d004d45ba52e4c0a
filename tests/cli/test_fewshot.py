from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.brightness import BrightSegmenter
from tests.two_kinds import disks_and_bars

from napari_cellprompt.cli.main import main
from napari_cellprompt.core.masks.matching import average_precision
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.tasks.inputs import loading


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A command with examples of disks, and two images to apply them to."""
    monkeypatch.setattr(loading, "load_segmenter", lambda *_: BrightSegmenter())
    image, disks, _ = disks_and_bars(0)
    tifffile.imwrite(tmp_path / "shown.tif", image, photometric="minisblack")
    tifffile.imwrite(tmp_path / "shown_lab.tif", np.where(disks < 4, disks, 0))
    (tmp_path / "in").mkdir()
    for seed in (1, 2):
        tifffile.imwrite(
            tmp_path / "in" / f"im{seed}.tif",
            disks_and_bars(seed)[0].astype(np.uint16) * 10,
            imagej=True,
            resolution=(2, 2),
            metadata={"unit": "um"},
        )
    return [
        "fewshot", "--examples", str(tmp_path / "shown.tif"),
        str(tmp_path / "shown_lab.tif"), "--apply", str(tmp_path / "in"),
        "-o", str(tmp_path / "out"),
    ]  # fmt: skip


def test_labels_the_wanted_kind_in_every_image(line, tmp_path: Path) -> None:
    assert main(line) == 0
    for seed in (1, 2):
        found = read_labels(tmp_path / "out" / f"im{seed}_labels.tif")
        assert average_precision(found.labels, disks_and_bars(seed)[1])[0] == 1.0
        assert (found.scale, found.unit) == ((0.5, 0.5), "um")
        with (tmp_path / "out" / f"im{seed}_objects.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["id"] for row in rows] == ["1", "2", "3", "4", "5"]
        assert all(float(row["score"]) >= 0.5 for row in rows)
        assert int(rows[0]["area"]) == int((found.labels == 1).sum())


def test_goes_on_where_it_was_and_past_bad_images(line, tmp_path: Path, capsys) -> None:
    (tmp_path / "in" / "im0.tif").write_bytes(b"no image")
    assert main(line) == 1
    assert "im0.tif" in capsys.readouterr().err
    done = tmp_path / "out" / "im1_labels.tif"
    stamp = done.stat().st_mtime_ns
    (tmp_path / "in" / "im0.tif").unlink()
    assert main(line) == 0
    assert "2 of 2 images have their labels" in capsys.readouterr().err
    assert done.stat().st_mtime_ns == stamp
    assert main([*line, "--again"]) == 0
    assert done.stat().st_mtime_ns != stamp


def test_examples_can_be_kept(line, tmp_path: Path) -> None:
    bank = str(tmp_path / "bank.safetensors")
    assert main([*line, "--save-bank", bank]) == 0
    first = read_labels(tmp_path / "out" / "im1_labels.tif").labels
    again = ["fewshot", "--bank", bank, *line[4:-1], str(tmp_path / "out2")]
    assert main(again) == 0
    second = read_labels(tmp_path / "out2" / "im1_labels.tif").labels
    np.testing.assert_array_equal(first, second)


def test_one_contrast_for_all_images(line, tmp_path: Path) -> None:
    images = sorted((tmp_path / "in").glob("*.tif"))
    dim = tifffile.imread(images[0]) // 4
    tifffile.imwrite(images[0], dim)
    tifffile.imwrite(
        tmp_path / "shown.tif", tifffile.imread(tmp_path / "shown.tif") * np.uint16(10)
    )
    assert main([*line, "--contrast", "0", "2300"]) == 0
    counts = [
        read_labels(tmp_path / "out" / f"{path.stem}_labels.tif").labels.max()
        for path in images
    ]
    assert counts == [0, 5], "shown with one contrast, the dim image has no such cells"


def test_bad_requests(line, tmp_path: Path, capsys) -> None:
    for change, sentence in (
        (["fewshot", *line[4:]], "Show what to look for"),
        ([*line, "--threshold", "2"], "from 0 to 1"),
        ([*line, "--others", "one.tif"], "pairs"),
        ([*line[:-3], str(tmp_path / "no"), *line[-2:]], "no folder"),
    ):
        assert main(change) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
