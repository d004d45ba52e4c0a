"""The controls of one channel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_cellprompt.layers.composing import Use

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_cellprompt.layers.composing import ChannelChoice

__all__ = ["ChannelRow"]

_WIDTH = 34
"""Pixels for a number of four digits."""


class ChannelRow(QWidget):
    """What is made of a channel, and how it is prepared where something is made of it.

    Parameters
    ----------
    title : str
        Of the channel.
    choice : ChannelChoice
        What is chosen at first.
    changed : callable
        Called when the user has chosen something else.
    """

    def __init__(
        self, title: str, choice: ChannelChoice, changed: Callable[[], None]
    ) -> None:
        super().__init__()
        self._choice = choice
        self._changed = changed
        self.title = QLabel(title)
        self.title.setToolTip(title)
        self.title.setTextFormat(Qt.TextFormat.PlainText)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.use = QComboBox()
        self.use.addItems(get_args(Use))
        self.use.setToolTip("What this channel is in the picture that the model sees")
        self.low = _number(0.0, 49.9, 1, "Percentile of the whole stack that becomes black")
        self.high = _number(
            50.0, 100.0, 1, "Percentile of the whole stack that becomes white"
        )
        self.smooth = _number(
            0.0, 20.0, 1, "Standard deviation of a Gaussian in pixels; 0 does not smooth"
        )
        self.invert = QCheckBox("invert")
        self.invert.setToolTip("Dark becomes bright, as for a bright-field image")
        self.more = QWidget()
        first, second = QHBoxLayout(), QHBoxLayout(self.more)
        first.addWidget(self.title, 3)
        first.addWidget(self.use, 2)
        for widget in (
            self.low,
            QLabel("to"),
            self.high,
            QLabel("%"),
            self.invert,
            QLabel("smooth"),
            self.smooth,
        ):
            second.addWidget(widget)
        second.addStretch()
        layout = QVBoxLayout(self)
        for part in (first, second, layout):
            part.setContentsMargins(0, 0, 0, 0)
            part.setSpacing(4)
        second.setContentsMargins(10, 0, 0, 2)
        layout.addLayout(first)
        layout.addWidget(self.more)
        self._show(choice)
        self.use.currentTextChanged.connect(self._edited)
        self.invert.toggled.connect(self._edited)
        for box in (self.low, self.high, self.smooth):
            box.valueChanged.connect(self._edited)

    @property
    def choice(self) -> ChannelChoice:
        """What is chosen."""
        return self._choice

    def choose(self, choice: ChannelChoice) -> None:
        """Choose something without telling anyone."""
        self._choice = choice
        controls = (self.use, self.low, self.high, self.smooth, self.invert)
        for control in controls:
            control.blockSignals(True)
        self._show(choice)
        for control in controls:
            control.blockSignals(False)

    def _show(self, choice: ChannelChoice) -> None:
        self.use.setCurrentText(choice.use)
        self.low.setValue(choice.low)
        self.high.setValue(choice.high)
        self.smooth.setValue(choice.smooth)
        self.invert.setChecked(choice.invert)
        self.more.setVisible(choice.use != "off")

    def _edited(self, _: Any = None) -> None:
        use = next(name for name in get_args(Use) if name == self.use.currentText())
        self._choice = replace(
            self._choice,
            use=use,
            low=self.low.value(),
            high=self.high.value(),
            smooth=self.smooth.value(),
            invert=self.invert.isChecked(),
        )
        self.more.setVisible(use != "off")
        self._changed()


def _number(least: float, most: float, decimals: int, tip: str) -> QDoubleSpinBox:
    """A narrow box for a number, which tells of it once it is typed."""
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(least, most)
    box.setSingleStep(0.1 if most > 20 else 0.5)
    box.setKeyboardTracking(False)
    box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
    # napari's own style makes room for buttons, which would widen the dock
    box.setStyleSheet(f"min-width: {_WIDTH}px; max-width: {_WIDTH}px; padding: 1px 3px;")
    box.setToolTip(tip)
    return box
