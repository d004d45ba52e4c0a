"""Offers the official models at the first start; nothing is downloaded unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cellprompt.core.zoo.registry import OFFERED_MODEL
from napari_cellprompt.session.choices import read_choices, remember
from napari_cellprompt.session.zoo import ModelRow, in_background, model_rows
from napari_cellprompt.widgets.shared.bridge import ResultBridge, complaint
from napari_cellprompt.widgets.shared.looks import grid_of, push_button, text_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["OfficialModels"]


class OfficialModels(QWidget):
    """One sentence and three buttons, until they are answered once.

    Parameters
    ----------
    download : callable
        ``download(name)`` gets a model.
    more : callable
        Shows all of them.
    """

    def __init__(self, download: Callable[[str], None], more: Callable[[], None]) -> None:
        super().__init__()
        self._download, self._more = download, more
        self._bridge = ResultBridge()
        self.text = text_line()
        self.fetch = push_button("Download", "Get it now", self._fetch)
        self.all = push_button("All models ...", "Sizes, licences, more of them", self._all)
        self.later = push_button("Not now", "They are under Model as well", self._done)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.text)
        layout.addLayout(grid_of([self.fetch, self.all, self.later]))
        self.hide()

    def look(self) -> Future[ModelRow | None]:
        """Ask, unless that was answered, or another model is here already."""
        wanted = in_background(_wanted)
        self._bridge.deliver(wanted, self._found)
        return wanted

    def _found(self, future: Future[ModelRow | None]) -> None:
        row = None if complaint(future) is not None else future.result()
        if row is None:
            return
        size = f"{row.nbytes / 1e6:.0f} MB" if row.nbytes else "size unknown"
        self.text.setText(
            "The bundled model is small. Of the official ones, SAM 2.1 tiny is a good "
            f"first one ({row.name}: {size}, {row.licence})."
        )
        self.show()

    def _fetch(self) -> None:
        self._done()
        self._download(OFFERED_MODEL)

    def _all(self) -> None:
        self._done()
        self._more()

    def _done(self) -> None:
        self.hide()
        in_background(lambda: remember(offered=True))

    def close_down(self) -> None:
        """Tell nothing any more."""
        self._bridge.close()


def _wanted() -> ModelRow | None:
    if read_choices().offered:
        return None
    rows = model_rows()
    if any(row.here and row.kind != "bundled" for row in rows):
        return None
    return next((row for row in rows if row.name == OFFERED_MODEL), None)
