from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QMessageBox
from tests.widgets.conftest import FIRST, SECOND, Desk, blobs

from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.session.segment import SegmentSession

Wait = Callable[[Callable[[], bool]], None]


@pytest.fixture
def desk(make_napari_viewer: Any, session: SegmentSession, wait: Wait) -> Desk:
    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="my image", scale=(0.5, 0.25), units=("um", "um"))
    desk = Desk(viewer, session, wait)
    desk.object_at(FIRST)
    desk.object_at(SECOND)
    return desk


def choose(monkeypatch: pytest.MonkeyPatch, path: str) -> list[str]:
    asked: list[str] = []

    def dialog(
        parent: Any, caption: str, start: str, *rest: Any, **options: Any
    ) -> tuple[str, str]:
        asked.append(start)
        return path, ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", dialog)
    yes = QMessageBox.StandardButton.Yes
    monkeypatch.setattr(QMessageBox, "question", lambda *arguments: yes)
    return asked


def test_export_is_read_back_with_its_calibration(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = choose(monkeypatch, str(tmp_path / "out"))
    desk.widget.export()
    desk.wait(lambda: "saved as" in desk.status)
    assert Path(asked[0]).name == "my_image_labels.tif"
    found = read_labels(tmp_path / "out.tif")
    np.testing.assert_array_equal(found.labels, desk.labels)
    assert found.labels.dtype == np.uint8
    assert found.scale == pytest.approx((0.5, 0.25))
    assert found.unit == "um"


def test_a_cancelled_dialog_writes_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, "")
    before = desk.status
    desk.widget.export()
    assert desk.status == before


def test_export_into_a_folder_that_is_not_there(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, str(tmp_path / "missing" / "out.tif"))
    desk.widget.export()
    desk.wait(lambda: "Writing" not in desk.status)
    assert "out.tif" in desk.status or "missing" in desk.status
    assert "saved" not in desk.status


def test_export_into_a_read_only_folder(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Simulated: the superuser may write everywhere.
    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise PermissionError(13, "Permission denied")

    folder = tmp_path / "locked"
    folder.mkdir()
    monkeypatch.setattr(Path, "touch", refuse)
    choose(monkeypatch, str(folder / "out.tif"))
    desk.widget.export()
    desk.wait(lambda: "Writing" not in desk.status)
    assert "no permission" in desk.status
    assert not any(folder.iterdir())
    assert (desk.labels == 2).any()


def test_export_leaves_an_older_file_alone_when_it_fails(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(b"older")

    def refuse(*arguments: Any, **keywords: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    choose(monkeypatch, str(path))
    desk.widget.export()
    desk.wait(lambda: "Writing" not in desk.status)
    assert "saved" not in desk.status
    assert path.read_bytes() == b"older"
