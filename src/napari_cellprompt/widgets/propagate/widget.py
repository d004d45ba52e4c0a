"""The Propagate dock widget: follow objects through a stack, look, correct, accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.compat import isalive
from qtpy.QtWidgets import QScrollArea, QWidget

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.ownership import plain
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.docks import (
    has_left_dock,
    open_beside,
    open_dock,
    shut_down_with_window,
)
from napari_cellprompt.widgets.shared.keys import PROPAGATE_KEYS, KeyBinder, name_of
from napari_cellprompt.widgets.shared.looks import Accent, Section, key_label

from .controller import PropagateController
from .desk import READY
from .form import PropagateForm
from .panel import ChoiceList, PropagatePanel
from .run import rows_of
from .seeds import suggested
from .strip import ConfidenceStrip

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtCore import QEvent

    from napari_cellprompt.widgets.segment.widget import SegmentWidget

__all__ = ["PropagateWidget"]

_HELP = [
    ("Click, box", "correct the object on this plane"),
    ("Brush", "paint into the Propagation layer"),
    ("\u25c6 \u25a0 \u2715", "prompted, accepted, object ends here"),
]


class PropagateWidget(QWidget):
    """Follows objects of the Segment widget through z-stacks and movies.

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
        self.form = PropagateForm()
        self.controller = PropagateController(viewer, warn=show_warning)
        self.desk = self.controller.desk
        review, consequences = self.controller.review, self.controller.review.consequences
        self.strip = ConfidenceStrip()
        self.panel = PropagatePanel(
            {
                "start": self.start,
                "cancel": self.controller.cancel,
                "resume": self.controller.resume,
                "worst": review.worst,
                "lock": review.lock,
                "clear": review.clear,
                "accept": self.controller.accept,
                "discard": self.controller.discard,
            }
        )
        self.changes = ChoiceList(
            "What the correction changes",
            ("Use changes", "Replace these planes", consequences.use),
            ("Keep old", "All planes as they were before it", consequences.drop),
            (
                "Only the corrected plane",
                "Keep the correction, and the other planes as they were",
                consequences.only_here,
            ),
        )
        self.divisions = ChoiceList(
            "Divisions?",
            ("Two daughters", "End the object, follow two new ones", self._divide),
            ("No division", "Keep it one object, do not ask again", self._keep_whole),
        )
        self.keys = KeyBinder(
            {"worst": review.worst, "lock": review.lock, "clear": review.clear},
            PROPAGATE_KEYS,
        )
        self.segment: SegmentWidget | None = open_beside(viewer, "Segment")
        self._strip_area = QScrollArea()
        # One at most can be pressed at a time: the next step.
        self._accent = Accent(
            viewer,
            self.panel.buttons["start"],
            self.panel.buttons["accept"],
            self.changes.yes,
        )
        # Layout, state, connections.
        self._lay_out()
        self._connect()
        self.controller.attach(self.segment.controller)
        self._show_axes()
        self.suggest()
        self._show()

    def suggest(self) -> None:
        """Choose what there is to follow, before the user does."""
        if self.segment is not None and self.desk.stage == "idle":
            self.form.what.value = suggested(self.form.what.value, self.segment.controller)

    def start(self) -> None:
        """Follow the chosen objects."""
        if self.segment is None:
            self.segment = open_dock(self._viewer, "Segment")
            self._follow_segment()
        self.controller.start(self.form.choices, self.form.settings)

    # --- life ------------------------------------------------------------------------

    def event(self, event: QEvent | None) -> bool:
        """End the propagation when napari takes the widget out of its dock."""
        if has_left_dock(self, event):
            self.shut_down()
        return event is not None and bool(super().event(event))

    def shut_down(self) -> None:
        """Let go of viewer, layers and model; what was accepted stays."""
        if self._closed:
            return
        self._closed = True
        self._disconnect()
        self._accent.close()
        self.controller.close()
        self.form.close()
        self.segment = None

    def _lay_out(self) -> None:
        keys = [(name_of(key), key.text) for key in PROPAGATE_KEYS]
        area = self._strip_area
        area.setWidget(self.strip)
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        layout = Body(self).rows
        layout.addWidget(self.form.top)
        layout.addWidget(self.panel.start_row)
        layout.addWidget(self.panel.bar)
        layout.addWidget(self.panel.status_line)
        layout.addWidget(area)
        layout.addWidget(self.panel.plane_row)
        layout.addWidget(self.changes)
        layout.addWidget(self.divisions)
        layout.addWidget(self.panel.end_row)
        layout.addWidget(Section("How objects are followed", self.form.more))
        layout.addWidget(
            Section("Mouse and keys", key_label([*_HELP, *keys]), expanded=True)
        )
        layout.addStretch()

    def _connect(self) -> None:
        self._follow_segment()
        self.form.axis.changed.connect(self.form.axis_changed)
        self.desk.changed.connect(self._show)
        self.desk.strip_changed.connect(self._show_strip)
        self.strip.plane_picked.connect(self.desk.go_to)
        self.strip.object_picked.connect(self.controller.choose)
        self.changes.plane_picked.connect(self.desk.go_to)
        self.divisions.plane_picked.connect(self.desk.go_to)
        dims = self._viewer.dims.events
        for emitter in (dims.current_step, dims.order, dims.ndim):
            emitter.connect(self._plane_moved)
        shut_down_with_window(self)

    def _follow_segment(self) -> None:
        if self.segment is not None:
            self.segment.closed.connect(self._segment_closed)
            self.segment.controller.changed.connect(self._show_axes)
            self.controller.attach(self.segment.controller)

    def _disconnect(self) -> None:
        self.keys.unbind()
        dims = self._viewer.dims.events
        for emitter in (dims.current_step, dims.order, dims.ndim):
            emitter.disconnect(self._plane_moved)
        self.desk.changed.disconnect(self._show)
        self.desk.strip_changed.disconnect(self._show_strip)
        self._leave_segment()

    def _leave_segment(self) -> None:
        if self.segment is not None:
            self.segment.closed.disconnect(self._segment_closed)
            self.segment.controller.changed.disconnect(self._show_axes)

    def _segment_closed(self) -> None:
        if not (isalive(self) and isalive(self.desk.bridge)):
            return  # the whole window is going
        self._leave_segment()
        self.controller.attach(None)
        self.segment = None
        self.desk.tell("Segment was closed; Propagate opens it again.")

    # --- showing ---------------------------------------------------------------------

    def _show_axes(self) -> None:
        """Offer the axes of the image that is segmented."""
        if self.segment is None or self.desk.run is not None:
            return
        segment = self.segment.controller
        image = segment.place.chosen.image
        try:
            view = (
                None
                if image is None
                else plane_of(self._viewer, image, channel_axis=segment.place.channel_axis)
            )
        except CellpromptError:
            # Segment tells the user what is wrong with the axes.
            view = None
        self.form.offer(image, view)
        self._show_start(image is not None)

    def _show_start(self, there: bool) -> None:
        """Let nothing be started while no image is open, and say so."""
        if self.desk.stage != "idle":
            return
        self.panel.buttons["start"].setEnabled(there)
        if not there and self.desk.status == READY:
            self.panel.status_line.setText("Open an image stack or a movie to start.")
        else:
            self.panel.status_line.setText(self.desk.status)

    def _plane_moved(self, event: Any = None) -> None:
        self._show_axes()
        self.strip.show_current(self.desk.plane)

    def _show(self) -> None:
        """Bring buttons, lists and keys up to date."""
        looking = self.controller.review.active
        self.panel.show_state(self.desk)
        segment = self.segment
        self._show_start(segment is None or segment.place.chosen.image is not None)
        self.form.top.setEnabled(self.desk.run is None or self.desk.stage == "announced")
        self.form.more.setEnabled(self.form.top.isEnabled())
        self._strip_area.setVisible(looking)
        self.panel.plane_row.setVisible(looking)
        self.panel.end_row.setVisible(looking or self.desk.stage == "announced")
        self.changes.offer(self._change_entries())
        self.divisions.offer(self._division_entries())
        self._bind_keys(looking)

    def _show_strip(self) -> None:
        run = self.desk.run
        self.strip.show_rows(
            rows_of(run),
            0 if run is None else len(run.stack),
            chosen=self.desk.object_id,
            axis="plane" if run is None else run.stack.axis.plane_word,
        )
        self.strip.show_current(self.desk.plane)
        self._strip_area.setFixedHeight(min(self.strip.sizeHint().height() + 4, 220))

    def _change_entries(self) -> list[tuple[str, int, Any]]:
        if self.desk.stage != "changes":
            return []
        word = self._word
        return [
            (
                f"{word} {change.plane}, object {change.id}: +{added} -{removed} pixels",
                change.plane,
                change,
            )
            for change, added, removed in self.controller.review.consequences.overlay.planes
        ]

    def _division_entries(self) -> list[tuple[str, int, Any]]:
        return [
            (
                f"{self._word} {division.plane}: object {division.id} is in two parts",
                division.plane,
                division,
            )
            for division in self.controller.review.divisions.proposals
        ]

    @property
    def _word(self) -> str:
        run = self.desk.run
        return "Plane" if run is None else run.stack.axis.plane_word.capitalize()

    def _divide(self) -> None:
        if self.divisions.chosen is not None:
            self.controller.review.divisions.accept(self.divisions.chosen)

    def _keep_whole(self) -> None:
        if self.divisions.chosen is not None:
            self.controller.review.divisions.reject(self.divisions.chosen)

    def _bind_keys(self, looking: bool) -> None:
        """Bind while there is something to look through, and give the keys back after."""
        segment = self.segment
        layers = [] if segment is None else segment.place.chosen.prompts
        preview = self.desk.preview.layer
        if preview is not None:
            layers = [*layers, preview]
        wanted = [self._viewer, *layers] if looking else []
        if [id(target) for target in wanted] != [id(bound) for bound in self.keys.targets]:
            self.keys.unbind()
            if looking:
                self.keys.bind(self._viewer, layers)
