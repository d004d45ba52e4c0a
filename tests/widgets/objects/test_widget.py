from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from tests.gui.window import Window
from tests.widgets.conftest import FIRST, SECOND, blobs

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.widgets.objects.widget import ObjectsWidget
from napari_cellprompt.widgets.shared.docks import open_dock


class Desk:
    """The widget in a viewer with a Labels layer that somebody else made."""

    def __init__(
        self, viewer: Any, qtbot: Any, session: SegmentSession, data: np.ndarray
    ) -> None:
        self.window = Window(viewer, qtbot)
        image = viewer.add_image(
            np.where(data > 0, 180, 20).astype(np.uint8), scale=(2.0, 0.5, 0.5)
        )
        image.units = ("micrometer",) * 3
        self.labels = viewer.add_labels(data.copy(), name="cells", scale=(2.0, 0.5, 0.5))
        self.labels.units = ("micrometer",) * 3
        self.segment = self.window.open_widget(session)
        self.segment.place.choose(image)
        self.segment.place.use("labels", self.labels)
        self.widget: ObjectsWidget = open_dock(viewer, "Objects")
        self.controller = self.widget.controller
        self.settle()

    def settle(self) -> None:
        QTest.qWait(20)
        ledger = self.controller.ledger
        self.window.wait(lambda: not ledger.reading and not ledger._again.isActive(), 30)

    @property
    def ids(self) -> list[int]:
        return [row.record.id for row in self.widget.table.rows]

    def choose(self, *ids: int) -> None:
        self.widget.view.clearSelection()
        self.widget._choose(ids)
        assert set(self.widget.chosen_ids()) == set(ids)

    def press(self, name: str) -> None:
        button = self.widget.buttons[name]
        assert button.isEnabled(), name
        button.click()


def stack() -> np.ndarray:
    """Six blocks through three of five planes."""
    data = np.zeros((5, 60, 80), dtype=np.uint16)
    for number in range(6):
        row, column = divmod(number, 3)
        data[1:4, 10 + 25 * row : 25 + 25 * row, 5 + 25 * column : 25 + 25 * column] = (
            number + 1
        )
    return data


@pytest.fixture
def desk(
    make_napari_viewer: Any, qtbot: Any, session: SegmentSession
) -> Callable[[np.ndarray], Desk]:
    def opened(data: np.ndarray) -> Desk:
        return Desk(make_napari_viewer(show=True), qtbot, session, data)

    return opened


def test_objects_of_others_are_listed_in_calibrated_units(desk) -> None:
    bench = desk(stack())
    assert bench.ids == [1, 2, 3, 4, 5, 6]
    row = bench.widget.table.rows[0]
    assert row.planes == (1, 2, 3)
    assert row.size == pytest.approx(15 * 20 * 3 * 0.5)
    assert bench.widget.table.unit == "µm³"
    assert bench.widget.filter.index(0, 2).data() == "1 - 3"
    bench.window.picture("objects")


def test_click_flies_there_and_painting_is_followed(desk) -> None:
    bench = desk(stack())
    viewer = bench.window.viewer
    viewer.dims.set_point(0, 0.0)
    index = bench.widget.filter.index(4, 0)
    rect = bench.widget.view.visualRect(index)
    QTest.mouseClick(
        bench.widget.view.viewport(), Qt.MouseButton.LeftButton, pos=rect.center()
    )
    assert viewer.dims.point[0] == 2 * 2.0
    middle = viewer.scene.camera.center[-2:]
    assert middle == pytest.approx((42 * 0.5, 39.5 * 0.5), abs=0.6)
    assert bench.labels.selected_label == 5
    bench.labels.data_setitem((np.array([0]), np.array([0]), np.array([0])), 30)
    bench.settle()
    assert 30 in bench.ids
    bench.labels.undo()
    bench.settle()
    assert 30 not in bench.ids


