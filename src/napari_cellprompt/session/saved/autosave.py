"""Where sessions are kept, who may write a file, and the thread that writes.

A session lies beside its image, or in the user's data folder where the image has no file or
its folder cannot be written to. A file has one writer; another viewer of the image takes
another name. A file that this writer does not know is never written over.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import xxhash
from filelock import FileLock, Timeout
from platformdirs import user_data_path

from napari_cellprompt.core.errors import SaveError
from napari_cellprompt.io.session_file import SessionFileError, read_session, write_session

from .recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cellprompt.io.session_types import ImageEntry, Session

    from .recording import Snapshot

__all__ = ["Autosave", "Claim", "Kept", "data_folder", "find_kept", "new_claim"]

_MOST = 1000
"""Sessions of one image."""


def data_folder() -> Path:
    """The user's folder for sessions; another one by ``CELLPROMPT_SESSIONS``."""
    override = os.environ.get("CELLPROMPT_SESSIONS")
    if override:
        return Path(override)
    return Path(user_data_path("napari-cellprompt")) / "sessions"


def _names(image: ImageEntry, beside: bool) -> list[Path]:
    """Where the first session of an image may be, the wanted place first."""
    clean = re.sub(r"[^\w.-]+", "_", image.name).strip("_.") or "image"
    apart = data_folder() / f"{clean[:60]}-{image.fingerprint[:12]}.cellprompt.json"
    if not beside or image.path is None or os.environ.get("CELLPROMPT_SESSIONS"):
        return [apart]
    file = Path(image.path)
    return [file.with_name(f"{file.name}.cellprompt.json"), apart]


def _numbered(first: Path, number: int) -> Path:
    if number == 1:
        return first
    stem = first.name.removesuffix(".json")
    return first.with_name(f"{stem}-{number}.json")


class Claim:
    """The right to write one file, until it is given back or the process ends.

    Parameters
    ----------
    path
        The file; it need not exist.
    wait
        Seconds, for one who is about to give it back.

    Raises
    ------
    Timeout
        When another viewer has it.
    """

    def __init__(self, path: Path, wait: float = 0) -> None:
        self.path = path
        folder = data_folder() / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        name = xxhash.xxh3_64_hexdigest(os.path.realpath(path).encode())
        self._lock = FileLock(folder / f"{name}.lock")
        self._lock.acquire(timeout=wait)
        self._known = _state(path)
        # of a process that was killed while it wrote
        for stale in path.parent.glob(f".{path.name}.*.tmp"):
            with contextlib.suppress(OSError):
                stale.unlink()

    def written(self) -> None:
        """Note that the file is this writer's own."""
        self._known = _state(self.path)

    @property
    def is_ours(self) -> bool:
        """Whether the file is as this writer has left it, or found it."""
        return self._known == _state(self.path)

    def release(self) -> None:
        """Let others write."""
        self._lock.release()


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size, known.st_ino


def new_claim(image: ImageEntry, *, beside: bool = True) -> Claim:
    """Claim a name that no session has yet.

    Raises
    ------
    SaveError
        When there is no place that can be written to.
    """
    for first in _names(image, beside):
        if not _writable(first.parent):
            continue
        for number in range(1, _MOST):
            path = _numbered(first, number)
            if path.exists():
                continue
            with contextlib.suppress(Timeout, OSError):
                claim = Claim(path)
                if not path.exists():
                    return claim
                claim.release()
    raise SaveError(
        f"The session of '{image.name}' cannot be saved: neither beside the image nor in "
        f"{data_folder()} can be written."
    )


