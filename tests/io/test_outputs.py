from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_cellprompt.core.errors import ImageError, SaveError
from napari_cellprompt.io import outputs
from napari_cellprompt.io.image_files import LabelGrid
from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.io.outputs import (
    check_label_file,
    check_output,
    make_folder,
    save_labels,
    write_or_keep,
)

GRID = LabelGrid((4, 5), "YX", (0.5, 0.5), "um", "YX")


@pytest.mark.parametrize("kind", ["itself", "link", "hard link", "another way"])
def test_inputs_are_never_replaced(kind: str, tmp_path: Path) -> None:
    source, target = tmp_path / "image.tif", tmp_path / "out.tif"
    source.write_bytes(b"pixels")
    if kind == "itself":
        target = source
    elif kind == "link":
        target.symlink_to(source)
    elif kind == "hard link":
        target.hardlink_to(source)
    else:
        (tmp_path / "sub").mkdir()
        target = tmp_path / "sub" / ".." / "image.tif"
    with pytest.raises(ImageError, match="would overwrite"):
        check_label_file(target, (None, tmp_path / "other.tif", source))
    assert source.read_bytes() == b"pixels"
    assert sorted(os.listdir(tmp_path))[0] == "image.tif"


def test_links_to_nothing_are_no_inputs(tmp_path: Path) -> None:
    check_output(tmp_path / "new.tif", (tmp_path / "image.tif",))
    assert list(tmp_path.iterdir()) == []


def test_a_file_must_be_possible(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        check_output(tmp_path)
    with pytest.raises(ImageError, match="does not exist"):
        check_output(tmp_path / "no" / "a.tif")
    with pytest.raises(ImageError, match=r"must go to a \.tif file"):
        check_label_file(tmp_path / "a.png")


def test_folders_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", refuse)
        with pytest.raises(SaveError, match=r"Cannot write to the folder .*Permission"):
            check_output(tmp_path / "a.tif")
        with pytest.raises(SaveError, match="Cannot write to the folder"):
            make_folder(tmp_path / "new")
    full = SimpleNamespace(total=1, used=1, free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    check_label_file(tmp_path / "a.tif", (), GRID)
    with pytest.raises(SaveError, match=r"is full: 1\.0 MB are free"):
        check_output(tmp_path / "a.tif", nbytes=2**21)


@pytest.mark.parametrize("step", [0.0, np.nan, 1e-12])
def test_grids_that_no_file_can_keep(step: float, tmp_path: Path) -> None:
    grid = LabelGrid((4, 5), "YX", (step, 1.0), "pixel")
    with pytest.raises(ImageError, match="The scale must hold"):
        check_label_file(tmp_path / "a.tif", (), grid)


def kept_in(error: SaveError) -> Path:
    found = re.search(r"kept as (.*)\.$", str(error))
    assert found is not None
    return Path(found[1])


@pytest.mark.parametrize("target", ["gone/labels.tif", "taken.tif"])
def test_labels_that_cannot_be_written_are_kept(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken.tif").mkdir()
    # Not of the user's own folder, in a test.
    monkeypatch.setattr(outputs.platformdirs, "user_data_path", lambda _: tmp_path / "own")
    monkeypatch.setattr(Path, "mkdir", _no_new_folder(tmp_path / "gone"))
    labels = np.arange(20, dtype=np.uint8).reshape(4, 5)
    with pytest.raises(SaveError, match="Cannot write") as caught:
        save_labels(tmp_path / target, labels, GRID)
    found = read_labels(kept_in(caught.value))
    np.testing.assert_array_equal(found.labels, labels)
    assert found.scale == (0.5, 0.5)


def _no_new_folder(forbidden: Path) -> Any:
    make = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        if self == forbidden:
            raise PermissionError(13, "Permission denied")
        make(self, *arguments, **options)

    return mkdir


def test_where_nothing_can_be_written_the_first_reason_is_told(tmp_path: Path) -> None:
    def refuse(path: Path) -> None:
        raise SaveError(f"Cannot write {path.name}: the disk is full.")

    with pytest.raises(SaveError, match=r"^Cannot write a\.tif: the disk is full\.$"):
        write_or_keep(tmp_path / "a.tif", refuse)