def test_merge_delete_renumber_are_steps_of_the_one_history(desk, monkeypatch) -> None:
    bench = desk(stack())
    bench.choose(1, 2)
    bench.press("merge")
    assert bench.ids == [1, 3, 4, 5, 6]
    bench.choose(4)
    bench.press("delete")
    monkeypatch.setattr(
        "napari_cellprompt.widgets.objects.chosen.QInputDialog.getInt",
        lambda *arguments: (40, True),
    )
    bench.choose(6)
    bench.press("renumber")
    assert bench.ids == [1, 3, 5, 40]
    bench.settle()
    assert bench.ids == [1, 3, 5, 40]
    for _ in range(3):
        bench.segment.controller.undo()
    assert np.array_equal(bench.labels.data, stack())
    assert bench.ids == [1, 2, 3, 4, 5, 6]
    for _ in range(3):
        bench.segment.controller.redo()
    assert bench.ids == [1, 3, 5, 40]


def test_split_by_line_and_by_clicks(desk) -> None:
    bench = desk(stack())
    bench.window.viewer.dims.set_point(0, 2 * 2.0)
    bench.choose(1)
    bench.press("line")
    layer = bench.window.viewer.layers["Split 1"]
    layer.add_lines(np.array([[2, 8, 15], [2, 27, 15]], dtype=float))
    bench.window.wait(lambda: 7 in bench.ids, 20)
    assert "Split 1" not in bench.window.viewer.layers
    assert len(np.unique(bench.labels.data[3, 10:25, 5:25])) == 2
    bench.choose(2)
    bench.press("clicks")
    bench.window.viewer.layers["Split 2"].add(np.array([[2, 17, 32], [2, 17, 47]]))
    bench.press("clicks")
    bench.window.wait(lambda: 8 in bench.ids, 20)
    bench.segment.controller.undo()
    bench.segment.controller.undo()
    assert np.array_equal(bench.labels.data, stack())


def test_classes_states_filter_and_class_layer(desk) -> None:
    bench = desk(stack())
    bench.choose(2, 5)
    bench.widget.classes.setEditText("mitosis")
    bench.press("class")
    bench.choose(2)
    bench.press("verify")
    bench.widget.search.setText("mitosis")
    assert bench.widget.filter.rowCount() == 2
    bench.widget.search.setText("mitosis verified")
    assert bench.widget.filter.rowCount() == 1
    bench.widget.search.setText("5")
    assert bench.widget.filter.index(0, 0).data() == "5"
    bench.widget.search.clear()
    bench.press("classes")
    layers = bench.window.viewer.layers
    bench.window.wait(lambda: "cells classes" in layers, 20)
    classes = layers["cells classes"].data
    assert np.array_equal(classes > 0, np.isin(bench.labels.data, [2, 5]))
    bench.segment.controller.undo()
    store = bench.controller.ledger.store
    assert store.get(2).state == "accepted"
    assert store.get(2).class_name == "mitosis"
    bench.segment.controller.undo()
    assert store.get(2).class_name == ""


def test_doubtful_objects_and_planes_come_worst_first(desk) -> None:
    data = stack()
    data[4, 0:2, 0:2] = 3
    bench = desk(data)
    assert bench.controller.current is None
    bench.controller.next_object()
    first = bench.controller.current
    rows = sorted(bench.controller.ledger.rows.values(), key=lambda row: -row.doubt)
    assert first == rows[0].record.id
    bench.widget.chosen.verify_current()
    bench.controller.next_object()
    assert bench.controller.current != first
    bench.controller.next_plane()
    assert "plane" in bench.controller.status


def test_sample_is_gone_through_and_reported(desk, tmp_path) -> None:
    bench = desk(stack())
    panel, quality = bench.widget.quality, bench.controller.quality
    panel.count.setValue(3)
    panel.buttons["draw"].click()
    panel.buttons["right"].click()
    number = quality.current
    panel.buttons["mended"].click()
    assert "is as it was" in bench.controller.status
    assert quality.current == number
    where = np.argwhere(bench.labels.data == number)[:450]
    bench.labels.data_setitem(tuple(where.T), 0)
    panel.buttons["mended"].click()
    panel.buttons["none"].click()
    report = quality.report()
    assert (report.right, report.looked_at) == (1, 3)
    assert report.mean_iou == pytest.approx((1 + 0.5 + 0) / 3)
    assert "Wilson" in panel.result.text()
    quality.save(tmp_path / "quality.json")
    values = json.loads((tmp_path / "quality.json").read_text())
    assert values["provenance"]["layer"] == "cells"
    quality.save(tmp_path / "quality.txt")
    assert "mended" in (tmp_path / "quality.txt").read_text()


