"""Whether files of weights are what they are said to be."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import CheckpointError, SaveError

from .folder import cache_folder

__all__ = ["digest_of", "verify_file"]

_log = logging.getLogger(__name__)

_FILE = "verified.json"


def digest_of(path: Path) -> str:
    """The digest by which a file is known again: ``xxh128:...``, fast enough for each load.

    Raises
    ------
    CheckpointError
        Where the file cannot be read.
    """
    return f"xxh128:{_hash(path, 'xxh128')}"


def verify_file(path: Path, digest: str, name: str) -> None:
    """Compare a file with the published digest, once until it changes.

    Parameters
    ----------
    path
        The file.
    digest
        ``sha256:...`` or ``xxh128:...``.
    name
        Of the model, for people to read.

    Raises
    ------
    CheckpointError
        Where the file is another one.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    state = [stat.st_size, stat.st_mtime_ns, digest]
    known = _read()
    if known.get(str(path)) == state:
        return
    kind, _, wanted = digest.partition(":")
    if _hash(path, kind) != wanted:
        raise CheckpointError(
            f"{path} is not the published file of {name}: its digest differs. Delete it "
            f"and download it again; if it is a model of your own, move it elsewhere and "
            "import it under a name of its own."
        )
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with replacing(cache_folder() / _FILE) as temporary:
            temporary.write_text(json.dumps({**known, str(path): state}, indent=1))
    except (OSError, SaveError) as error:
        # a folder that others share may be read-only: then each load computes it again
        _log.debug("not remembered that %s is verified: %s", path, error)


def _hash(path: Path, kind: str) -> str:
    import pooch

    try:
        return str(pooch.file_hash(str(path), alg=kind))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error


def _read() -> dict[str, Any]:
    try:
        known = json.loads((cache_folder() / _FILE).read_text())
    except (OSError, ValueError):
        # it only saves time
        return {}
    return known if isinstance(known, dict) else {}
