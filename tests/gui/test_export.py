"""Saving with the real dialogs: nothing is replaced that was not asked about by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QMessageBox,
)
from tests.fakes import FakeSegmenter
from tests.gui.window import Window

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread


class Hands:
    """Answers the dialogs that come up: types names, presses buttons, notes what was said.

    Parameters
    ----------
    names : list of str
        For each save dialog; a dialog more than that is closed.
    replace : bool
        The answer to each question.
    kind : str, optional
        Beginning of the kind of file that is chosen; the first when left out.
    """

    def __init__(
        self, names: list[str], *, replace: bool = False, kind: str | None = None
    ) -> None:
        self._names = list(names)
        self._kind = kind
        self._replace = replace
        self.said: list[str] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._look)
        self._timer.start(50)

    def stop(self) -> None:
        self._timer.stop()

    def _look(self) -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QFileDialog):
            if not self._names:
                dialog.reject()
                return
            if self._kind is not None:
                kinds = dialog.nameFilters()
                dialog.selectNameFilter(
                    next(kind for kind in kinds if kind.startswith(self._kind))
                )
            line = dialog.findChild(QLineEdit, "fileNameEdit")
            # pasted: key by key, the dialog's completion would put in names of its own
            line.setText(self._names.pop(0))
            kind = QDialogButtonBox.StandardButton.Save
            save = dialog.findChild(QDialogButtonBox).button(kind)
            QTest.mouseClick(save, Qt.MouseButton.LeftButton)
        elif isinstance(dialog, QMessageBox):
            self.said.append(dialog.text())
            kind = QMessageBox.StandardButton
            wanted = kind.Yes if self._replace else kind.No
            button = dialog.button(wanted) or dialog.button(kind.Ok)
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture(autouse=True)
def _readers(npe2pm: PluginManager) -> None:
    """Let napari open files with its own reader."""
    npe2pm.register(PluginManifest.from_distribution("napari"))


@pytest.fixture
def desk(
    open_window: Callable[[], Window],
    thread: InferenceThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """An image opened from a file, with one accepted object."""
    image = np.zeros((120, 160), dtype=np.uint8)
    image[20:40, 30:50] = 200
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, image)
    window = open_window()
    (layer,) = window.viewer.open(path, plugin="napari")
    window.open_widget(SegmentSession(thread=thread, loader=FakeSegmenter().load))
    window.viewer.fit_to_view()
    window.settle()
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    monkeypatch.chdir(tmp_path)
    return window, path


def export(window: Window, hands: Hands) -> str:
    """Press Export and let the dialogs be answered; what the widget says then."""
    panel = window.widget.panel
    QTest.mouseClick(panel.buttons["export"], Qt.MouseButton.LeftButton)
    hands.stop()
    window.wait(lambda: "Writing" not in panel.status_line.text())
    return str(panel.status_line.text())


def test_the_file_of_the_open_image_is_refused(desk: Any) -> None:
    window, path = desk
    before = path.read_bytes()
    hands = Hands([str(path), str(path.with_suffix(""))], replace=True)
    export(window, hands)
    assert path.read_bytes() == before
    assert len(hands.said) == 2
    assert all("'cells' was read from cells.tif" in text for text in hands.said)


def test_the_file_of_an_image_of_another_window_is_refused(
    desk: Any, make_napari_viewer: Any, tmp_path: Path
) -> None:
    window, _ = desk
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, np.ones((10, 10), np.uint8))
    second = make_napari_viewer(show=True)
    second.open(other, plugin="napari")
    before = other.read_bytes()
    (tmp_path / "link.tif").symlink_to(other)
    hands = Hands([str(other), str(tmp_path / "link.tif")], replace=True)
    export(window, hands)
    assert other.read_bytes() == before
    assert len(hands.said) == 2


@pytest.mark.parametrize("typed", ["out", "out.png"])
@pytest.mark.parametrize("replace", [False, True], ids=["no", "yes"])
def test_the_final_name_is_asked_about(
    desk: Any, tmp_path: Path, typed: str, replace: bool
) -> None:
    window, _ = desk
    there = tmp_path / f"{typed}.tif"
    there.write_bytes(b"somebody's work")
    hands = Hands([str(tmp_path / typed)], replace=replace)
    said = export(window, hands)
    assert f"{typed}.tif exists" in hands.said[0]
    assert (there.read_bytes() != b"somebody's work") == replace
    assert ("is saved as" in said) == replace


def test_a_new_name_is_written_without_a_question(desk: Any, tmp_path: Path) -> None:
    window, _ = desk
    hands = Hands([str(tmp_path / "new")])
    assert "is saved as" in export(window, hands)
    assert not hands.said
    assert tifffile.imread(tmp_path / "new.tif").max() == 1


@pytest.mark.parametrize(
    ("kind", "typed", "written"),
    [
        ("COCO", "cells_labels.tif", "cells_labels.json"),
        ("ImageJ ROI set", "new", "new.zip"),
        ("OME-Zarr", "new", "new.zarr"),
        ("Cellpose", "new", "new_seg.npy"),
        ("Measurements", "new.png", "new.png.csv"),
        ("Training folder for StarDist", "train", "train"),
    ],
)
def test_other_formats(
    desk: Any, tmp_path: Path, kind: str, typed: str, written: str
) -> None:
    window, _ = desk
    said = export(window, Hands([str(tmp_path / typed)], kind=kind))
    assert f"is saved as {tmp_path / written}" in said
    assert (tmp_path / written).exists()
    if kind.startswith("Training"):
        assert "Nothing says which objects are verified" in said
        assert tifffile.imread(tmp_path / "train" / "masks" / "cells.tif").max() == 1


def test_what_a_format_cannot_hold_is_said(desk: Any, tmp_path: Path) -> None:
    window, _ = desk
    said = export(window, Hands([str(tmp_path / "RES")], kind="Cell Tracking"))
    assert "no axis T" in said
    assert not (tmp_path / "RES").exists()


def test_a_folder_with_something_in_it_is_refused(desk: Any, tmp_path: Path) -> None:
    window, _ = desk
    there = tmp_path / "mine"
    there.mkdir()
    (there / "notes.txt").write_text("mine")
    hands = Hands([str(there), str(tmp_path / "other.zarr")], kind="One label TIFF")
    export(window, hands)
    assert (there / "notes.txt").read_text() == "mine"
    assert list(there.iterdir()) == [there / "notes.txt"]
