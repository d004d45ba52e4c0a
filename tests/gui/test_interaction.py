"""Real mouse and key events on the canvas of a real window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from tests.fakes import FakeSegmenter
from tests.gui.window import CONTROL, SHIFT, Window

from napari_cellprompt.io.label_tiff import read_labels
from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread


@dataclass(frozen=True)
class Kind:
    """One kind of image: where it is, and how it is shown."""

    name: str
    path: str
    first: int | None = None
    """Which image of a file that holds several of them."""
    plane: int | None = None
    """Which plane of the stack is looked at."""
    rgb: bool = False
    scale: tuple[float, ...] | None = None
    labels: str = ""
    """Truth, from which clicks are taken."""


KINDS = [
    Kind("2D grey", "nuclei2d/dsb_fluo_520x696", first=0, scale=(0.65, 0.65)),
    Kind("RGB", "nuclei2d/dsb_stained_256x320", first=0, rgb=True),
    Kind("ZYX", "nuclei3d/mouse_embryo_16cell", plane=25, scale=(2.0, 0.8, 0.8)),
    Kind("TYX", "yeast_timelapse/yeast_phase_left", plane=5),
]


def load(kind: Kind, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and the truth of the plane that is shown."""
    image = tifffile.imread(folder / f"{kind.path}_img.tif")
    truth = tifffile.imread(folder / f"{kind.path}_lab.tif")
    if kind.first is not None:
        return image[kind.first], truth[kind.first]
    return image, truth[kind.plane]


