"""Where results go: checked before the work, and kept somewhere when it cannot be there."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from napari_cellprompt.core.errors import ImageError, SaveError

from .label_tiff import check_grid, write_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_cellprompt.core.images.sampling import ArrayData

    from .image_files import LabelGrid

__all__ = [
    "check_folder",
    "check_label_file",
    "check_output",
    "is_same_file",
    "make_folder",
    "save_all",
    "save_labels",
    "write_or_keep",
]

# Labels are compressed to a hundredth of their size, or less.
_SHARE = 100
_LEAST_BYTES = 1 << 16


def is_same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file: by links, or by case where it does not count."""
    try:
        return first.samefile(second)
    except OSError:
        return first.resolve() == second.resolve()


def check_output(path: Path, inputs: Iterable[Path | None] = (), nbytes: int = 0) -> None:
    """Refuse before the work a file that could not be written after it.

    Parameters
    ----------
    path
        The file to be written.
    inputs
        Files that are read, none of which may be replaced.
    nbytes
        About how many bytes will be written.

    Raises
    ------
    ImageError
        When the path is that of an input, or no file can be there.
    SaveError
        When there is no permission, or no space.
    """
    for source in inputs:
        if source is not None and is_same_file(path, source):
            raise ImageError(
                f"{path.name} would overwrite {source}, which is read here: choose another "
                f"name for the output."
            )
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise ImageError(f"{path} is a folder: give the name of a file.")
    if not target.parent.is_dir():
        raise ImageError(f"The folder {target.parent} for {path.name} does not exist.")
    if target.exists() and not os.access(target, os.W_OK):
        raise SaveError(f"{path} is read-only: choose another name for the output.")
    check_folder(target.parent, nbytes)


def check_folder(folder: Path, nbytes: int = 0) -> None:
    """Raise ``SaveError`` when so many bytes cannot be written to a folder."""
    trial = folder / f".{secrets.token_hex(8)}.tmp"
    try:
        # Access rights alone do not tell of read-only disks and full quotas.
        with trial.open("xb") as file:
            file.write(b"\0")
        trial.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        trial.unlink(missing_ok=True)
        raise SaveError(
            f"Cannot write to the folder {folder}: {error.strerror or error}."
        ) from error
    if free < max(nbytes, _LEAST_BYTES):
        raise SaveError(
            f"The disk of {folder} is full: {free / 2**20:.1f} MB are free, about "
            f"{max(nbytes, _LEAST_BYTES) / 2**20:.1f} MB are needed."
        )


def make_folder(folder: Path) -> None:
    """Make a folder for results, and check that it can be written to.

    Raises
    ------
    SaveError
        When it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(
            f"Cannot make the folder {folder}: {error.strerror or error}."
        ) from error
    check_folder(folder)


def check_label_file(
    path: Path, inputs: Iterable[Path | None] = (), grid: LabelGrid | None = None
) -> None:
    """``check_output`` for a label TIFF, and whether it can hold labels on a grid."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ImageError(f"The labels must go to a .tif file: got {path}.")
    nbytes = 0
    if grid is not None:
        check_grid(grid)
        nbytes = 1
        for length in grid.shape:
            nbytes *= length
    check_output(path, inputs, nbytes // _SHARE)


def save_labels(path: Path, labels: ArrayData, grid: LabelGrid) -> Path:
    """Write labels, or keep them elsewhere; see ``write_labels`` and ``write_or_keep``."""

    def write(target: Path) -> None:
        write_labels(
            target,
            labels,
            axes=grid.axes,
            scale=grid.scale,
            unit=grid.unit,
            known=grid.known,
        )

    return write_or_keep(path, write)


def save_all(*writers: Callable[[], object]) -> None:
    """Write several results; one that fails does not cost the others.

    Raises
    ------
    SaveError
        With what was wrong with each that could not be written, once all were tried.
    """
    problems = []
    for write in writers:
        try:
            write()
        except SaveError as error:
            problems.append(str(error))
    if problems:
        raise SaveError(" ".join(problems))


def write_or_keep(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file or, where that fails, another one: no result of a long run is lost.

    Parameters
    ----------
    path
        Where it belongs.
    write
        Writes to the path that it is given, or raises ``SaveError``.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    SaveError
        When it could not be written; the message says where it was kept.
    """
    try:
        write(path)
    except SaveError as error:
        for folder in (
            path.parent,
            platformdirs.user_data_path("napari-cellprompt") / "kept",
            Path(tempfile.gettempdir()),
        ):
            kept = folder / f"{path.stem}_{secrets.token_hex(3)}{path.suffix}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write(kept)
            except OSError:
                continue
            raise SaveError(f"{error} The result is kept as {kept}.") from error
        raise
    return path
