"""How the docks fit a small screen, and what is seen on small objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QPoint, QPointF, QRect, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QDockWidget
from tests.fakes import FakeSegmenter
from tests.gui.window import Window

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.session.thread import InferenceThread

TITLES = (
    "Segment",
    "Propagate",
    "Everything",
    "Few-shot",
    "Objects",
    "Series",
    "Models",
)
LOWEST = 700
"""Pixels of height that a window must do with on a screen of 800."""


@pytest.fixture(autouse=True)
def _registered(npe2pm: PluginManager) -> None:
    """Let napari find the widgets by their titles."""
    npe2pm.register(PluginManifest.from_distribution("napari-cellprompt"))


@pytest.fixture
def window(open_window: Callable[[], Window], thread: InferenceThread) -> Window:
    """Three squares, one of them small, and the Segment widget."""
    window = open_window()
    image = np.zeros((120, 160), dtype=np.uint8)
    for row, column, side in ((20, 30, 20), (60, 90, 20), (90, 30, 8)):
        image[row : row + side, column : column + side] = 200
    window.viewer.add_image(image, name="squares")
    fake = FakeSegmenter()
    window.open_widget(SegmentSession(thread=thread, loader=fake.load))
    window.viewer.fit_to_view()
    window.settle()
    return window


@pytest.fixture
def bare(open_window: Callable[[], Window], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A window with a stack, in which Segment loads no model."""
    window = open_window()
    window.viewer.add_image(np.zeros((3, 60, 80), np.uint8), name="stack")
    fake = FakeSegmenter()
    monkeypatch.setattr(
        "napari_cellprompt.session.segment.load_for_session",
        lambda name, device, cache_bytes, disk_bytes=0: fake.load(name, device, 0),
    )
    return window


def docks(window: Window) -> list[QDockWidget]:
    main = window.viewer.window._qt_window
    return [dock for dock in main.findChildren(QDockWidget) if "ellprompt" in dock.name]


def test_buttons_stay_in_place_while_texts_come_and_go(window: Window) -> None:
    widget = window.widget
    assert widget is not None
    accept = widget.panel.buttons["accept"]
    # a session is kept from the first click on, and says so above
    window.click(window.viewer.layers["squares"], (30, 40))
    window.see_mask()
    window.settle()
    there = accept.y()
    assert widget.panel.mask_line.text()
    window.key(Qt.Key.Key_Q)
    window.settle()
    assert not widget.panel.mask_line.text()
    assert accept.y() == there


@pytest.mark.parametrize("first", TITLES)
def test_every_widget_and_every_pair_fits_a_screen_of_800(bare: Any, first: str) -> None:
    """A widget, and beside it each of those that come after it in the list; both themes."""
    window, viewer = bare, bare.viewer
    viewer.window.resize(1280, 760)
    main = viewer.window._qt_window
    too_high = {}

    def look(*titles: str) -> None:
        for theme in ("light", "dark"):
            viewer.theme = theme
            window.qtbot.wait(50)
            heights = (main.minimumSizeHint().height(), main.height())
            if max(heights[0], heights[1] - 60) > LOWEST:
                too_high[theme, titles] = heights
            window.picture(f"fits_{theme}_{'_'.join(titles)}")

    # As napari's menu does it: not as a tab.
    viewer.window.add_plugin_dock_widget("napari-cellprompt", first)
    look(first)
    before = docks(window)
    for second in TITLES[TITLES.index(first) + 1 :]:
        viewer.window.add_plugin_dock_widget("napari-cellprompt", second)
        look(first, second)
        for dock in docks(window):
            if dock not in before:
                viewer.window.remove_dock_widget(dock)
        window.qtbot.wait(20)
    assert not too_high


def test_docks_of_the_menu_become_tabs(bare: Any) -> None:
    for title in ("Segment", "Everything", "Models"):
        bare.viewer.window.add_plugin_dock_widget("napari-cellprompt", title)
        bare.settle()
    first, *others = docks(bare)
    main = bare.viewer.window._qt_window
    assert set(main.tabifiedDockWidgets(first)) == set(others)
    # what was opened last is on top
    assert not docks(bare)[-1].visibleRegion().isEmpty()


