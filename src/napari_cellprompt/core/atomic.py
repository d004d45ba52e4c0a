"""Write a file or a folder completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SaveError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["making_folder", "replacing"]


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when all went well.

    The new file is flushed to the disk before it replaces the old one in one step. On
    any error it is removed and the old file stays as it was.

    Raises
    ------
    SaveError
        When the folder is missing or read-only, the disk is full, and the like.
    """
    # A link stays a link: the file that it points to is replaced.
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise SaveError(f"Cannot write {path}: it is a folder.")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        if not target.parent.is_dir():
            raise SaveError(
                f"Cannot write {path}: the folder {target.parent} does not exist."
            )
        # Made here, so that a folder that cannot be written to is noticed before the work.
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except SaveError:
        raise
    except OSError as error:
        raise SaveError(f"Cannot write {path}: {_reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def making_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside ``path`` that gets its name when all went well.

    A folder with something in it is never replaced: nobody can tell here whose that is.
    On any error the temporary folder is removed.

    Raises
    ------
    SaveError
        When there is a file or a folder that is not empty, no permission, no space.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SaveError(
            f"{path} exists and is not an empty folder: choose another name, so that "
            f"nothing in it is lost."
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        if not target.parent.is_dir():
            raise SaveError(
                f"Cannot write {path}: the folder {target.parent} does not exist."
            )
        temporary.mkdir()
        yield temporary
        if target.exists():
            # Windows renames to no folder that is there, not even an empty one.
            target.rmdir()
        temporary.rename(target)
    except SaveError:
        raise
    except OSError as error:
        raise SaveError(f"Cannot write {path}: {_reason(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full."
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "no permission to write there (a read-only folder, or a file in use)."
    return f"{error.strerror or error}."
