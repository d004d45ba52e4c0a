"""A real napari window that is driven by mouse and keys, as a user would."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_cellprompt.session.segment import SegmentSession
from napari_cellprompt.widgets.segment.widget import SegmentWidget

NO_MODIFIER = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
LEFT = Qt.MouseButton.LeftButton


class Window:
    """The viewer, and what a hand does with it; counts the actions.

    Parameters
    ----------
    viewer : napari.Viewer
        Shown.
    qtbot : pytestqt.qtbot.QtBot
        Runs the event loop while waiting.
    """

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer = viewer
        self.qtbot = qtbot
        self.actions = 0
        self.widget: SegmentWidget | None = None

    def open_widget(self, session: SegmentSession | None = None) -> SegmentWidget:
        """What two presses of the mouse in the Plugins menu do."""
        self.actions += 2
        self.widget = SegmentWidget(self.viewer, session=session)
        self.viewer.window.add_dock_widget(
            self.widget, name="Segment (Cellprompt)", area="right"
        )
        self.settle()
        return self.widget

    @property
    def canvas(self) -> QWidget:
        """The native widget that is drawn on."""
        assert self.widget is not None
        window = self.widget.window()
        # napari offers no public way to it; this is how its own docs tell canvases.
        return next(
            child
            for child in window.findChildren(QWidget)
            if type(child).__name__.startswith("CanvasBackend")
        )

    def shows(self, layer: Any, position: tuple[float, ...]) -> bool:
        """Whether a data position is on the canvas, a little away from its border."""
        return (
            self.canvas.rect().adjusted(9, 9, -9, -9).contains(self._point(layer, position))
        )

    def at(self, layer: Any, position: tuple[float, ...]) -> QPoint:
        """Where on the canvas a data position of a layer is drawn; it must be there."""
        assert self.shows(layer, position), f"{position} is not on the canvas"
        return self._point(layer, position)

    def _point(self, layer: Any, position: tuple[float, ...]) -> QPoint:
        camera = self.viewer.scene.camera
        world = np.asarray(layer.data_to_world(position))
        displayed = list(self.viewer.dims.displayed[-2:])
        offset = self.viewer.dims.ndim - len(world)
        row, column = (world[axis - offset] for axis in displayed)
        centre_row, centre_column = camera.center[-2:]
        canvas = self.canvas
        return QPoint(
            round(canvas.width() / 2 + (column - centre_column) * camera.zoom),
            round(canvas.height() / 2 + (row - centre_row) * camera.zoom),
        )

    def click(
        self, layer: Any, position: tuple[float, ...], modifier: Any = NO_MODIFIER
    ) -> None:
        """Press and release the mouse at a place."""
        self.actions += 1
        point = self.at(layer, position)
        QTest.mouseMove(self.canvas, point)
        QTest.mousePress(self.canvas, LEFT, modifier, point)
        QTest.mouseRelease(self.canvas, LEFT, modifier, point)
        # A second press soon after would count as a double click.
        self.qtbot.wait(20)

    def drag(
        self, layer: Any, start: tuple[float, ...], stop: tuple[float, ...], steps: int = 6
    ) -> None:
        """Press at one place, move, and release at another."""
        self.actions += 1
        first, last = self.at(layer, start), self.at(layer, stop)
        QTest.mouseMove(self.canvas, first)
        QTest.mousePress(self.canvas, LEFT, NO_MODIFIER, first)
        for step in range(1, steps + 1):
            between = first + (last - first) * (step / steps)
            QTest.mouseMove(self.canvas, between)
            self.qtbot.wait(5)
        QTest.mouseRelease(self.canvas, LEFT, NO_MODIFIER, last)
        self.qtbot.wait(20)

    def key(self, key: Qt.Key, modifier: Any = NO_MODIFIER) -> None:
        """Press and release a key over the canvas."""
        self.actions += 1
        QTest.keyClick(self.canvas, key, modifier)
        self.qtbot.wait(5)

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Run the event loop until something is true."""
        self.qtbot.waitUntil(condition, timeout=round(seconds * 1000))

    def see_mask(self) -> None:
        """Wait for the mask of the newest prompts."""
        assert self.widget is not None
        controller = self.widget.controller
        self.qtbot.wait(20)
        self.wait(lambda: controller.prediction is not None and not controller.waiting)

    def settle(self) -> None:
        """Let the window draw itself."""
        for _ in range(3):
            QApplication.processEvents()
            self.qtbot.wait(30)

    def picture(self, name: str) -> None:
        """Keep a screenshot where ``CELLPROMPT_SCREENSHOTS`` says, if it does."""
        folder = os.environ.get("CELLPROMPT_SCREENSHOTS")
        if not folder:
            return
        self.settle()
        clean = re.sub(r"\W+", "_", name)
        path = Path(folder) / f"{clean}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.viewer.window.screenshot(str(path), canvas_only=False, flash=False)