def test_what_does_not_fit_can_be_scrolled_to(bare: Any) -> None:
    _, widget = bare.viewer.window.add_plugin_dock_widget("napari-cellprompt", "Segment")
    bare.viewer.window.resize(1280, 500)
    bare.settle()
    body = widget.panel.parentWidget().parentWidget().parentWidget()
    bar = body.verticalScrollBar()
    assert bar.maximum() > 0
    # the wheel over a box that was not clicked scrolls, and chooses nothing
    box = widget.form.contrast.native.findChild(QComboBox) or widget.form.contrast.native
    before = widget.form.contrast.value
    at = QPointF(box.rect().center())
    event = QWheelEvent(
        at,
        QPointF(box.mapToGlobal(box.rect().center())),
        QPoint(0, 0),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(box, event)
    assert widget.form.contrast.value == before


def test_keys_work_after_a_number_was_changed(window: Window) -> None:
    """The keys that the text announces went to the box of numbers."""
    layer = window.viewer.layers["squares"]
    window.viewer.window.add_plugin_dock_widget("napari-cellprompt", "Everything")
    window.settle()
    docked = window.viewer.window.dock_widgets["Everything (napari-cellprompt)"]
    box = docked.form.size.native.findChild(QAbstractSpinBox) or docked.form.size.native
    window.click(layer, (30, 40))
    window.see_mask()
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_5)
    window.settle()
    assert docked.form.size.value == 5 or box.text().startswith("5")
    main = window.viewer.window._qt_window
    QTest.keyClick(main.focusWidget() or main, Qt.Key.Key_A)
    assert window.widget.form.labels.value.data.max() == 1
    # Qt tells no widget of the focus in a window that no window manager has activated
    assert main.focusWidget() in (None, main)
    QTest.keyClick(main, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.widget.form.labels.value.data.max() == 0


def test_buttons_never_take_the_keys(bare: Any) -> None:
    from qtpy.QtWidgets import QPushButton

    for title in TITLES:
        _, widget = bare.viewer.window.add_plugin_dock_widget("napari-cellprompt", title)
        for button in widget.findChildren(QPushButton):
            assert button.focusPolicy() == Qt.FocusPolicy.NoFocus, (title, button.text())


def test_clicks_are_small_on_small_objects(window: Window) -> None:
    layer, points = window.viewer.layers["squares"], window.widget.form.points.value
    window.click(layer, (30, 40))
    window.see_mask()
    large = float(points.size[0])
    window.key(Qt.Key.Key_Q)
    window.click(layer, (94, 34))
    window.see_mask()
    assert float(points.size[0]) <= 0.3 * 8 < large
    window.picture("small_marker")


def test_outline_by_key(window: Window) -> None:
    layer = window.viewer.layers["squares"]
    window.click(layer, (30, 40))
    window.see_mask()
    preview = window.widget.controller.preview.layer
    assert preview.contour == 0
    window.key(Qt.Key.Key_O)
    assert preview.contour == 1 and preview.opacity == 1
    assert window.widget.panel.buttons["outline"].isChecked()
    window.picture("outline")
    window.key(Qt.Key.Key_O)
    assert preview.contour == 0 and preview.opacity < 1


def test_the_bare_image_while_a_key_is_held(window: Window) -> None:
    layer = window.viewer.layers["squares"]
    window.click(layer, (30, 40))
    window.see_mask()
    preview = window.widget.controller.preview.layer
    points = window.widget.form.points.value
    QTest.keyPress(window.canvas, Qt.Key.Key_H)
    window.settle()
    assert preview.opacity == 0 and points.opacity == 0
    window.picture("held")
    QTest.keyRelease(window.canvas, Qt.Key.Key_H)
    window.settle()
    assert preview.opacity > 0 and points.opacity == 1
    assert points.mode == "add"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_accept_is_the_button_that_stands_out(window: Window, theme: str) -> None:
    window.viewer.theme = theme
    layer, button = window.viewer.layers["squares"], window.widget.panel.buttons["accept"]
    assert not button.isEnabled()
    window.click(layer, (30, 40))
    window.see_mask()
    window.settle()
    assert button.isEnabled()

    def colour(of: Any) -> tuple[int, int, int]:
        picture = of.grab().toImage()
        pixel = picture.pixelColor(6, 6)
        return pixel.red(), pixel.green(), pixel.blue()

    others = [window.widget.panel.buttons[name] for name in ("next", "discard", "export")]
    assert colour(button) not in [colour(other) for other in others]
    assert button.height() > max(other.height() for other in others)
    window.picture(f"accept_{theme}")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_titles_of_sections_can_be_read(window: Window, theme: str) -> None:
    from napari_cellprompt.widgets.shared.looks import Section

    window.viewer.theme = theme
    window.settle()
    section = window.widget.findChildren(Section)[0]
    main = section.window()
    place = QRect(section.head.mapTo(main, QPoint(0, 0)), section.head.size())
    picture = main.grab(place).toImage()
    grey = np.array(
        [
            [picture.pixelColor(x, y).lightness() for x in range(0, picture.width())]
            for y in range(picture.height())
        ]
    )
    assert grey.max() - grey.min() > 120
    assert not section.expanded
    QTest.mouseClick(section.head, Qt.MouseButton.LeftButton)
    assert section.expanded


def test_models_can_be_filtered_and_their_licence_read(bare: Any) -> None:
    _, widget = bare.viewer.window.add_plugin_dock_widget("napari-cellprompt", "Models")
    bare.wait(lambda: widget.table.rowCount() > 0)
    bare.settle()
    table = widget.table
    header = [table.horizontalHeaderItem(n).text() for n in range(table.columnCount())]
    column = header.index("Licence")
    right = table.columnViewportPosition(column) + table.columnWidth(column)
    assert right <= table.viewport().width()
    QTest.keyClicks(widget.list.words, "micro-sam histopathology")
    shown = [n for n in range(table.rowCount()) if not table.isRowHidden(n)]
    names = [table.item(n, 0).text() for n in shown]
    assert names == ["vit_b_histopathology", "vit_l_histopathology", "vit_h_histopathology"]
    assert widget.selected().name == "vit_b_histopathology"
    bare.picture("models_filtered")
    QTest.keyClicks(widget.list.words, " no such word")
    assert widget.selected() is None and not widget.fetch.isEnabled()
