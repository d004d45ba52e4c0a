from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gui.window import Window

from napari_cellprompt.session.thread import InferenceThread


@pytest.fixture(autouse=True)
def _own_settings(plugin_settings: Any) -> None:
    """Never read or write the settings of whoever runs the tests."""


@pytest.fixture
def thread() -> Iterator[InferenceThread]:
    worker = InferenceThread("test-gui")
    yield worker
    assert worker.shutdown(60)


@pytest.fixture
def data_folder() -> Path:
    folder = os.environ.get("CELLPROMPT_DATA")
    if not folder:
        pytest.skip("CELLPROMPT_DATA does not name the folder of real images")
    return Path(folder)


@pytest.fixture
def open_window(make_napari_viewer: Any, qtbot: Any) -> Callable[[], Window]:
    def opened() -> Window:
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1280, 900)
        return Window(viewer, qtbot)

    return opened
