"""Labels that can only be read: told, and copied by one button."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import pytest
import zarr
from tests.widgets.conftest import FIRST, Desk, blobs

from napari_cellprompt.layers.labels.writing import undo


def given(shape: tuple[int, ...] = (60, 80)) -> np.ndarray:
    data = np.zeros(shape, np.uint16)
    data[..., 50:55, 60:70] = 4
    return data


@pytest.fixture
def desk(make_napari_viewer: Any, session: Any, wait: Any) -> Desk:
    viewer = make_napari_viewer()
    viewer.add_image(blobs(), name="blobs", scale=(0.5, 0.5), units="um")
    return Desk(viewer, session, wait)


def choose(desk: Desk, data: Any, **options: Any) -> Any:
    layer = desk.viewer.add_labels(
        data,
        name="given",
        scale=(0.5, 0.5),
        units="um",
        features={"index": [4], "kind": ["old"]},
        metadata={"from": "elsewhere"},
        **options,
    )
    desk.widget.place.use("labels", layer)
    return layer


@pytest.mark.parametrize("pyramid", [False, True], ids=["dask", "levels of dask"])
def test_one_button_makes_labels_writable(desk: Desk, pyramid: bool) -> None:
    lazy = da.from_array(given(), chunks=(25, 25))
    layer = choose(desk, [lazy, lazy[::2, ::2]] if pyramid else lazy, multiscale=pyramid)
    note = desk.widget.copying
    assert not note.isHidden()
    assert "'given' is an array of dask" in note.line.text()
    assert "A copy in memory takes 9.6 kB." in note.line.text()
    desk.object_at(FIRST)  # refused: nothing becomes a copy without being asked for
    assert "press 'Make a writable copy'" in desk.status
    assert desk.viewer.layers["given"] == layer
    position = desk.viewer.layers.index(layer)
    note.button.click()
    desk.wait(lambda: desk.form.labels.value != layer)
    copy = desk.form.labels.value
    assert note.isHidden()
    assert "copy in memory (9.6 kB)" in desk.status
    assert layer not in desk.viewer.layers
    assert desk.viewer.layers.index(copy) == position
    assert copy.name == "given" and not copy.multiscale
    np.testing.assert_array_equal(copy.data, given())
    np.testing.assert_allclose(copy.scale, (0.5, 0.5))
    np.testing.assert_allclose(copy.translate, layer.translate)
    assert copy.units == layer.units
    assert copy.features["kind"].tolist() == ["old"]
    assert copy.metadata["from"] == "elsewhere"
    desk.widget.accept()
    assert np.count_nonzero(copy.data == 5) == 120
    assert np.count_nonzero(copy.data == 4) == 50


def test_arrays_that_were_opened_read_only_are_copied_too(
    desk: Desk, tmp_path: Path
) -> None:
    zarr.create_array(str(tmp_path / "a.zarr"), data=given(), chunks=(16, 16))
    layer = choose(desk, zarr.open_array(str(tmp_path / "a.zarr"), mode="r"))
    note = desk.widget.copying
    assert "The array of 'given' is read-only. A copy" in note.line.text()
    note.button.click()
    desk.wait(lambda: desk.form.labels.value != layer)
    np.testing.assert_array_equal(desk.form.labels.value.data, given())


def test_what_does_not_fit_is_not_offered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Memory:
        available = 5_000

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    choose(desk, da.from_array(given()))
    note = desk.widget.copying
    assert "9.6 kB does not fit into the 5 kB of memory" in note.line.text()
    assert note.button.isHidden()


def test_the_window_goes_on_while_slow_labels_are_read(desk: Desk, qtbot: Any) -> None:
    reader = set()

    def slow(block: np.ndarray) -> np.ndarray:
        if threading.current_thread().name.startswith("cellprompt"):
            reader.add(threading.get_ident())
            time.sleep(0.05)
        return block

    lazy = da.from_array(given(), chunks=(30, 40)).map_blocks(
        slow, dtype=np.uint16, meta=np.empty((0, 0), np.uint16)
    )
    layer = choose(desk, lazy)
    desk.widget.copying.button.click()
    assert "Reading 9.6 kB into memory" in desk.widget.copying.line.text()
    assert not desk.widget.copying.button.isEnabled()
    desk.wait(lambda: desk.form.labels.value != layer)
    assert threading.get_ident() not in reader


def test_a_layer_that_goes_meanwhile_is_not_put_back(desk: Desk) -> None:
    gate = threading.Event()

    def wait(block: np.ndarray) -> np.ndarray:
        if threading.current_thread() is not threading.main_thread():
            gate.wait(10)
        return block

    layer = choose(desk, da.from_array(given(), chunks=(60, 80)))
    layer.data = da.from_array(given(), chunks=(60, 80)).map_blocks(
        wait, dtype=np.uint16, meta=np.empty((0, 0), np.uint16)
    )
    desk.widget.copying.copy()
    desk.viewer.layers.remove(layer)
    gate.set()
    desk.wait(lambda: desk.form.labels.value is None)
    assert "given" not in desk.viewer.layers


def test_labels_of_several_levels_take_objects_and_give_them_back(desk: Desk) -> None:
    levels = [given(), given()[::2, ::2].copy()]
    layer = choose(desk, levels, multiscale=True)
    assert desk.widget.copying.isHidden()
    desk.click(FIRST)
    desk.see()
    desk.widget.accept()
    assert np.count_nonzero(levels[0] == 5) == 120
    np.testing.assert_array_equal(levels[1], levels[0][::2, ::2])
    desk.viewer.layers.selection.active = layer
    assert layer in desk.widget.keys.targets  # napari has no undo of its own there
    desk.controller.undo()
    np.testing.assert_array_equal(levels[0], given())
    np.testing.assert_array_equal(levels[1], given()[::2, ::2])
    desk.controller.redo()
    assert np.count_nonzero(levels[0] == 5) == 120
    undo(layer)
    np.testing.assert_array_equal(levels[0], given())
