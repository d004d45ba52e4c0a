"""Asks where to save: the name that will be written is the name that is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_cellprompt.layers.files import layer_read_from

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SaveKind", "ask_kind_and_place", "ask_where_to_save", "final_name"]


@dataclass(frozen=True, slots=True)
class SaveKind:
    """A kind of file, or of folder, that can be chosen in the dialog."""

    title: str
    suffixes: tuple[str, ...] = ()
    """Lower case, with their dots; the first is added to a name that has none of them."""
    folder: bool = False
    """Whether a folder is written: one that is there must be empty."""

    @property
    def pattern(self) -> str:
        """As Qt's dialog wants it."""
        return f"{self.title} ({' '.join(f'*{end}' for end in self.suffixes) or '*'})"


def final_name(path: Path, suffixes: Sequence[str], others: Sequence[str] = ()) -> Path:
    """The path with the first of the suffixes, where it has none of them.

    Parameters
    ----------
    path : Path
        As it was typed.
    suffixes : sequence of str
        Of the kind that is chosen.
    others : sequence of str
        Those of other kinds: they give way, others stay before the new one.
    """
    name = path.name.lower()
    if not suffixes or any(name.endswith(suffix) for suffix in suffixes):
        return path
    stem = path.name
    for suffix in sorted(others, key=len, reverse=True):
        if name.endswith(suffix):
            stem = path.name[: -len(suffix)]
            break
    return path.with_name(stem + suffixes[0])


def ask_where_to_save(
    parent: QWidget, title: str, start: Path, kind: str, suffixes: Sequence[str]
) -> Path | None:
    """The file to write, or None when the user does not want to any more.

    Parameters are those of ``ask_kind_and_place``, for one kind.
    """
    chosen = ask_kind_and_place(parent, title, start, [SaveKind(kind, tuple(suffixes))])
    return None if chosen is None else chosen[0]


def ask_kind_and_place(
    parent: QWidget, title: str, start: Path, kinds: Sequence[SaveKind]
) -> tuple[Path, SaveKind] | None:
    """What to write and where, or None when the user does not want to any more.

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
    kinds : sequence of SaveKind
        To choose from; the first is proposed.
    """
    patterns = [kind.pattern for kind in kinds]
    every = [suffix for kind in kinds for suffix in kind.suffixes]
    pattern = patterns[0]
    while True:
        name, pattern = QFileDialog.getSaveFileName(
            parent,
            title,
            str(start),
            ";;".join(patterns),
            pattern,
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return None
        kind = kinds[patterns.index(pattern)] if pattern in patterns else kinds[0]
        path = final_name(Path(name), kind.suffixes, every if len(kinds) > 1 else ())
        start = path
        layer = layer_read_from(path)
        if layer is not None:
            QMessageBox.warning(
                parent,
                title,
                f"'{layer.name}' was read from {path.name}, which would be lost. Choose "
                "another name.",
            )
        elif kind.folder and path.exists():
            if path.is_dir() and not any(path.iterdir()):
                return path, kind
            QMessageBox.warning(
                parent,
                title,
                f"{path.name} exists, and {kind.title} is a folder of its own. Choose "
                "another name.",
            )
        elif path.is_dir():
            QMessageBox.warning(parent, title, f"{path.name} is a folder.")
        elif not path.exists() or _may_replace(parent, title, path):
            return path, kind


def _may_replace(parent: QWidget, title: str, path: Path) -> bool:
    answer = QMessageBox.question(
        parent,
        title,
        f"{path.name} exists in {path.parent}. Replace it?",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        QMessageBox.StandardButton.No,
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
