"""That the fixture of ``tests.leaks`` fails what it is there for, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import threading, time
from qtpy.QtCore import QObject, QThread, QTimer
from qtpy.QtWidgets import QWidget

kept = []

def test_window(qapp):
    kept.append(QWidget())
    kept[-1].setWindowTitle("lost")

def test_timer(qapp):
    timer = QTimer()
    timer.setObjectName("ticking")
    timer.start(1000)
    kept.append(timer)

def test_qthread(qapp):
    thread = QThread()
    thread.start()
    kept.append(thread)

def test_thread():
    stop = threading.Event()
    kept.append(stop)
    threading.Thread(target=stop.wait, name="worker", daemon=True).start()

def test_tidy(qtbot):
    window = QWidget()
    qtbot.addWidget(window)
    timer = QTimer(window)
    timer.start(1000)
    thread = QThread()
    thread.start()
    thread.quit()
    assert thread.wait(5000)
    worker = threading.Thread(target=time.sleep, args=(0.3,), daemon=True)
    worker.start()

def test_end():
    kept[2].quit()
    kept[2].wait(5000)
    kept[3].set()
"""


def test_what_is_left_behind_fails_a_test(tmp_path: Path) -> None:
    (tmp_path / "test_leaking.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    command += ["-p", "tests.leaks", "-o", "addopts=", "-rE", f"--rootdir={tmp_path}"]
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=root,
        env={**os.environ, "CELLPROMPT_LEAK_SECONDS": "4"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    end = done.stdout.splitlines()[-1]
    assert "6 passed" in end and "4 errors" in end, done.stdout + done.stderr
    for said in ("widget QWidget 'lost'", "timer QTimer 'ticking'", "thread 'worker'"):
        assert f"left behind: {said}" in done.stdout
    assert "left behind: qthread QThread ''" in done.stdout
