"""Files of sessions: who writes them, where, and what a kill leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_cellprompt.io.session_file import read_session
from napari_cellprompt.io.session_types import ImageEntry, LayerEntry, Session
from napari_cellprompt.session.saved.autosave import Autosave, find_kept
from napari_cellprompt.session.saved.recording import Snapshot
from napari_cellprompt.session.saved.replay import stored_labels

SHAPE = (64, 64)
ENTRY = ImageEntry(name="image", shape=SHAPE, dtype="uint8", fingerprint="f" * 32)

_ENDLESS = """
import sys
import numpy as np
from tests.session.saved.test_autosave import ENTRY, snapshot
from napari_cellprompt.session.saved.autosave import Autosave, find_kept

autosave = Autosave(ENTRY, find_kept(ENTRY)[0])
labels = np.random.default_rng(0).integers(0, 9, (64, 64)).astype(np.uint16)
number = 0
while True:
    number += 1
    labels[number % 64, number // 64 % 64] = number % 60000 + 1
    autosave.save(snapshot(labels)).result()
    print(number, flush=True)
"""


def snapshot(labels: np.ndarray, entry: ImageEntry = ENTRY) -> Snapshot:
    layer = LayerEntry(name="Cells", shape=labels.shape, dtype=str(labels.dtype))
    head = Session(started="a", saved="b", image=entry, layers=(layer,))
    return Snapshot(head=head, layers=((0, labels),))


def beside(folder: Path) -> ImageEntry:
    return ImageEntry(
        name="image",
        path=str(folder / "image.tif"),
        shape=SHAPE,
        dtype="uint8",
        fingerprint="f" * 32,
    )


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.9])
def test_a_kill_while_it_writes_loses_nothing_that_was_confirmed(seconds: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS],
        stdout=subprocess.PIPE,
        env=os.environ.copy(),
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    confirmed = 1 + len(process.stdout.read().split("\n")[:-1])
    process.stdout.close()
    process.wait()
    kept, notes = find_kept(ENTRY)
    assert kept is not None, notes
    assert notes == []
    array = stored_labels(kept.session)[0]
    for number in range(max(confirmed - 60, 1), confirmed + 1):
        assert array[number % 64, number // 64 % 64] == number % 60000 + 1
    # what was half written is cleared away with the next claim
    assert not list(kept.claim.path.parent.glob(".*.tmp"))
    kept.claim.release()


def test_a_session_lies_beside_its_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELLPROMPT_SESSIONS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    entry = beside(tmp_path)
    autosave = Autosave(entry)
    autosave.save(snapshot(np.ones(SHAPE, np.uint8), entry)).result()
    assert autosave.path == tmp_path / "image.tif.cellprompt.json"
    autosave.close()


def test_a_folder_that_cannot_be_written_to_has_its_sessions_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELLPROMPT_SESSIONS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    entry = beside(tmp_path / "gone")
    autosave = Autosave(entry)
    autosave.save(snapshot(np.ones(SHAPE, np.uint8), entry)).result()
    assert autosave.path is not None
    assert tmp_path / "home" in autosave.path.parents
    autosave.close()


def test_a_file_that_someone_else_has_changed_is_left_alone() -> None:
    autosave = Autosave(ENTRY)
    labels = np.ones(SHAPE, np.uint8)
    autosave.save(snapshot(labels)).result()
    path = autosave.path
    assert path is not None
    path.write_text("mine")
    labels[0] = 2
    _, note = autosave.save(snapshot(labels)).result()
    assert "changed by someone else" in note
    assert path.read_text() == "mine"
    assert autosave.path != path
    assert np.array_equal(stored_labels(read_session(autosave.path))[0], labels)
    autosave.close()


def test_what_says_nothing_new_is_not_written() -> None:
    autosave = Autosave(ENTRY)
    labels = np.ones(SHAPE, np.uint8)
    autosave.save(snapshot(labels)).result()
    path = autosave.path
    assert path is not None
    before = path.stat().st_mtime_ns
    autosave.save(snapshot(labels)).result()
    assert path.stat().st_mtime_ns == before
    autosave.close()


def test_a_session_of_other_pixels_is_not_offered() -> None:
    autosave = Autosave(ENTRY)
    autosave.save(snapshot(np.ones(SHAPE, np.uint8))).result()
    autosave.close()
    time.sleep(0.2)
    other = ImageEntry(name="image", shape=(65, 64), dtype="uint8", fingerprint="f" * 32)
    kept, notes = find_kept(other)
    assert kept is None
    assert "other pixels" in notes[0]
