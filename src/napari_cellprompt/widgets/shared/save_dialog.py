"""Asks where to save: the name that will be written is the name that is asked about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_cellprompt.layers.files import layer_read_from

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ask_where_to_save", "final_name"]


def final_name(path: Path, suffixes: Sequence[str]) -> Path:
    """The path with the first of the suffixes, where it has none of them."""
    if path.suffix.lower() in suffixes:
        return path
    return path.with_name(path.name + suffixes[0])


def ask_where_to_save(
    parent: QWidget, title: str, start: Path, kind: str, suffixes: Sequence[str]
) -> Path | None:
    """The file to write, or None when the user does not want to any more.

    Qt asks about the name as it was typed, and knows nothing of a suffix that is added
    later: so it is not left to Qt. A file that an open layer was read from is refused.

    Parameters
    ----------
    parent : QWidget
        Below the dialog.
    title : str
        Of the dialog.
    start : Path
        What is proposed.
    kind : str
        What the files are called, such as "TIFF".
    suffixes : sequence of str
        Lower case, with their dots; the first is added to a name that has none of them.
    """
    pattern = f"{kind} ({' '.join(f'*{suffix}' for suffix in suffixes)})"
    while True:
        name, _ = QFileDialog.getSaveFileName(
            parent,
            title,
            str(start),
            pattern,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return None
        path = final_name(Path(name), suffixes)
        start = path
        layer = layer_read_from(path)
        if layer is not None:
            QMessageBox.warning(
                parent,
                title,
                f"'{layer.name}' was read from {path.name}, which would be lost. Choose "
                "another name.",
            )
        elif path.is_dir():
            QMessageBox.warning(parent, title, f"{path.name} is a folder.")
        elif not path.exists() or _may_replace(parent, title, path):
            return path


def _may_replace(parent: QWidget, title: str, path: Path) -> bool:
    answer = QMessageBox.question(
        parent,
        title,
        f"{path.name} exists in {path.parent}. Replace it?",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        QMessageBox.StandardButton.No,
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