def _writable(folder: Path) -> bool:
    try:
        if folder == data_folder():
            folder.mkdir(parents=True, exist_ok=True)
        trial = folder / f".cellprompt-{os.getpid()}.tmp"
        trial.touch()
        trial.unlink()
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A session that can be gone on with."""

    claim: Claim
    session: Session


def find_kept(image: ImageEntry, *, beside: bool = True) -> tuple[Kept | None, list[str]]:
    """The newest session of an image, and what to say of files that cannot be used.

    The file is claimed: give it back where it is not wanted.
    """
    notes: list[str] = []
    for path in _newest_first(image, beside):
        try:
            # a widget that was just closed may still be writing
            claim = Claim(path, wait=2)
        except Timeout:
            notes.append(
                f"{path.name} is in use by another viewer: this one keeps a session of "
                "its own."
            )
            continue
        except OSError:
            continue
        try:
            session = read_session(path)
        except SessionFileError as error:
            notes.append(f"{error} It is left as it is.")
            claim.release()
            continue
        same = session.image.fingerprint == image.fingerprint
        if same and session.image.shape == image.shape:
            return Kept(claim, session), notes
        notes.append(f"{path.name} is of an image with other pixels; it is left as it is.")
        claim.release()
    return None, notes


def _newest_first(image: ImageEntry, beside: bool) -> list[Path]:
    return sorted(_existing(image, beside), key=lambda path: -path.stat().st_mtime_ns)


def _existing(image: ImageEntry, beside: bool) -> Iterator[Path]:
    for first in _names(image, beside):
        for number in range(1, _MOST):
            path = _numbered(first, number)
            if not path.exists():
                break
            yield path


class Autosave:
    """Writes the snapshots of one session to its file, in a thread of its own.

    Parameters
    ----------
    image
        Whose session it is.
    kept
        A session to go on with; a new file is begun when left out.
    beside
        Whether files lie beside images.
    """

    def __init__(
        self, image: ImageEntry, kept: Kept | None = None, *, beside: bool = True
    ) -> None:
        self._image = image
        self._beside = beside
        self._claim = None if kept is None else kept.claim
        self._session = None if kept is None else kept.session
        self._recorder: Recorder | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="cellprompt-autosave")
        self._last: tuple[object, ...] | None = None
        self.seconds = 0.0
        """How long the last snapshot took to be compared with what is known."""

    @property
    def path(self) -> Path | None:
        """The file; None before anything was written."""
        return None if self._claim is None else self._claim.path

    def save(self, snapshot: Snapshot) -> Future[tuple[bool, str]]:
        """Write a snapshot; whether all of it is in the file, and what to tell the user.

        The future fails with a ``SaveError`` where the file cannot be written.
        """
        return self._pool.submit(self._save, snapshot)

    def close(self) -> None:
        """Finish what is being written, and let others write."""
        self._pool.submit(self._let_go)
        self._pool.shutdown(wait=False)

    def wait(self) -> None:
        """Until everything that was handed over is written."""
        self._pool.submit(lambda: None).result()

    def _let_go(self) -> None:
        if self._claim is not None:
            self._claim.release()

    def _save(self, snapshot: Snapshot) -> tuple[bool, str]:
        if self._recorder is None:
            self._recorder = Recorder(self._session)
        recorder = self._recorder
        started = time.perf_counter()
        complete = recorder.take(snapshot)
        self.seconds = time.perf_counter() - started
        objects = recorder.encode_objects(snapshot.records)
        steps = recorder.encoded_steps
        head = replace(snapshot.head, propagation=snapshot.propagation())
        # a file that says nothing new but its date is not written
        content = (head.layers, head.drawing, head.propagation, head.settings)
        now = (*content, head.exports, tuple(objects), len(steps), steps[-1:])
        if now == self._last or not (steps or head.drawing or head.propagation):
            return complete, ""
        claim, note = self._claimed()
        try:
            write_session(claim.path, head, objects=objects, steps=steps)
        except SaveError:
            if not self._beside or self._image.path is None:
                raise
            # the folder of the image cannot be written to any more
            self._beside = False
            claim.release()
            self._claim = None
            claim, _ = self._claimed()
            write_session(claim.path, head, objects=objects, steps=steps)
            note = f"The session is kept as {claim.path} from now on."
        claim.written()
        self._last = now
        return complete, note

    def _claimed(self) -> tuple[Claim, str]:
        """Have a file that may be written; what to say where it is another one."""
        before = self._claim
        if before is not None and before.is_ours:
            return before, ""
        claim = self._claim = new_claim(self._image, beside=self._beside)
        if before is None:
            return claim, ""
        before.release()
        return claim, (
            f"{before.path.name} was changed by someone else: this session is kept as "
            f"{claim.path.name} from now on."
        )
