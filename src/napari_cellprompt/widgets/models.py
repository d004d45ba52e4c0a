"""The dock widget "Models": which models there are, and getting and adding them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QLabel,
    QMessageBox,
    QPlainTextEdit,
    QProgressBar,
    QWidget,
)

from napari_cellprompt.session.zoo import (
    Download,
    ModelRow,
    in_background,
    model_rows,
    models_changed,
)
from napari_cellprompt.tasks.doctor import report
from napari_cellprompt.widgets.shared.body import Body
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint
from napari_cellprompt.widgets.shared.looks import grid_of, push_button
from napari_cellprompt.widgets.shared.model_table import ModelTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import napari.viewer
    from qtpy.QtGui import QCloseEvent

__all__ = ["ModelsWidget"]


def _confirm(parent: QWidget, question: str) -> bool:
    answer = QMessageBox.question(parent, "Models", question)
    return bool(answer == QMessageBox.StandardButton.Yes)


class ModelsWidget(QWidget):
    """A table of models with buttons to download, import and remove.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that the widget is docked in.
    confirm : callable, optional
        ``confirm(parent, question)``; asks before a download and a removal.
    examine : callable, optional
        Writes the report on this computer; on a thread of its own.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        *,
        confirm: Callable[[QWidget, str], bool] = _confirm,
        examine: Callable[[], str] = report,
    ) -> None:
        super().__init__()
        self._confirm = confirm
        self._report = examine
        self._bridge = ResultBridge()
        # a download may outlive the window; what it tells must not reach a deleted one
        self.destroyed.connect(self._bridge.close)
        self._download: Download | None = None
        self._told = 0

        self.list = ModelTable()
        self.table = self.list.table
        self.details = QLabel()
        self.details.setWordWrap(True)
        self.details.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.fetch = push_button("Download…")
        self.bring = push_button("Import file…")
        self.remove = push_button("Remove…")
        self.copy_path = push_button("Copy path")
        self.bar = QProgressBar()
        self.bar.setVisible(False)
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.doctor = push_button("Check this computer")
        self.doctor.setToolTip(
            "Versions, devices and the time of a click, as text to paste"
        )
        self.report = QPlainTextEdit()
        self.report.setReadOnly(True)
        # it is a table of two columns
        self.report.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.report.setVisible(False)
        self.copy_report = push_button("Copy report")
        self.copy_report.setVisible(False)

        layout = Body(self).rows
        layout.addWidget(self.list, 3)
        layout.addWidget(self.details)
        layout.addLayout(grid_of([self.fetch, self.bring, self.remove, self.copy_path]))
        layout.addWidget(self.bar)
        layout.addWidget(self.message)
        layout.addWidget(self.doctor)
        layout.addWidget(self.report, 2)
        layout.addWidget(self.copy_report)

        self.list.chosen.connect(self._show_details)
        self.fetch.clicked.connect(self._fetch_or_cancel)
        self.bring.clicked.connect(self._ask_for_file)
        self.remove.clicked.connect(self._remove)
        self.copy_path.clicked.connect(self._copy_path)
        self.doctor.clicked.connect(self._examine)
        self.copy_report.clicked.connect(lambda: self._copy(self.report.toPlainText()))
        self.refresh()

    # -- the table ---------------------------------------------------------------
    def refresh(self) -> None:
        """Read again which models there are."""
        self._bridge.deliver(in_background(model_rows), self._fill)

    def selected(self) -> ModelRow | None:
        """The model of the chosen line; the first where none is chosen."""
        return self.list.selected

    def choose(self, name: str) -> None:
        """Choose the line of a model."""
        self.list.choose(name)

    def _fill(self, future: Future[list[ModelRow]]) -> None:
        problem = complaint(future)
        if problem is not None:
            self.message.setText(problem)
            return
        self.list.fill(future.result())
        if self._download is not None:
            self.choose(self._download.name)
        self._show_details()

    def _show_details(self) -> None:
        row = self.selected()
        self._enable()
        if row is None:
            self.details.setText("No model has all these words." if self.list.rows else "")
            return
        parts = [f"<b>{row.name}</b> ({row.family}): {row.good_for}."]
        if row.fit:
            parts.append(f"An image on this computer: {row.fit}.")
        if row.licence:
            parts.append(f"Licence: {row.licence}.")
        if row.path:
            parts.append(f"File: {row.path}")
        elif row.url:
            parts.append(f"From {row.url}")
        self.details.setText("<br>".join(parts))

    def _enable(self) -> None:
        row, busy = self.selected(), self._download is not None
        self.fetch.setText("Cancel" if busy else "Download…")
        path = "" if row is None else row.path
        there = row is None or row.here or not row.url
        self.fetch.setEnabled(busy or not there)
        self.remove.setEnabled(not busy and bool(path))
        self.copy_path.setEnabled(bool(path))

    # -- download ----------------------------------------------------------------
    def _fetch_or_cancel(self) -> None:
        if self._download is not None:
            self._download.cancel()
            self.message.setText("Cancelling…")
            return
        row = self.selected()
        if row is None or row.here:
            return
        size = f" ({row.nbytes / 1e6:.0f} MB)" if row.nbytes else ""
        question = (
            f"Download {row.name}{size} from {row.url}?\n\nIts licence: {row.licence}."
        )
        if self._confirm(self, question):
            self.download(row.name)

    def download(self, name: str) -> None:
        """Get a published model at once; who calls this has asked the user."""
        if self._download is not None:
            self.message.setText(f"{self._download.name} is being fetched already.")
            return
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self.message.setText(f"Fetching {name}…")
        self._download = Download(name, self._progress)
        self.choose(name)
        self._bridge.deliver(self._download.future, self._fetched)
        self._enable()

    def _progress(self, there: int, total: int | None) -> None:
        # on the thread of the download; a hundred times in all are enough
        if total is None or there in (0, total) or there - self._told >= total / 100:
            self._told = there
            self._bridge.post(self._show_progress, (there, total))

    def _show_progress(self, state: tuple[int, int | None]) -> None:
        there, total = state
        if total:
            # in kilobytes: a bar counts to 2^31 at most
            self.bar.setRange(0, total // 1000)
            self.bar.setValue(there // 1000)

    def _fetched(self, future: Future[object]) -> None:
        name = "" if self._download is None else self._download.name
        self._download = None
        self.bar.setVisible(False)
        problem = complaint(future)
        if problem is None:
            self._changed(f"{name} is here now, verified. Choose it under Model.")
        else:
            self.message.setText(problem or f"Cancelled. What came of {name} is kept.")
            self._enable()

    # -- import, remove ----------------------------------------------------------
    def _ask_for_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Import weights", "", "Weights (*.safetensors *.pt *.pth)"
        )
        if path:
            self.import_file(path)

    def import_file(self, path: str) -> None:
        """Check a file of weights and remember it under its name."""
        from napari_cellprompt.core.zoo.importing import import_model

        self.message.setText("Reading the file…")

        def done(future: Future[object]) -> None:
            problem = complaint(future)
            if problem is None:
                self._changed("Imported. The file stays where it is.")
            else:
                self.message.setText(problem)

        self._bridge.deliver(in_background(lambda: import_model(path)), done)

    def _remove(self) -> None:
        from napari_cellprompt.core.zoo.user_models import forget_model

        row = self.selected()
        if row is None:
            return
        mine = row.kind == "yours"
        question = (
            f"Forget {row.name}? The file stays at {row.path}."
            if mine
            else f"Delete {row.path}?"
        )
        if not self._confirm(self, question):
            return

        def done(future: Future[object]) -> None:
            problem = complaint(future)
            if problem is None:
                self._changed(f"{row.name} was removed.")
            else:
                self.message.setText(problem)

        self._bridge.deliver(in_background(lambda: forget_model(row.name)), done)

    def _changed(self, text: str) -> None:
        self.message.setText(text)
        self.refresh()
        models_changed.emit()

    # -- doctor ------------------------------------------------------------------
    def _examine(self) -> None:
        self.doctor.setEnabled(False)
        self.message.setText("Measuring…")

        def done(future: Future[str]) -> None:
            self.doctor.setEnabled(True)
            problem = complaint(future)
            self.message.setText(problem or "")
            if problem is None:
                self.report.setPlainText(future.result())
                self.report.setVisible(True)
                self.copy_report.setVisible(True)

        self._bridge.deliver(in_background(self._report), done)

    def _copy_path(self, _: bool = False) -> None:
        row = self.selected()
        if row is not None:
            self._copy(row.path)

    def _copy(self, text: str) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(text)
        self.message.setText("Copied.")

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """Stop a download with the window; what came is kept."""
        if self._download is not None:
            self._download.cancel()
        self._bridge.close()
        super().closeEvent(event)
