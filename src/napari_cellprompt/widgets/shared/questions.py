"""Questions that the user answers with yes or no."""

from __future__ import annotations

from qtpy.QtWidgets import QMessageBox, QWidget

__all__ = ["agrees"]


def agrees(parent: QWidget, question: str) -> bool:
    """Ask in a dialog that stops everything else in the window."""
    answer = QMessageBox.question(parent, "Cellprompt", question)
    return bool(answer == QMessageBox.StandardButton.Yes)
