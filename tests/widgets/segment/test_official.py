"""The offer of the official models at the first start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.widgets.conftest import Desk, blobs

from napari_cellprompt.session.choices import read_choices, remember
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.widgets import models
from napari_cellprompt.widgets.shared.docks import find_dock


@pytest.fixture(autouse=True)
def _no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CELLPROMPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def opened(make_napari_viewer: Any, session: SegmentSession, wait: Any) -> Any:
    def make() -> Desk:
        viewer = make_napari_viewer()
        viewer.add_image(blobs(), name="cells")
        return Desk(viewer, session, wait)

    return make


def test_a_model_is_offered_with_size_and_licence_until_answered(
    opened: Any, wait: Any
) -> None:
    bar = opened().widget.official
    wait(lambda: not bar.isHidden())
    assert "sam2.1_hiera_tiny: 156 MB, Apache-2.0" in bar.text.text()
    bar.later.click()
    assert bar.isHidden()
    wait(lambda: read_choices().offered)


def test_nobody_is_asked_twice(opened: Any, wait: Any) -> None:
    remember(offered=True)
    bar = opened().widget.official
    looked = bar.look()
    wait(looked.done)
    assert looked.result() is None
    assert bar.isHidden()


def test_one_click_downloads(opened: Any, wait: Any, monkeypatch: Any) -> None:
    asked: list[str] = []

    class NoDownload(models.Download):
        def _fetch(self) -> Any:
            asked.append(self.name)

    monkeypatch.setattr(models, "Download", NoDownload)
    desk = opened()
    bar = desk.widget.official
    wait(lambda: not bar.isHidden())
    bar.fetch.click()
    wait(lambda: asked == ["sam2.1_hiera_tiny"])
    dock = find_dock(desk.viewer, "Models")
    wait(lambda: "is here now" in dock.message.text())
    # the table is read anew after a download
    wait(lambda: dock.selected() is not None)
    assert dock.selected().name == "sam2.1_hiera_tiny"
