from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_cellprompt.cli.main import main

if TYPE_CHECKING:
    from .conftest import ThresholdSegmenter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Bright squares; in the second set one of them is dark and cannot be found."""
    labels = np.zeros((40, 50), np.uint8)
    labels[5:15, 10:20] = 1
    labels[20:30, 30:40] = 2
    image = (labels > 0) * np.uint8(200)
    data = tmp_path / "data"
    data.mkdir()
    for name, pixels in (("easy", image), ("hard", image * (labels != 2))):
        tifffile.imwrite(data / f"{name}_img.tif", pixels)
        tifffile.imwrite(data / f"{name}_lab.tif", labels)
    return data


def test_table_and_files(
    fake: ThresholdSegmenter,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    arguments = ["evaluate", str(folder), "-o", str(out), "--model", "some"]
    assert main([*arguments, "--parts", "prompts"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split()[:4] == ["objects", "1", "click", "3"]
    easy, hard = (line.split() for line in printed[1:3])
    assert easy[:3] == ["easy", "2", "1.000"]
    assert hard[0] == "hard" and float(hard[2]) < 1
    found = json.loads((out / "evaluation.json").read_text())
    assert found["model"] == "some" and found["limit"] is None
    assert len(found["objects"]) == 4
    assert found["table"]["easy"]["box"] == 1
    with Image.open(out / "evaluation.png") as picture:
        assert picture.size == (6 * 192, 192)
    assert fake.loaded == [("some", "auto")]


def test_limit_and_choice(fake: ThresholdSegmenter, folder: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", str(folder), "-o", str(tmp_path), "--limit", "1"]
    arguments += ["--parts", "prompts"]
    assert main([*arguments, "--datasets", "hard"]) == 0
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert [item["dataset"] for item in found["objects"]] == ["hard"]


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (["--limit", "0"], "--limit must be at least 1"),
        (["--datasets", "none"], "no data set named none"),
    ],
    ids=["limit", "name"],
)
def test_what_cannot_be_done_is_said(
    fake: ThresholdSegmenter,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    extra: list[str],
    reason: str,
) -> None:
    assert main(["evaluate", str(folder), *extra]) == 2
    assert reason in capsys.readouterr().err
    assert fake.loaded == []


def test_labels_without_objects(
    fake: ThresholdSegmenter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for end in ("img", "lab"):
        tifffile.imwrite(tmp_path / f"a_{end}.tif", np.zeros((20, 20), np.uint8))
    arguments = ["evaluate", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main([*arguments, "--parts", "prompts", "stacks"]) == 2
    assert "no objects of at least 9 pixels" in capsys.readouterr().err
    assert not (tmp_path / "out" / "evaluation.json").exists()


def test_a_stack_is_prompted_searched_and_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, columns = np.mgrid[:96, :96]
    labels = np.zeros((3, 96, 96), np.uint16)
    for plane in range(3):
        labels[plane][np.hypot(columns - 30, rows - 30) < 11 + plane] = 1
        labels[plane][np.hypot(columns - 66, rows - 60) < 13 - plane] = 700
    rng = np.random.default_rng(0)
    image = (labels > 0) * 1000 + rng.normal(300, 40, labels.shape)
    for end, data in (("img", image.clip(0).astype(np.uint16)), ("lab", labels)):
        tifffile.imwrite(
            tmp_path / f"discs_{end}.tif", data, imagej=True, metadata={"axes": "ZYX"}
        )
    out = tmp_path / "out"
    model = ["--model", "cellprompt-nano"]
    assert main(["evaluate", str(tmp_path), "-o", str(out), *model]) == 0
    captured = capsys.readouterr()
    assert "following 2 objects from the mask" in captured.err
    second = captured.out.split("\n\n")[1].splitlines()
    assert second[0].split() == [
        "AP50",
        "mean",
        "AP",
        "from",
        "box",
        "from",
        "mask",
        "copied",
    ]
    found = json.loads((out / "evaluation.json").read_text())
    assert [item["start"] for item in found["stacks"]] == ["box", "mask"]
    assert all(item["objects"] == 2 for item in found["stacks"])
    assert [item["true"] for item in found["planes"]] == [2, 2, 2]
    row = found["table"]["discs"]
    assert row["objects"] == 6 and row["box"] > 0.8
    assert row["ap50"] == np.mean([item["ap50"] for item in found["planes"]]) > 0.5
    assert row["from_mask"] == found["stacks"][1]["iou"] > 0.7
    assert 0.7 < row["copied"] < 0.9
