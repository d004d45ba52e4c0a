"""A small table: how good a model was on the objects held out, and how good it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QSizePolicy

if TYPE_CHECKING:
    from napari_cellprompt.session.adapt import Outcome

__all__ = ["FigureTable", "figure_rows"]

_ROWS = (
    ("IoU of a click", "click", 2),
    ("IoU of a box", "box", 2),
    ("Corrections each", "corrections", 1),
)
"""Text, figure, and digits behind the point."""


def figure_rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    """What is measured, before, and now."""
    return [
        (text, f"{outcome.before[name]:.{digits}f}", f"{outcome.after[name]:.{digits}f}")
        for text, name, digits in _ROWS
    ]


class FigureTable(QLabel):
    """Both figures of each measurement side by side; hidden where there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setToolTip(
            "Measured on accepted objects that the model has not learnt from: a click into "
            "the middle, the box around it, and the clicks that correct the first answer"
        )
        self.setVisible(False)

    def show_outcome(self, outcome: Outcome | None) -> None:
        """Show the figures of a run."""
        self.setVisible(outcome is not None)
        if outcome is None:
            return
        count = round(outcome.after["objects"])
        lines = [(f"{count} objects held out", "before", "adapted"), *figure_rows(outcome)]
        rows = "".join(
            f'<tr><td width="150">{text}</td><td width="60" align="right">{before}</td>'
            f'<td width="70" align="right"><b>{after}</b></td></tr>'
            for text, before, after in lines
        )
        self.setText(f"<table>{rows}</table>")
