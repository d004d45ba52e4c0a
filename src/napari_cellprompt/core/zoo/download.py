"""Fetches published weights: verified, whole or not at all, and resumable."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import DownloadError, SaveError

from .cancellable import patiently
from .folder import cache_folder, micro_sam_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from .registry import ModelSpec, WeightsSource

__all__ = ["Progress", "address", "download_weights"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the total, None where that is unknown."""

TIMEOUT = 30.0
"""Seconds without a single byte after which a server counts as silent."""
_CHUNK = 1 << 18


def address(source: WeightsSource) -> str:
    """Where the file is fetched: the published place, or ``CELLPROMPT_MIRROR``.

    The variable is a prefix to which the name of the file is appended.
    """
    mirror = os.environ.get("CELLPROMPT_MIRROR")
    return f"{mirror.rstrip('/')}/{source.file_name}" if mirror else source.url


def download_weights(
    spec: ModelSpec,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Fetch the weights of a model into the cache folder, unless they are there.

    What was fetched before an interruption is kept beside the file and continued where
    the server allows it. Only a file whose digest is right gets its final name. Where
    micro-sam has fetched the same file before, that one is copied.

    Parameters
    ----------
    spec
        A model with a source.
    progress
        Called after every piece of 256 kB.
    cancelled
        Asked after every piece, and ten times a second while none comes.
    timeout
        Seconds to wait for a silent server.

    Returns
    -------
    Path
        The verified file.

    Raises
    ------
    DownloadError
        With what to do: no source, no connection, a wrong answer, wrong content, no
        space, no permission.
    concurrent.futures.CancelledError
        Where ``cancelled`` said so.
    """
    import pooch

    # it would report each download on stderr, beside our own progress
    pooch.get_logger().setLevel("WARNING")
    source = spec.source
    if source is None:
        raise DownloadError(
            f"{spec.name} cannot be downloaded; import its file: "
            f"cellprompt models import FILE --name {spec.name}."
        )
    folder = cache_folder()
    target = folder / source.file_name
    fetcher = _Fetcher(spec, source, target, progress, cancelled, timeout)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not target.is_file():
            _copy_from_micro_sam(spec, source, target)
        found = pooch.retrieve(
            url=address(source),
            known_hash=source.digest,
            fname=source.file_name,
            path=folder,
            downloader=fetcher,
        )
    except ValueError as error:
        # pooch has removed what did not match
        raise DownloadError(
            f"What {address(source)} sent is not the file of {spec.name}: its digest is "
            f"not the published one. Nothing was kept. Try again; should it happen again, "
            f"{_by_hand(source, target)}"
        ) from error
    except (DownloadError, SaveError):
        raise
    except OSError as error:
        raise DownloadError(
            f"{source.file_name} cannot be written to {folder}: {_reason(error)} The "
            "variable CELLPROMPT_CACHE names another folder."
        ) from error
    return Path(found)


def _copy_from_micro_sam(spec: ModelSpec, source: WeightsSource, target: Path) -> None:
    """Take the file that micro-sam has of a model, if it is the published one."""
    import pooch

    theirs = micro_sam_folder() / spec.name.removeprefix("sam_")
    if spec.family != "sam1" or not theirs.is_file():
        return
    kind, _, wanted = source.digest.partition(":")
    if pooch.file_hash(str(theirs), alg=kind) == wanted:
        with replacing(target) as temporary:
            shutil.copyfile(theirs, temporary)


class _Fetcher:
    """What pooch calls to fetch one file."""

    def __init__(
        self,
        spec: ModelSpec,
        source: WeightsSource,
        target: Path,
        progress: Progress | None,
        cancelled: Callable[[], bool] | None,
        timeout: float,
    ) -> None:
        self.spec, self.source, self.target = spec, source, target
        self.progress, self.cancelled, self.timeout = progress, cancelled, timeout

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Fetch ``url`` into ``output_file``."""
        import requests

        with _part(self.target) as part:
            try:
                self._fetch(url, part)
            except requests.exceptions.ProxyError as error:
                raise DownloadError(
                    f"The proxy refused the connection to {url}. Check the variable "
                    f"HTTPS_PROXY, or {_by_hand(self.source, self.target)}"
                ) from error
            except requests.exceptions.Timeout as error:
                raise DownloadError(
                    f"{url} did not answer for {self.timeout:g} seconds. Try again: the "
                    f"download goes on where it stopped. Or {self._hand}"
                ) from error
            except (
                requests.exceptions.ConnectionError,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                raise DownloadError(
                    f"There is no connection to {url}, or it broke. Check the network and "
                    f"try again: the download goes on where it stopped. Or {self._hand}"
                ) from error
            except requests.exceptions.RequestException as error:
                raise DownloadError(
                    f"{url} could not be fetched ({error}). You can {self._hand}"
                ) from error
            part.replace(output_file)

    @property
    def _hand(self) -> str:
        return _by_hand(self.source, self.target)

    def _fetch(self, url: str, part: Path) -> None:
        import requests

        there = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={there}-"} if there else {}
        pieces = patiently(lambda: _talk(url, headers, self.timeout), self.cancelled)
        answer, _ = next(pieces)
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            # more is there than the file has: begin again
            part.unlink(missing_ok=True)
            self._fetch(url, part)
            return
        if answer.status_code >= 400:
            raise DownloadError(
                f"{url} answered {answer.status_code} {answer.reason}: "
                f"{_meaning(answer.status_code)} Or {self._hand}"
            )
        continued = answer.status_code == requests.codes.partial_content
        there = there if continued else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else there + int(length)
        self._tell(there, total)
        with part.open("ab" if continued else "wb") as file:
            for _, piece in pieces:
                file.write(piece)
                there += len(piece)
                self._tell(there, total)
        if total is not None and there != total:
            raise DownloadError(
                f"The connection to {url} ended after {there} of {total} bytes. Try again: "
                f"the download goes on where it stopped. Or {self._hand}"
            )

    def _tell(self, there: int, total: int | None) -> None:
        if self.cancelled is not None and self.cancelled():
            raise CancelledError
        if self.progress is not None:
            self.progress(there, self.source.nbytes if total is None else total)


def _talk(
    url: str, headers: dict[str, str], timeout: float
) -> Iterator[tuple[requests.Response, bytes]]:
    """The answer of a server with nothing, then with each piece of its content."""
    import requests

    with requests.get(
        url, stream=True, timeout=(timeout, timeout), headers=headers
    ) as answer:
        yield answer, b""
        if answer.status_code < 400:
            for piece in answer.iter_content(_CHUNK):
                yield answer, piece


@contextlib.contextmanager
def _part(target: Path) -> Iterator[Path]:
    """The file in which a download collects what has come.

    One download of a file at a time continues ``NAME.part``; while one does, another
    works in a file of its own, so that the two never mix. The system gives the lock of
    a download back that has died; the file of the lock, which is empty, stays.
    """
    import filelock

    lock = filelock.FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        own = target.with_name(f"{target.name}.{secrets.token_hex(4)}.part")
        try:
            yield own
        finally:
            own.unlink(missing_ok=True)
        return
    try:
        yield target.with_name(f"{target.name}.part")
    finally:
        lock.release()


def _meaning(status: int) -> str:
    """What an HTTP status of 400 or more means for somebody who wants the file."""
    if status in (401, 403, 407, 451):
        return "access is refused. Some publishers want you to sign in."
    if status in (408, 425, 429) or status >= 500:
        return "the server has trouble or is busy. Try again later."
    return "the file is not there (any more). You may find it elsewhere."


def _by_hand(source: WeightsSource, target: Path) -> str:
    return f"fetch {source.url} in a browser and save it as {target}."


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full."
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return "no permission to write there."
    return f"{error.strerror or error}."
