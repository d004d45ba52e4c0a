"""The Adapt dock widget: train a copy of the model on what was accepted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QFormLayout, QSpinBox, QWidget

from napari_cellprompt.core.adapt.settings import LEAST_OBJECTS, SECONDS
from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import (
    has_left_dock,
    open_beside,
    shut_down_with_window,
)
from napari_cellprompt.widgets.shared.looks import (
    Accent,
    grid_of,
    progress_bar,
    push_button,
    text_line,
)

from .controller import AdaptController
from .figures import FigureTable

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtCore import QEvent

    from napari_cellprompt.widgets.segment.widget import SegmentWidget

__all__ = ["AdaptWidget"]


class AdaptWidget(QWidget):
    """Trains a copy of the model beside the window, and offers it if it is better.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in. Segment is opened beside it, since its
        model and its objects are used.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer = plain(viewer)
        self._closed = False
        # Children.
        segment: SegmentWidget = open_beside(viewer, "Segment")
        self._segment: SegmentWidget | None = segment
        self.controller = AdaptController(viewer, segment)
        self.about = text_line()
        self.seconds = QSpinBox()
        self.seconds.setRange(5, 7200)
        self.seconds.setSuffix(" s")
        self.seconds.setValue(round(SECONDS))
        self.seconds.setToolTip("The longest that it may take, measuring included")
        self.buttons = {
            "adapt": push_button("Adapt", "Train a copy of the model on these objects"),
            "cancel": push_button("Stop", "End it; the model stays as it is"),
            "use": push_button("Use it", "Work with the adapted model from now on"),
            "not_now": push_button("Not now", "Forget the adapted model"),
            "back": push_button("Back", "Work with the model before again"),
        }
        self.bar = progress_bar()
        self.bar.setRange(0, 100)
        self.figures = FigureTable()
        self.status_line = text_line()
        # Layout, state, connections.
        self._accents = Accent(viewer, self.buttons["adapt"], self.buttons["use"])
        layout = Body(self).rows
        layout.addWidget(self.about)
        form = QFormLayout()
        form.addRow("At most", self.seconds)
        layout.addLayout(form)
        layout.addLayout(grid_of([self.buttons["adapt"], self.buttons["cancel"]]))
        layout.addWidget(self.bar)
        layout.addWidget(self.figures)
        layout.addWidget(self.status_line)
        layout.addLayout(grid_of([self.buttons["use"], self.buttons["not_now"]]))
        layout.addWidget(self.buttons["back"])
        layout.addStretch()
        self._connect()
        self._show()

    def adapt(self) -> None:
        """Start with what is chosen."""
        self.controller.start({"seconds": float(self.seconds.value())})

    # --- life ------------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """Stop when napari takes the widget out of its dock."""
        if has_left_dock(self, event):
            self.shut_down()
        return event is not None and bool(super().event(event))

    def shut_down(self) -> None:
        """End what runs and let go of Segment."""
        if self._closed:
            return
        self._closed = True
        self._disconnect()
        self._accents.close()
        self.controller.close()
        self._segment = None

    def _connect(self) -> None:
        actions = {
            "adapt": self.adapt,
            "cancel": self.controller.cancel,
            "use": self.controller.use,
            "not_now": self.controller.not_now,
            "back": self.controller.back,
        }
        for name, action in actions.items():
            self.buttons[name].clicked.connect(partial(_press, action))
        self.controller.changed.connect(self._show)
        if self._segment is not None:
            self._segment.closed.connect(self._segment_closed)
            self._segment.controller.changed.connect(self._show)
        shut_down_with_window(self)

    def _disconnect(self) -> None:
        self.controller.changed.disconnect(self._show)
        if self._segment is not None:
            self._segment.closed.disconnect(self._segment_closed)
            self._segment.controller.changed.disconnect(self._show)

    def _segment_closed(self) -> None:
        if isalive(self):  # else the whole window is going
            self.shut_down()
            self.setEnabled(False)
            self.status_line.setText("Segment was closed: open this widget again.")

    # --- showing ---------------------------------------------------------------------

    def _show(self) -> None:
        """Bring buttons, bar and texts up to date."""
        controller = self.controller
        if self._segment is None:
            return
        objects, running = controller.objects, controller.run is not None
        offered = controller.outcome is not None
        self.about.setText(
            "The model is being loaded ..."
            if controller.loading
            else _about(objects, controller.model, controller.possible)
        )
        ready = controller.possible and objects >= LEAST_OBJECTS
        self.buttons["adapt"].setEnabled(ready and not running and not offered)
        self.buttons["cancel"].setEnabled(running)
        self.seconds.setEnabled(not running)
        for name in ("use", "not_now"):
            self.buttons[name].setVisible(offered)
        self.buttons["back"].setVisible(bool(controller.before))
        self.buttons["back"].setText(f"Back to {controller.before}")
        self.bar.setVisible(running)
        self.bar.setValue(round(100 * controller.share))
        self.figures.show_outcome(controller.judged)
        self.status_line.setText(controller.message)


def _about(objects: int, model: str, possible: bool) -> str:
    if not possible:
        return "The model in use cannot be adapted; crop-wise ones can (cellprompt-focus)."
    if objects < LEAST_OBJECTS:
        return (
            f"{objects} of at least {LEAST_OBJECTS} objects are accepted for this image. A "
            f"copy of {model} can then learn from them, in a minute."
        )
    return (
        f"A copy of {model} learns from the {objects} objects accepted for this image; "
        "some of them are held out and decide whether it is better. Nothing that was "
        "accepted changes."
    )


def _press(action: Any, _: bool = False) -> None:
    action()
