from __future__ import annotations

from pathlib import Path

import pytest

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.tasks.series import Series


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.tif", "a.png", "c.TIF", "notes.txt", ".hidden.tif", "a_labels.tif"):
        (tmp_path / name).touch()
    return tmp_path


def test_lists_images_and_what_is_left(folder: Path) -> None:
    series = Series.of(folder, folder)
    assert [path.name for path in series.images] == ["a.png", "b.tif", "c.TIF"]
    assert [path.name for path in series.left] == ["b.tif", "c.TIF"]
    assert series.labels_of(folder / "b.tif") == folder / "b_labels.tif"


def test_goes_to_what_is_not_finished(folder: Path) -> None:
    series = Series.of(folder, folder / "out")
    a, b, c = series.images
    series.output.mkdir()
    series.labels_of(b).touch()
    assert series.after(None) == a
    assert series.after(a) == c
    assert series.after(c) is None
    assert series.after(c, step=-1) == a


def test_bad_folders(folder: Path) -> None:
    with pytest.raises(ImageError, match="no folder"):
        Series.of(folder / "missing", folder)
    (folder / "empty").mkdir()
    with pytest.raises(ImageError, match="no TIFF"):
        Series.of(folder / "empty", folder)
    (folder / "b.png").touch()
    with pytest.raises(ImageError, match="both write"):
        Series.of(folder, folder)
