"""Which channels the model is shown together: a row for each channel that there is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_cellprompt.layers.composing import (
    Use,
    kind_of,
    offered,
    read_rows,
    title_of,
    unfit,
    written_rows,
)
from napari_cellprompt.session.choices import read_choices, remember
from napari_cellprompt.widgets.shared.looks import text_line

from .row import ChannelRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image

    from napari_cellprompt.layers.composing import ChannelChoice
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["ChannelPanel"]

_PAUSE = 250
"""Milliseconds without a change before the model is shown something else."""
_COLOURS: tuple[Use, ...] = ("red", "green", "blue")


class ChannelPanel(QWidget):
    """Chooses the composition of the image that is worked on.

    What was chosen is remembered by kind of image (so many channels, layers of these
    names), and is there again, switched off, at the next image of the kind.

    Parameters
    ----------
    place : Workplace
        Takes what is chosen.
    percentiles : tuple of float
        Which become black and white at first.
    """

    changed = Signal()
    """The model is to be shown something else."""

    def __init__(
        self, place: Workplace, *, percentiles: tuple[float, float] = (0.1, 99.9)
    ) -> None:
        super().__init__()
        self._place = place
        self._percentiles = percentiles
        self._viewer = place.viewer
        self._image: Image | None = None
        self._offered: list[ChannelChoice] = []
        self._kept: dict[str, list[ChannelChoice]] = {}
        """Choices by image and axis."""
        self.rows: list[ChannelRow] = []
        self.on = QCheckBox("Show the model these channels together")
        self.line = text_line()
        self._box = QVBoxLayout()
        self._box.setContentsMargins(0, 0, 0, 0)
        self._box.setSpacing(3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.on)
        layout.addLayout(self._box)
        layout.addWidget(self.line)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE)
        self._pause.timeout.connect(self._use)
        self.on.toggled.connect(self._switched)
        events = self._viewer.layers.events
        self._emitters = (events.inserted, events.removed, events.renamed)
        for emitter in self._emitters:
            emitter.connect(self.look)
        place.chosen_changed.connect(self.look)
        self.look()

    @property
    def choices(self) -> list[ChannelChoice]:
        """What is chosen for each channel."""
        return [row.choice for row in self.rows]

    @property
    def title(self) -> str:
        """Of the section, so that it says how things stand while it is folded."""
        if not self._place.composition:
            return "Channels"
        used = sum(choice.use != "off" for choice in self.choices)
        return f"Channels: {used} of {len(self.rows)}, together"

    def look(self, event: Any = None) -> None:
        """List the channels that there are now."""
        image, axis = self._place.chosen.image, self._place.channel_axis
        if image is not None and axis is not None and axis >= image.ndim:
            axis = None
        self._image = image
        rows, names = [], []
        if image is not None:
            rows = offered(self._viewer, image, axis, self._percentiles)
            names = [title_of(self._viewer, image, row) for row in rows]
        if rows != self._offered or names != [row.title.text() for row in self.rows]:
            self._offered = rows
            self._list(names, self._known(rows))
        self._set_on(bool(self._place.composition))
        self._say()

    def restore(self, kept: Sequence[Mapping[str, Any]]) -> None:
        """Choose what was chosen in a session, and switch it on if all of it is there."""
        if self._image is None:
            return
        found = read_rows(self._viewer, self._image, self._offered, kept)
        for row, choice in zip(self.rows, found, strict=True):
            row.choose(choice)
        wanted = [str(one.get("layer")) for one in kept if one.get("use", "off") != "off"]
        there = sum(choice.use != "off" for choice in found)
        self._set_on(there == len(wanted))
        self._use()
        if there < len(wanted):
            names = {row.title.text() for row in self.rows}
            gone = ", ".join(f"'{name}'" for name in wanted if name not in names)
            self._tell(
                f"The session had further channels ({gone or 'of another axis'}): open "
                "them, then switch the channels on."
            )

    def written(self) -> list[dict[str, Any]]:
        """What is chosen, as it is kept; empty while it is switched off."""
        if self._image is None or not self.on.isChecked():
            return []
        return written_rows(self._viewer, self._image, self.choices)

    def close_down(self) -> None:
        """Undo every connection."""
        self._pause.stop()
        self._place.chosen_changed.disconnect(self.look)
        for emitter in self._emitters:
            emitter.disconnect(self.look)
        self._image = None

    # --- rows ------------------------------------------------------------------------

    def _name(self) -> str:
        image = self._image
        return "" if image is None else f"{image.unique_id} {self._place.channel_axis}"

    def _known(self, rows: list[ChannelChoice]) -> list[ChannelChoice]:
        """Channels as they were chosen last, for this image or for one of its kind."""
        image = self._image
        if image is None:
            return []
        own = {(one.number, one.layer): one for one in self._kept.get(self._name(), [])}
        own |= {(one.number, one.layer): one for one in self._place.composition}
        if own:
            return [own.get((row.number, row.layer), row) for row in rows]
        kept = read_choices().channels.get(kind_of(self._viewer, image, rows), [])
        return read_rows(self._viewer, image, rows, kept)

    def _list(self, names: list[str], choices: list[ChannelChoice]) -> None:
        while self.rows:
            row = self.rows.pop()
            self._box.removeWidget(row)
            row.hide()
            row.deleteLater()
        for name, choice in zip(names, choices, strict=True):
            row = ChannelRow(name, choice, self._edited)
            self._box.addWidget(row)
            self.rows.append(row)

    def _say(self) -> None:
        """What can be done, or why nothing can."""
        image, count = self._image, len(self.rows)
        self.on.setEnabled(count > 0)
        if image is None:
            text = "Open an image first."
        elif self._place.composition:
            text = "Of channels with one colour the brightest counts."
            text = text if self._several() else ""
        elif count == 1:
            text = (
                "There is one channel. Further ones are the Image layers with the same "
                "pixels, or those along a Channel axis chosen above."
            )
        else:
            text = ""
        if image is not None:
            problems = unfit(self._viewer, image, self._place.channel_axis)
            text = " ".join([text, *problems[:2]])
        self._tell(text.strip())

    def _tell(self, text: str) -> None:
        self.line.setText(text)
        self.line.setVisible(bool(text))

    def _several(self) -> bool:
        """Whether channels share a colour."""
        used = [one.use for one in self._place.composition]
        return len(used) > len(set(used))

    # --- what the user does -------------------------------------------------------------

    def _set_on(self, on: bool) -> None:
        self.on.blockSignals(True)
        self.on.setChecked(on)
        self.on.blockSignals(False)

    def _switched(self, on: bool) -> None:
        if on and all(choice.use == "off" for choice in self.choices):
            uses = _COLOURS if len(self.rows) > 1 else ("grey",)
            for row, use in zip(self.rows, uses, strict=False):
                row.choose(replace(row.choice, use=use))
        self._use()

    def _edited(self) -> None:
        """Choosing something for a channel means that it is to be used."""
        self._set_on(any(choice.use != "off" for choice in self.choices))
        self._pause.start()

    def _use(self) -> None:
        """Show the model what is chosen, and remember it."""
        self._pause.stop()
        image = self._image
        if image is None:
            return
        choices = self.choices
        used = tuple(choice for choice in choices if choice.use != "off")
        self._kept[self._name()] = choices
        self._place.composition = used if self.on.isChecked() else ()
        self._set_on(bool(self._place.composition))
        if used:
            kept = written_rows(self._viewer, image, choices)
            remember(channels=(kind_of(self._viewer, image, choices), kept))
        self._say()
        self.changed.emit()
