"""Carries results from other threads to the GUI thread."""

from __future__ import annotations

import logging
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, Signal

from napari_cellprompt.core.errors import CellpromptError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ResultBridge", "complaint"]

_log = logging.getLogger(__name__)


class ResultBridge(QObject):
    """Runs callbacks on the thread that made the bridge, one queued signal for all."""

    _arrived = Signal(object, object)

    def __init__(self) -> None:
        super().__init__()
        self._closed = False
        self._arrived.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def deliver(self, future: Future[Any], callback: Callable[[Future[Any]], None]) -> None:
        """Call ``callback(future)`` here once the future is done, unless closed."""
        future.add_done_callback(lambda finished: self.post(callback, finished))

    def post(self, callback: Callable[[Any], None], value: Any) -> None:
        """Call ``callback(value)`` here soon, unless closed; from any thread."""
        if self._closed:
            return
        try:
            self._arrived.emit(callback, value)
        except RuntimeError:
            # Qt has deleted the bridge between the check and the call.
            self._closed = True

    def close(self) -> None:
        """Drop what is still to come."""
        if not self._closed:
            self._closed = True
            self.deleteLater()

    def _run(self, callback: Callable[[Any], None], value: Any) -> None:
        if not self._closed:
            callback(value)


def complaint(future: Future[Any]) -> str | None:
    """What to tell the user about a finished future.

    None when it holds a result, and an empty string when nobody waits for one any more.
    """
    try:
        error = future.exception()
    except CancelledError:
        return ""
    if error is None:
        return None
    if isinstance(error, CancelledError):
        return ""
    if isinstance(error, CellpromptError):
        return str(error)
    _log.debug("A job failed.", exc_info=error)
    return f"That did not work ({type(error).__name__}): {error}"
