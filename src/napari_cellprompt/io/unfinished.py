"""Parts of a result that are finished before the whole is: a folder beside the output."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import SaveError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

__all__ = ["Unfinished", "folder_of"]

_KEY = "request.txt"
_ENDING = ".npz"


def folder_of(output: Path) -> Path:
    """Where the finished parts of an output are kept."""
    return output.with_name(f"{output.name}.unfinished")


class Unfinished:
    """Keeps the finished parts of one output until the output itself is written.

    A folder of another request is emptied at the first part that is kept. Where nothing
    can be written, nothing is kept, and the work goes on.

    Parameters
    ----------
    output
        What is made; the folder ``NAME.unfinished`` lies beside it.
    key
        Says what was asked for: parts are used again for the same key only.
    """

    def __init__(self, output: Path, key: str) -> None:
        self.folder = folder_of(output)
        self._key = key
        self._mine = self._is_mine()
        self.problem: str | None = None
        """A sentence on why nothing is kept any more; None where all is well."""

    def __len__(self) -> int:
        return sum(1 for _ in self._files())

    def get(self, name: str) -> Arrays | None:
        """A part that was finished; None where there is none or it cannot be read."""
        path = self.folder / f"{name}{_ENDING}"
        if not self._mine or not path.is_file():
            return None
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return None

    def names(self) -> list[str]:
        """Of all parts, in alphabetical order."""
        return sorted(path.name.removesuffix(_ENDING) for path in self._files())

    def put(self, name: str, arrays: Arrays) -> None:
        """Keep a finished part."""
        if self.problem is not None:
            return
        try:
            self._begin()
            with replacing(self.folder / f"{name}{_ENDING}") as temporary:
                with temporary.open("wb") as file:
                    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        except (OSError, SaveError) as error:
            self.problem = f"Finished planes cannot be kept, the work goes on: {error}"

    def drop(self) -> None:
        """Remove the parts: the output is there."""
        if self._mine:
            self._empty()
            self._mine = False

    def _begin(self) -> None:
        """Make the folder, or take it over from another request."""
        if self._mine:
            return
        if self.folder.is_dir():
            self._empty()
        self.folder.mkdir(exist_ok=True)
        with replacing(self.folder / _KEY) as temporary:
            temporary.write_text(self._key, encoding="utf-8")
        self._mine = True

    def _empty(self) -> None:
        """Remove what was written here, and the folder if nothing else is in it."""
        for path in (self.folder / _KEY, *self.folder.glob(f"*{_ENDING}")):
            with contextlib.suppress(OSError):
                path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _is_mine(self) -> bool:
        try:
            return (self.folder / _KEY).read_text(encoding="utf-8") == self._key
        except (OSError, UnicodeDecodeError):
            return False

    def _files(self) -> Iterator[Path]:
        return self.folder.glob(f"*{_ENDING}") if self._mine else iter(())
