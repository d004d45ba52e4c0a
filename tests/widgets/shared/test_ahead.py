"""Modules are imported beside the window, and whoever waits for them is called here."""

from __future__ import annotations

import sys
import threading

import pytest

from napari_cellprompt.widgets.shared.ahead import when_imported
from napari_cellprompt.widgets.shared.bridge import ResultBridge

SLOW = """
import threading, time
time.sleep(0.2)
THREAD = threading.current_thread().name
"""


@pytest.fixture
def bridge(qapp):
    bridge = ResultBridge()
    yield bridge
    bridge.close()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Name of a module that takes a while, and is not imported yet."""
    monkeypatch.syspath_prepend(tmp_path)
    name = "cellprompt_takes_a_while"

    def write(text):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return name

    yield write
    sys.modules.pop(name, None)


def test_what_takes_long_is_imported_elsewhere_and_told_here(bridge, module, qtbot):
    name, called = module(SLOW), []
    when_imported(name, bridge, lambda: called.append(threading.current_thread()))
    assert called == []
    qtbot.waitUntil(lambda: bool(called), timeout=5000)
    assert called == [threading.main_thread()]
    assert sys.modules[name].THREAD == "cellprompt-ahead"


def test_what_is_there_is_not_waited_for(bridge):
    called = []
    when_imported("json", bridge, lambda: called.append(1))
    assert called == [1]


def test_a_second_one_waits_for_an_import_under_way(bridge, module, qtbot):
    name, whole = module(SLOW), []
    for _ in range(2):
        when_imported(
            name, bridge, lambda: whole.append(hasattr(sys.modules[name], "THREAD"))
        )
        qtbot.wait(50)
    qtbot.waitUntil(lambda: len(whole) == 2, timeout=5000)
    assert whole == [True, True]


def test_a_module_that_fails_holds_nobody_up(bridge, module, qtbot):
    called = []
    when_imported(module("raise ImportError('no')"), bridge, lambda: called.append(1))
    qtbot.waitUntil(lambda: bool(called), timeout=5000)
    assert called == [1]


def test_a_closed_bridge_calls_nobody(bridge, module, qtbot):
    called = []
    name = module(SLOW)
    when_imported(name, bridge, lambda: called.append(1))
    bridge.close()
    qtbot.waitUntil(lambda: hasattr(sys.modules.get(name), "THREAD"), timeout=5000)
    qtbot.wait(50)
    assert called == []
