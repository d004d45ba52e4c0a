"""The Everything dock widget: find all objects, filter them, accept them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QWidget

from napari_cellprompt.layers.on_top import note_on
from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import (
    has_left_dock,
    open_beside,
    open_dock,
    shut_down_with_window,
)
from napari_cellprompt.widgets.shared.looks import (
    Accent,
    Section,
    grid_of,
    ignore_state,
    progress_bar,
    push_button,
    text_line,
)

from .controller import EverythingController
from .form import EverythingForm

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from qtpy.QtCore import QEvent

    from napari_cellprompt.widgets.segment.widget import SegmentWidget

__all__ = ["EverythingWidget"]


class EverythingWidget(QWidget):
    """Segments everything on a plane or in a stack; sliders choose what to keep.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in. Segment is opened beside it, since its
        image, model and Labels layer are used.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer = plain(viewer)
        self._closed = False
        # Children.
        segment: SegmentWidget = open_beside(viewer, "Segment")
        self._segment: SegmentWidget | None = segment
        self.controller = EverythingController(viewer, segment.place)
        self.form = EverythingForm(viewer)
        self.buttons = {
            "run": push_button("Find everything", "Look for all objects"),
            "cancel": push_button("Stop", "Stop soon; what was found stays"),
            "commit": push_button("Accept all", "Write the objects, as one step of undo"),
            "discard": push_button("Discard", "Forget what was found"),
            "propagate": push_button(
                "Accept, then propagate ...",
                "Follow the objects of this plane through the stack",
            ),
        }
        self.bar = progress_bar()
        self.status_line = text_line(2)
        # Layout, state, connections.
        self._accent = Accent(viewer, self.buttons["commit"])
        layout = Body(self).rows
        layout.addWidget(self.form.top)
        layout.addLayout(grid_of([self.buttons["run"], self.buttons["cancel"]]))
        layout.addWidget(self.bar)
        layout.addWidget(self.status_line)
        layout.addWidget(self.buttons["commit"])
        layout.addWidget(self.buttons["propagate"])
        layout.addWidget(self.buttons["discard"])
        layout.addWidget(Section("What to keep", self.form.filters, expanded=True))
        layout.addStretch()
        self._connect()
        self.form.update_layers()
        self._show()

    def run(self) -> None:
        """Look for everything with what is chosen."""
        if self._segment is None:
            return
        # Here, since this loads torch.
        from napari_cellprompt.core.everything.finding import EverythingSettings
        from napari_cellprompt.core.inference.searching import SearchSettings

        try:
            filters = self.form.settings
        except ValueError as error:
            self._say(str(error))
            return
        settings = EverythingSettings(
            search=SearchSettings(
                mode=self.form.mode.value,
                size=self.form.size.value or self.controller.accepted_size,
            ),
            filters=filters,
        )
        self.controller.start(
            settings,
            whole_stack=self.form.planes.value == "all",
            region=self.form.region.value,
        )

    def propagate(self) -> None:
        """Accept what was found on this plane, and prepare to follow it."""
        image = self.controller.image

        def follow() -> None:
            if self._segment is None or image is None:
                return
            if image not in self._viewer.layers:
                self.controller.status += (
                    f" '{image.name}' was removed: open it again to follow them."
                )
                self._show()
                return
            if self._segment.place.chosen.image is not image:
                # another one was chosen meanwhile; the chooser keeps what it is given
                self._segment.form.image.value = image
            widget = open_dock(self._viewer, "Propagate")
            widget.form.what.value = "plane"
            if note := note_on(self._viewer, image):
                widget.desk.tell(f"{widget.desk.status} {note}")

        self.controller.commit(follow)

    # --- life ------------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """Stop when napari takes the widget out of its dock."""
        if has_left_dock(self, event):
            self.shut_down()
        return event is not None and bool(super().event(event))

    def shut_down(self, *, leave_layers: bool = False) -> None:
        """Let go of viewer, layers and model; what was accepted stays."""
        if self._closed:
            return
        self._closed = True
        self._disconnect()
        self._accent.close()
        self.controller.close(leave_layers=leave_layers)
        self.form.close()
        self._segment = None

    def _connect(self) -> None:
        actions: dict[str, Callable[[], None]] = {
            "run": self.run,
            "cancel": self.controller.cancel,
            "commit": self.controller.commit,
            "discard": self.controller.forget,
            "propagate": self.propagate,
        }
        for name, action in actions.items():
            self.buttons[name].clicked.connect(ignore_state(action))
        self.controller.changed.connect(self._show)
        self.form.filters_changed.connect(self._filter)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.connect(self._layers_changed)
        if self._segment is not None:
            self._segment.closed.connect(self._segment_closed)
        shut_down_with_window(self, leave_layers=True)

    def _disconnect(self) -> None:
        self.controller.changed.disconnect(self._show)
        self.form.filters_changed.disconnect(self._filter)
        events = self._viewer.layers.events
        for emitter in (events.inserted, events.removed, events.renamed):
            emitter.disconnect(self._layers_changed)
        if self._segment is not None:
            self._segment.closed.disconnect(self._segment_closed)

    def _segment_closed(self) -> None:
        if not isalive(self):
            return  # the whole window is going
        self.controller.discard()
        self._segment = None
        for button in self.buttons.values():
            button.setEnabled(False)
        self._say("Segment was closed: open this widget again.")

    # --- showing ---------------------------------------------------------------------

    def _layers_changed(self, event: Any = None) -> None:
        self.form.update_layers()

    def _filter(self) -> None:
        try:
            self.controller.filter(self.form.settings)
        except ValueError as error:
            self._say(str(error))

    def _say(self, text: str) -> None:
        self.status_line.setText(text)

    def _show(self) -> None:
        """Bring buttons, bar and text up to date."""
        controller = self.controller
        done, total = controller.progress
        there = controller.arrangement is not None
        writing = controller.writing
        idle = not controller.running and not writing
        self.buttons["run"].setEnabled(idle and controller.image_there)
        self.buttons["cancel"].setEnabled(controller.running)
        self.buttons["discard"].setEnabled(there and idle)
        for name in ("commit", "propagate"):
            self.buttons[name].setEnabled(there and controller.settled)
        self.form.top.setEnabled(not controller.running)
        self.bar.setVisible(controller.running)
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self._say(controller.message)
