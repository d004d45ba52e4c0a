"""Fails tests that leave something running: widgets, timers, threads of Qt or Python.

napari's ``make_napari_viewer`` looks after viewers. Here it is everything else, in tests
without a viewer as well. A pytest plugin: its one fixture is used by every test.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

__all__ = ["Living", "no_leaks"]

_GRACE = float(os.environ.get("CELLPROMPT_LEAK_SECONDS", "10"))
"""Seconds in which what was told to stop may come to its end."""
_FOR_LIFE = (
    "cellprompt-inference",  # one for the life of a process, with the first prediction
    # pools that their packages keep
    *("asyncio_", "dask", "Dask", "fsspec", "zarr", "IO loop", "Profile", "TCP-Executor"),
    *("AsyncProcess", "Offload", "tqdm", "ThreadPoolExecutor-"),
    "pytest",
)
"""How the names of threads begin that are meant to stay."""
_NAPARIS = ("_QtMainWindow", "CanvasBackend", "QtViewer", "Welcome", "QMenu", "QtTooltip")
"""Windows of napari that ``make_napari_viewer`` looks after, by how their classes begin."""
_LENIENT = ("tests/tasks/", "tests/cli/")
"""Tests that nobody has gone through for leaks yet: theirs are told at the end of a run.
Take a folder out once it leaves nothing behind."""
_TOLD = pytest.StashKey[list[tuple[str, list[str]]]]()


@dataclass(slots=True)
class Living:
    """What is running at a moment."""

    widgets: list[Any] = field(default_factory=list)
    timers: list[Any] = field(default_factory=list)
    qthreads: list[Any] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    @classmethod
    def now(cls, *, timers: bool = True) -> Living:
        """Look; ``timers`` and threads of Qt take a tenth of a second."""
        living = cls(threads=[t for t in threading.enumerate() if _is_watched(t)])
        core, widgets = sys.modules.get("qtpy.QtCore"), sys.modules.get("qtpy.QtWidgets")
        if core is None or widgets is None or widgets.QApplication.instance() is None:
            return living
        living.widgets = [
            widget
            for widget in widgets.QApplication.topLevelWidgets()
            if not type(widget).__name__.startswith(_NAPARIS)
        ]
        if timers:
            living.timers = [t for t in _known(core.QTimer) if t.isActive()]
            living.qthreads = [t for t in _known(core.QThread) if t.isRunning()]
        return living

    def since(self, before: Living) -> list[str]:
        """What runs here and did not run before, for people."""
        found = []
        for kind in ("widgets", "timers", "qthreads", "threads"):
            there = {id(item) for item in getattr(before, kind)}
            new = [item for item in getattr(self, kind) if id(item) not in there]
            found += [f"{kind[:-1]} {_name(item)}" for item in new]
        return found


def _is_watched(thread: threading.Thread) -> bool:
    return thread is not threading.main_thread() and not thread.name.startswith(_FOR_LIFE)


def _known(kind: type) -> list[Any]:
    """Objects of a class of Qt that Python knows of and Qt has not deleted."""
    from qtpy.compat import isalive

    # not isinstance: it asks the object, which may be a proxy of what is gone
    found = [item for item in gc.get_objects() if issubclass(type(item), kind)]
    return [item for item in found if isalive(item) and item.thread() is not None]


def _name(item: Any) -> str:
    if isinstance(item, threading.Thread):
        return repr(item.name)
    parent = item.parent()
    owner = "" if parent is None else f" of {type(parent).__name__}"
    label = item.objectName() or getattr(item, "windowTitle", str)()
    return f"{type(item).__name__} {label!r}{owner}"


def _let_go() -> None:
    """Let Qt and Python delete what nobody wants any more."""
    core = sys.modules.get("qtpy.QtCore")
    app = None if core is None else core.QCoreApplication.instance()
    if core is not None and app is not None:
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)
        app.processEvents()
    gc.collect()


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves windows, timers or threads behind."""
    # only tests that use Qt are asked for timers, since it takes a look at every object
    timers = "qapp" in request.fixturenames
    before = Living.now(timers=timers)
    yield
    result = getattr(request.node, "rep_call", None)
    if result is not None and result.failed:
        return  # one reason is enough
    until = time.monotonic() + _GRACE
    while left := Living.now(timers=timers).since(before):
        if time.monotonic() > until:
            break
        _let_go()
        time.sleep(0.02)
    if left and any(part in request.node.nodeid for part in _LENIENT):
        request.config.stash.setdefault(_TOLD, []).append((request.node.nodeid, left))
    elif left:
        pytest.fail(f"left behind: {', '.join(left)}")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what was left behind where that is no failure yet."""
    for test, left in config.stash.get(_TOLD, []):
        terminalreporter.write_line(f"LEFT BEHIND {test}: {', '.join(left)}")
