"""Downloads against a local server that behaves well or badly."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import xxhash

from napari_cellprompt.core.errors import DownloadError
from napari_cellprompt.core.zoo.download import address, download_weights
from napari_cellprompt.core.zoo.registry import MODELS, ModelSpec, WeightsSource
from napari_cellprompt.core.zoo.user_models import local_file

CONTENT = os.urandom(3 << 20)


class Server(ThreadingHTTPServer):
    """Serves ``CONTENT`` in the way that the path names."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.once: set[str] = set()

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        server: Server = self.server
        kind = self.path.strip("/").split("/")[0]
        wanted = self.headers.get("Range")
        server.requests.append((self.path, wanted))
        if kind in ("missing", "403", "503"):
            self.send_error(404 if kind == "missing" else int(kind))
            return
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if kind == "norange":
            first = 0
        if first > len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[first:] if kind != "wrong" else bytes(len(CONTENT))
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if kind == "slow":
            self.wfile.write(body[:1000])
            self.wfile.flush()
            time.sleep(1.5)
            return
        if kind in ("truncated", "broken", "norange") and kind not in server.once:
            server.once.add(kind)
            self.wfile.write(body[: 1 << 20])
            self.connection.close()
            return
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "models"))
    monkeypatch.delenv("CELLPROMPT_MIRROR", raising=False)
    return tmp_path / "models"


def spec_at(url: str, digest: str = "") -> ModelSpec:
    digest = digest or f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    source = WeightsSource("weights.pt", url, digest, len(CONTENT))
    return replace(MODELS["sam2.1_hiera_tiny"], name="test", source=source)


def leftovers(folder: Path) -> list[str]:
    """What lies in a folder, but for the empty files of locks."""
    names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
    return [name for name in names if not name.endswith(".lock")]


def test_a_good_download_is_verified_and_reported(server: Server, folder: Path) -> None:
    spec, told = spec_at(f"{server.root}/good"), []
    assert local_file(spec) is None
    path = download_weights(spec, progress=lambda *state: told.append(state))
    assert path == folder / "weights.pt" and path.read_bytes() == CONTENT
    assert local_file(spec) == path and leftovers(folder) == ["weights.pt"]
    assert told[0] == (0, len(CONTENT)) and told[-1] == (len(CONTENT), len(CONTENT))
    assert [there for there, _ in told] == sorted(there for there, _ in told)


def test_what_is_there_is_not_fetched_again(server: Server, folder: Path) -> None:
    spec = spec_at(f"{server.root}/good")
    download_weights(spec)
    download_weights(spec)
    assert len(server.requests) == 1


def test_xxh128_digests_are_verified_too(server: Server, folder: Path) -> None:
    good = f"xxh128:{xxhash.xxh128_hexdigest(CONTENT)}"
    assert download_weights(spec_at(f"{server.root}/good", good)).exists()
    (folder / "weights.pt").unlink()
    with pytest.raises(DownloadError, match="digest"):
        download_weights(spec_at(f"{server.root}/good", "xxh128:" + "0" * 32))
    assert leftovers(folder) == []


def test_wrong_bytes_are_not_kept(server: Server, folder: Path) -> None:
    with pytest.raises(DownloadError, match=r"not the file of test.*weights\.pt"):
        download_weights(spec_at(f"{server.root}/wrong"))
    assert leftovers(folder) == []


def test_a_missing_file_says_where_to_put_it_by_hand(server: Server, folder: Path) -> None:
    with pytest.raises(DownloadError, match="404") as caught:
        download_weights(spec_at(f"{server.root}/missing"))
    assert str(folder / "weights.pt") in str(caught.value)
    assert leftovers(folder) == []


@pytest.mark.parametrize(
    ("status", "advice"), [("403", "access is refused"), ("503", "Try again later")]
)
def test_other_answers_say_what_to_do(
    server: Server, folder: Path, status: str, advice: str
) -> None:
    with pytest.raises(DownloadError, match=f"answered {status} .*{advice}"):
        download_weights(spec_at(f"{server.root}/{status}"))
    assert leftovers(folder) == []


@pytest.mark.parametrize("kind", ["truncated", "broken"])
def test_a_broken_download_goes_on_where_it_stopped(
    server: Server, folder: Path, kind: str
) -> None:
    spec = spec_at(f"{server.root}/{kind}")
    with pytest.raises(DownloadError, match="goes on where it stopped"):
        download_weights(spec)
    assert leftovers(folder) == ["weights.pt.part"]
    kept = (folder / "weights.pt.part").stat().st_size
    assert 0 < kept <= 1 << 20
    assert download_weights(spec).read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={kept}-"
    assert leftovers(folder) == ["weights.pt"]


