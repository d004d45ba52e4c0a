"""Every command whose output cannot be written at its end keeps what it has done."""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.followers import discs

from napari_cellprompt.cli.main import main
from napari_cellprompt.io import outputs
from napari_cellprompt.io.label_tiff import read_labels

PLACES = ((24.0, 24.0, 8.0), (68.0, 30.0, 8.0), (40.0, 70.0, 8.0))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """An image, a stack, labels and prompts, in a folder of their own."""
    folder = tmp_path / "in"
    folder.mkdir()
    stack = discs([dict.fromkeys(range(3), place) for place in PLACES], (3, 96, 96))
    tifffile.imwrite(folder / "image.tif", stack[0], photometric="minisblack")
    labels = np.zeros(stack.shape[1:], np.uint8)
    labels[:48, :48] = stack[0, :48, :48] > 128
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    (tmp_path / "prompts.json").write_text(
        json.dumps({"version": 1, "objects": [{"id": 5, "points": [[24, 24]]}]})
    )
    return folder


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose disk is full once something is to be finished there."""
    folder = tmp_path / "full"
    folder.mkdir()
    replace = Path.replace

    def fail_there(self: Path, target: os.PathLike[str]) -> Path:
        if folder in Path(target).parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_there)
    # Not of the user's own folder, in a test.
    monkeypatch.setattr(outputs.platformdirs, "user_data_path", lambda _: tmp_path / "own")
    return folder


@pytest.mark.parametrize("command", ["segment", "propagate", "everything", "fewshot"])
def test_the_labels_are_kept_elsewhere(
    command: str,
    inputs: Path,
    full: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image, stack, labels, prompts = (
        str(path)
        for path in (
            inputs / "image.tif",
            tmp_path / "stack.tif",
            tmp_path / "labels.tif",
            tmp_path / "prompts.json",
        )
    )
    out = str(full / "out.tif")
    line = {
        "segment": [image, "--prompts", prompts, "-o", out],
        "propagate": [stack, "--seeds", labels, "--plane", "0", "-o", out],
        "everything": [image, "-o", out],
        "fewshot": [
            "--examples",
            image,
            labels,
            "--apply",
            str(inputs),
            "-o",
            str(full),
            "--threshold",
            "0",
        ],
    }[command]
    assert main([command, *line]) == 1
    said = capsys.readouterr().err
    assert "the disk is full." in said
    assert "Traceback" not in said
    kept = [Path(name) for name in re.findall(r"kept as (\S+\.tif)\.", said)]
    assert len(kept) == 1
    assert kept[0].parent == tmp_path / "own" / "kept"
    assert read_labels(kept[0]).labels.any()
    # what a run needs to go on with may stay
    assert [path for path in full.iterdir() if path.suffix != ".unfinished"] == []