def middles(truth: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Innermost pixels of the largest objects, as row and column."""
    from scipy import ndimage

    ids, sizes = np.unique(truth[truth > 0], return_counts=True)
    found = []
    for object_id in ids[np.argsort(-sizes)][:count]:
        distance = ndimage.distance_transform_edt(np.pad(truth == object_id, 1))
        row, column = np.unravel_index(distance.argmax(), distance.shape)
        found.append((int(row) - 1, int(column) - 1))
    return found


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS])
def test_first_and_further_objects(
    kind: Kind,
    data_folder: Path,
    open_window: Callable[[], Window],
    thread: InferenceThread,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, truth = load(kind, data_folder)
    plane = () if kind.plane is None else (kind.plane,)
    window = open_window()
    layer = window.viewer.add_image(image, name=kind.name, rgb=kind.rgb, scale=kind.scale)
    if kind.plane is not None:
        window.viewer.dims.set_current_step(0, kind.plane)
    fake = FakeSegmenter()
    widget = window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    window.picture(f"{kind.name}_1_opened")
    (row, column), (second_row, second_column), *_ = [
        middle for middle in middles(truth, 60) if window.shows(layer, (*plane, *middle))
    ]

    window.click(layer, (*plane, row, column))
    window.see_mask()
    window.picture(f"{kind.name}_2_first_click")
    window.key(Qt.Key.Key_A)
    labels = widget.form.labels.value.data
    assert labels.max() == 1
    assert window.actions <= 4
    x, y = fake.predicted[0].points[0]
    # A pixel of the screen is this many of the image.
    screen = 1 / (window.viewer.scene.camera.zoom * layer.scale[-1])
    assert (x, y) == pytest.approx((column, row), abs=max(screen, 0.51))

    before = window.actions
    window.click(layer, (*plane, second_row, second_column))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    assert window.actions - before == 2
    taken = np.count_nonzero(labels)
    assert set(np.unique(labels)) <= {0, 1, 2}
    window.picture(f"{kind.name}_3_accepted")

    window.key(Qt.Key.Key_Z, CONTROL)
    assert np.count_nonzero(labels) < taken or labels.max() == 1
    window.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert np.count_nonzero(labels) == taken
    if kind.plane is not None:
        others = np.delete(labels, kind.plane, axis=0)
        assert not others.any()

    path = tmp_path / "out.tif"
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *arguments, **options: (str(path), "")
    )
    widget.panel.buttons["export"].click()
    window.wait(path.exists)
    np.testing.assert_array_equal(read_labels(path).labels, labels)
    if kind.scale is not None:
        assert read_labels(path).scale == pytest.approx(kind.scale)


@pytest.fixture
def blob_window(
    open_window: Callable[[], Window], thread: InferenceThread
) -> tuple[Window, Any, FakeSegmenter]:
    """A window with three bright squares, the widget open."""
    window = open_window()
    image = np.zeros((120, 160), dtype=np.uint16)
    for row, column in ((20, 30), (60, 90), (90, 30)):
        image[row : row + 20, column : column + 20] = 4000
    layer = window.viewer.add_image(image, name="squares", scale=(0.5, 0.5))
    fake = FakeSegmenter()
    window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    window.viewer.fit_to_view()
    window.settle()
    return window, layer, fake


def test_shift_click_is_negative(blob_window: Any) -> None:
    window, layer, fake = blob_window
    window.click(layer, (30, 40))
    window.see_mask()
    window.click(layer, (36, 46), SHIFT)
    window.see_mask()
    window.picture("signs")
    assert fake.predicted[-1].labels == (1, 0)
    window.click(layer, (25, 35))
    window.see_mask()
    assert fake.predicted[-1].labels == (1, 0, 1)


def test_keys_for_sign_candidate_and_discard(blob_window: Any) -> None:
    window, layer, fake = blob_window
    controller = window.widget.controller
    window.click(layer, (30, 40))
    window.see_mask()
    window.key(Qt.Key.Key_N)
    assert controller.candidate_number == 1
    window.key(Qt.Key.Key_T)
    window.click(layer, (36, 46))
    window.see_mask()
    assert fake.predicted[-1].labels == (1, 0)
    window.key(Qt.Key.Key_Q)
    assert controller.prediction is None
    assert len(window.widget.form.points.value.data) == 0
    assert window.widget.sign.positive


def test_box_by_key_and_drag(blob_window: Any) -> None:
    window, layer, fake = blob_window
    window.key(Qt.Key.Key_G)
    assert window.viewer.layers.selection.active == window.widget.form.boxes.value
    window.drag(layer, (15, 25), (45, 55))
    window.see_mask()
    window.picture("box")
    assert fake.predicted[-1].box == pytest.approx((25.5, 15.5, 55.5, 45.5), abs=1)
    window.key(Qt.Key.Key_A)
    assert np.count_nonzero(window.widget.form.labels.value.data == 1) == 400
    window.drag(layer, (55, 85), (85, 115))
    window.see_mask()
    window.key(Qt.Key.Key_A)
    assert np.count_nonzero(window.widget.form.labels.value.data == 2) == 400
    assert len(fake.predicted) == 2


def test_drawing_a_box_asks_once(blob_window: Any) -> None:
    window, layer, fake = blob_window
    window.key(Qt.Key.Key_G)
    window.drag(layer, (15, 25), (45, 55), steps=20)
    window.see_mask()
    assert len(fake.predicted) == 1


@pytest.mark.parametrize("active", ["points", "boxes", "labels", "image"])
def test_accept_key_works_whatever_layer_is_active(blob_window: Any, active: str) -> None:
    window, layer, _ = blob_window
    window.click(layer, (30, 40))
    window.see_mask()
    window.viewer.layers.selection.active = getattr(window.widget.form, active).value
    window.settle()
    window.key(Qt.Key.Key_A)
    assert window.widget.form.labels.value.data.max() == 1


def test_moving_a_click_with_the_mouse(blob_window: Any) -> None:
    window, layer, fake = blob_window
    window.click(layer, (30, 40))
    window.see_mask()
    points = window.widget.form.points.value
    points.mode = "select"
    points.selected_data = {0}
    window.drag(layer, (30, 40), (70, 100))
    # The mask follows during the drag; what counts is where it ends.
    window.wait(lambda: fake.predicted[-1].points[0] == pytest.approx((100, 70), abs=1))
    window.see_mask()
    assert window.widget.controller.candidate.mask.box == (90, 60, 110, 80)


def test_transposed_view(blob_window: Any) -> None:
    window, layer, fake = blob_window
    window.viewer.dims.order = (1, 0)
    window.viewer.fit_to_view()
    window.settle()
    window.click(layer, (65, 95))
    window.see_mask()
    window.picture("transposed")
    assert fake.predicted[-1].points[0] == pytest.approx((95, 65), abs=1)
    window.key(Qt.Key.Key_A)
    assert np.count_nonzero(window.widget.form.labels.value.data[60:80, 90:110]) == 400


def test_what_the_model_sees(blob_window: Any) -> None:
    window, layer, _ = blob_window
    window.click(layer, (30, 40))
    window.see_mask()
    window.widget.panel.buttons["view"].click()
    window.wait(lambda: window.widget.controller.model_view.layer is not None)
    window.picture("model_view")
    assert window.widget.panel.buttons["view"].isChecked()
    window.widget.panel.buttons["view"].click()
    assert window.widget.controller.model_view.layer is None