def test_a_server_that_cannot_resume_begins_again(server: Server, folder: Path) -> None:
    spec = spec_at(f"{server.root}/norange")
    with pytest.raises(DownloadError):
        download_weights(spec)
    assert download_weights(spec).read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_dropped(server: Server, folder: Path) -> None:
    folder.mkdir()
    (folder / "weights.pt.part").write_bytes(bytes(len(CONTENT) + 5))
    assert download_weights(spec_at(f"{server.root}/good")).read_bytes() == CONTENT


def test_a_silent_server_times_out(server: Server, folder: Path) -> None:
    with pytest.raises(DownloadError, match=r"did not answer|it broke"):
        download_weights(spec_at(f"{server.root}/slow"), timeout=0.3)
    assert not (folder / "weights.pt").exists()


def test_no_connection_is_a_sentence(folder: Path) -> None:
    with pytest.raises(DownloadError, match="no connection") as caught:
        download_weights(spec_at("http://127.0.0.1:9/weights.pt"))
    assert str(folder / "weights.pt") in str(caught.value)


def test_a_refusing_proxy_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(DownloadError, match="proxy"):
        download_weights(spec_at("http://example.org/weights.pt"))


@pytest.mark.alone
def test_a_silent_server_does_not_hold_up_a_cancel(server: Server, folder: Path) -> None:
    asked = threading.Event()
    timer = threading.Timer(0.3, asked.set)
    timer.start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        download_weights(spec_at(f"{server.root}/slow"), cancelled=asked.is_set, timeout=30)
    assert time.monotonic() - started < 1.2, "the server says nothing for 1.5 s"


def test_cancelling_keeps_the_part_and_no_file(server: Server, folder: Path) -> None:
    seen: list[int] = []

    def stop() -> bool:
        return len(seen) >= 3

    spec = spec_at(f"{server.root}/good")
    with pytest.raises(CancelledError):
        download_weights(spec, progress=lambda at, _: seen.append(at), cancelled=stop)
    assert leftovers(folder) == ["weights.pt.part"]
    assert download_weights(spec).read_bytes() == CONTENT
    assert server.requests[-1][1] is not None, "it was not continued"


def test_two_at_once_do_not_mix(server: Server, folder: Path) -> None:
    spec = spec_at(f"{server.root}/good")
    for _ in range(10):
        with ThreadPoolExecutor(8) as pool:
            paths = list(pool.map(lambda _: download_weights(spec), range(8)))
        assert {path.read_bytes() == CONTENT for path in paths} == {True}
        assert leftovers(folder) == ["weights.pt"]
        (folder / "weights.pt").unlink()


def test_the_lock_of_a_dead_download_is_ignored(server: Server, folder: Path) -> None:
    folder.mkdir()
    lock, part = folder / "weights.pt.lock", folder / "weights.pt.part"
    lock.touch()
    part.write_bytes(CONTENT[:1000])
    download_weights(spec_at(f"{server.root}/good"))
    assert server.requests[-1][1] == "bytes=1000-"
    assert leftovers(folder) == ["weights.pt"]


def test_a_mirror_takes_the_place_of_the_publisher(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLPROMPT_MIRROR", f"{server.root}/mirror/")
    spec = spec_at("http://127.0.0.1:9/elsewhere/weights.pt")
    assert address(spec.source) == f"{server.root}/mirror/weights.pt"
    assert download_weights(spec).read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_a_sentence(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "file" / "models"))
    with pytest.raises(DownloadError, match="CELLPROMPT_CACHE"):
        download_weights(spec_at(f"{server.root}/good"))


def test_a_full_disk_is_a_sentence(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DownloadError, match="disk is full"):
        download_weights(spec_at(f"{server.root}/good"))
    assert not (folder / "weights.pt").exists()


def test_a_model_without_a_source_says_how_to_import_it() -> None:
    with pytest.raises(DownloadError, match="models import"):
        download_weights(MODELS["medsam2"])


@pytest.mark.parametrize("same", [True, False], ids=["same", "older"])
def test_what_micro_sam_has_fetched_is_copied_if_it_is_the_same(
    server: Server,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    same: bool,
) -> None:
    monkeypatch.setenv("MICROSAM_CACHEDIR", str(tmp_path / "theirs"))
    theirs = tmp_path / "theirs" / "models" / "vit_b"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(CONTENT if same else CONTENT[:-1])
    source = spec_at(f"{server.root}/good").source
    spec = replace(MODELS["sam_vit_b"], source=source)
    assert local_file(spec) is None, "nothing is taken before it is asked for"
    path = download_weights(spec)
    assert path.parent == folder and path.read_bytes() == CONTENT
    assert len(server.requests) == (0 if same else 1)
    assert theirs.is_file()
