"""Long work on the GUI thread, a little in each turn of the event loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["SlicedWork"]

# Half of what a window may be busy without being felt to stand still.
_TURN = 0.025


class SlicedWork:
    """Runs a generator for at most about 25 ms per turn of the event loop.

    Parameters
    ----------
    parent : QObject
        Owner of the timer.
    """

    def __init__(self, parent: QObject) -> None:
        self._timer = QTimer(parent)
        self._timer.timeout.connect(self._turn)
        self._work: Generator[Any, None, None] | None = None
        self._done: Callable[[Exception | None], None] = _nothing

    @property
    def busy(self) -> bool:
        """Whether there is work left."""
        return self._work is not None

    def start(
        self,
        work: Generator[Any, None, None],
        done: Callable[[Exception | None], None],
    ) -> None:
        """Run ``work`` to its end, then call ``done`` with the error that ended it."""
        self.stop()
        self._work, self._done = work, done
        self._timer.start(0)

    def stop(self) -> None:
        """Close the generator; ``done`` is not called."""
        self._timer.stop()
        work, self._work = self._work, None
        if work is not None:
            work.close()

    def _turn(self) -> None:
        work = self._work
        if work is None:
            self._timer.stop()
            return
        until = time.perf_counter() + _TURN
        error: Exception | None = None
        try:
            while time.perf_counter() < until:
                next(work)
            return
        except StopIteration:
            pass
        except Exception as raised:  # goes to whoever started the work
            error = raised
        self._timer.stop()
        self._work = None
        self._done(error)


def _nothing(error: Exception | None) -> None:
    """Nobody waits."""
