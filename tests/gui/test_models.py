"""The Models widget with the mouse: download, cancel, import, remove, report."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton
from tests.gui.window import LEFT, Window

from napari_cellprompt.core.networks.build import build_sam2
from napari_cellprompt.core.zoo import registry
from napari_cellprompt.core.zoo.registry import MODELS, NETWORKS, WeightsSource
from napari_cellprompt.core.zoo.user_models import models_here
from napari_cellprompt.session import zoo as models
from napari_cellprompt.tasks.doctor import Timings, report
from napari_cellprompt.widgets.models import ModelsWidget


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    network = build_sam2(image_size=512, **dict(NETWORKS["nano"]))
    path = tmp_path / "my cells.pt"
    torch.save({"model": network.state_dict()}, path)
    return path


@pytest.fixture
def slow(weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A published model whose server waits in the middle until the event is set."""
    content, go_on = weights.read_bytes(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            self.wfile.write(content[:half])
            self.wfile.flush()
            while not go_on.wait(0.05):
                half += 1
                try:
                    self.wfile.write(content[half - 1 : half])
                    self.wfile.flush()
                except OSError:
                    return
            self.wfile.write(content[half:])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = WeightsSource(
        "nano-copy.pt",
        f"http://127.0.0.1:{server.server_port}/weights.pt",
        f"sha256:{hashlib.sha256(content).hexdigest()}",
        len(content),
    )
    nano = MODELS["cellprompt-nano"]
    spec = replace(
        nano,
        name="nano-copy",
        source=source,
        bundled=False,
        licence="a licence of its own",
    )
    known = {**MODELS, "nano-copy": spec}
    for module in (registry, models):
        monkeypatch.setattr(module, "MODELS", known)
    monkeypatch.setattr("napari_cellprompt.core.zoo.user_models.MODELS", known)
    yield go_on
    go_on.set()
    server.shutdown()
    server.server_close()


class Desk:
    """The widget in a window, what it asked, and presses of the mouse."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.asked: list[str] = []
        self.widget = ModelsWidget(
            window.viewer,
            confirm=self._yes,
            examine=lambda: report(timer=lambda: Timings(0.1, 0.2, 0.03)),
        )
        window.viewer.window.add_dock_widget(self.widget, name="Models", area="right")
        window.qtbot.waitUntil(lambda: self.widget.table.rowCount() > 0, timeout=40000)

    def _yes(self, parent: Any, question: str) -> bool:
        self.asked.append(question)
        return True

    def press(self, button: QPushButton) -> None:
        assert button.isEnabled()
        QTest.mouseClick(button, LEFT)

    def cell(self, name: str, column: int) -> str:
        table = self.widget.table
        for line in range(table.rowCount()):
            if table.item(line, 0).text() == name:
                return table.item(line, column).text()
        raise AssertionError(f"no line {name}")


@pytest.fixture
def desk(open_window: Any) -> Desk:
    return Desk(open_window())


def test_download_shows_progress_and_the_licence_first(
    slow: threading.Event, desk: Desk, cache: Path
) -> None:
    widget, wait = desk.widget, desk.window.qtbot.waitUntil
    widget.choose("nano-copy")
    desk.press(widget.fetch)
    assert "a licence of its own" in desk.asked[0]
    wait(lambda: widget.bar.value() > 0, timeout=40000)
    assert widget.bar.isVisible() and widget.fetch.text() == "Cancel"
    desk.window.picture("models")
    slow.set()
    wait(lambda: desk.cell("nano-copy", 1) == "yes", timeout=40000)
    assert (cache / "nano-copy.pt").is_file() and "nano-copy" in models_here()
    assert not widget.bar.isVisible() and not widget.fetch.isEnabled()


def test_cancel_answers_soon_and_keeps_what_came(
    slow: threading.Event, desk: Desk, cache: Path
) -> None:
    widget, wait = desk.widget, desk.window.qtbot.waitUntil
    widget.choose("nano-copy")
    desk.press(widget.fetch)
    wait(lambda: widget.bar.value() > 0, timeout=40000)
    started = time.monotonic()
    desk.press(widget.fetch)
    # the server sends a byte now and then; the rest in one go when told to
    slow.set()
    wait(lambda: widget.fetch.text() == "Download…", timeout=40000)
    assert time.monotonic() - started < 10
    assert not (cache / "nano-copy.pt").exists() or "here" in widget.message.text()


def test_import_a_file_then_forget_it(desk: Desk, weights: Path) -> None:
    widget, wait = desk.widget, desk.window.qtbot.waitUntil
    choice = desk.window.open_widget().form.model
    widget.import_file(str(weights))
    wait(lambda: widget.table.rowCount() == len(MODELS) + 1, timeout=40000)
    widget.choose("my cells")
    assert str(weights) in widget.details.text()
    wait(lambda: "my cells" in choice.choices, timeout=40000)
    desk.press(widget.copy_path)
    assert QApplication.clipboard().text() == str(weights)
    desk.press(widget.remove)
    wait(lambda: widget.table.rowCount() == len(MODELS), timeout=40000)
    assert weights.is_file() and "stays" in desk.asked[-1]
    wait(lambda: "my cells" not in choice.choices, timeout=40000)


def test_a_file_that_is_no_model_is_a_sentence(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(b"nothing")
    desk.widget.import_file(str(path))
    desk.window.qtbot.waitUntil(
        lambda: "broken.pt" in desk.widget.message.text(), timeout=40000
    )
    assert desk.widget.table.rowCount() == len(MODELS)


def test_report_on_the_computer(desk: Desk) -> None:
    widget = desk.widget
    desk.press(widget.doctor)
    desk.window.qtbot.waitUntil(lambda: widget.report.isVisible(), timeout=30000)
    assert "0.030 s" in widget.report.toPlainText()
    desk.window.picture("models_report")
    desk.press(widget.copy_report)
    assert QApplication.clipboard().text() == widget.report.toPlainText()