def test_accepted_objects_appear_at_once(make_napari_viewer, qtbot, session) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(blobs())
    window = Window(viewer, qtbot)
    segment = window.open_widget(session)
    widget = open_dock(viewer, "Objects")
    assert "accept one first" in widget.status_line.text()
    segment.place.need_points()
    segment.place.chosen.points.add([FIRST[::-1]])
    window.wait(lambda: segment.controller.candidate is not None, 20)
    segment.controller.accept()
    window.wait(lambda: len(widget.table.rows) == 1, 20)
    record = widget.table.rows[0].record
    assert record.source == "segment"
    assert record.model
    assert record.planes[0].prompts.points
    widget.close()


def test_an_object_is_opened_again_with_its_clicks_and_changed_as_one_step(
    make_napari_viewer, qtbot, session
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(blobs())
    window = Window(viewer, qtbot)
    segment = window.open_widget(session)
    widget = open_dock(viewer, "Objects")
    place = segment.place
    place.need_points()
    place.chosen.points.add([FIRST[::-1]])
    window.wait(lambda: segment.controller.candidate is not None, 20)
    segment.controller.accept()
    window.wait(lambda: len(widget.table.rows) == 1, 20)
    before = place.chosen.labels.data.copy()
    place.chosen.labels.data_setitem((np.array([59]), np.array([79])), 7)  # another's

    def opened() -> None:
        widget._choose((1,))
        widget.chosen.reopen()
        assert widget.table.rows[0].record.state == "draft"
        assert len(place.chosen.points.data) == 1
        window.wait(lambda: segment.controller.candidate is not None, 20)

    opened()
    segment.controller.discard()
    window.wait(lambda: widget.reopening.record is None, 20)
    assert widget.table.rows[0].record.state == "accepted"
    opened()
    place.chosen.points.data = [SECOND[::-1]]
    window.wait(
        lambda: (
            not segment.controller.waiting
            and segment.controller.candidate is not None
            and segment.controller.candidate.mask.box[1] > 20
        ),
        20,
    )
    segment.controller.accept()
    after = place.chosen.labels.data
    assert set(np.unique(after)) == {0, 1, 7}
    assert not after[:20].any(), "its own pixels are replaced"
    assert after[59, 79] == 7
    assert not len(place.chosen.points.data)
    record = next(r.record for r in widget.table.rows if r.record.id == 1)
    assert record.planes[0].prompts.points == (SECOND,)
    assert record.state == "accepted"
    segment.controller.undo()
    segment.controller.undo()  # the stroke came in between
    expected = before.copy()
    assert np.array_equal(place.chosen.labels.data[:59], expected[:59])


@pytest.mark.alone
def test_two_thousand_objects_take_less_than_a_tenth_of_a_second(desk) -> None:
    data = np.zeros((4, 640, 640), dtype=np.uint16)
    for number in range(2000):
        row, column = divmod(number, 50)
        data[:, 16 * row : 16 * row + 12, 12 * column : 12 * column + 9] = number + 1
    bench = desk(data)
    assert len(bench.ids) == 2000
    QApplication.processEvents()

    def took(action: Callable[[], Any]) -> float:
        start = time.thread_time()
        action()
        QApplication.processEvents()
        return time.thread_time() - start

    bench.choose(7, 8)
    times = {
        "merge": took(lambda: bench.press("merge")),
        "undo": took(bench.segment.controller.undo),
        "sort": took(lambda: bench.widget.table.sort(3)),
        "next": took(bench.controller.next_object),
        "verify": took(lambda: bench.press("verify")),
        "filter": took(lambda: bench.widget.search.setText("12")),
    }
    print(times)
    assert max(times.values()) < 0.1, times
