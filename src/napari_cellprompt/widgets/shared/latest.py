"""Calculations on a thread of their own, of which only the newest matters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from .bridge import ResultBridge

__all__ = ["Latest"]


class Latest:
    """Runs one calculation at a time; of those asked for meanwhile only the last.

    For what takes too long for the GUI thread and is not to wait for the model. Used
    from the GUI thread only.

    Parameters
    ----------
    bridge : ResultBridge
        Carries results to the GUI thread.
    name : str
        Of the thread.
    """

    def __init__(self, bridge: ResultBridge, name: str) -> None:
        self._bridge = bridge
        self._executor = ThreadPoolExecutor(1, name)
        self._runs = False
        self._next: tuple[Callable[[], Any], Callable[[Future[Any]], None]] | None = None

    @property
    def busy(self) -> bool:
        """Whether a result is still to come."""
        return self._runs

    def ask(self, work: Callable[[], Any], done: Callable[[Future[Any]], None]) -> None:
        """Run ``work`` there, then ``done`` here, unless something newer is asked for."""
        self._next = work, done
        if not self._runs:
            self._start()

    def forget(self) -> None:
        """Do not start what waits."""
        self._next = None

    def close(self) -> None:
        """Start nothing any more."""
        self._next = None
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        if self._next is None:
            return
        (work, done), self._next = self._next, None
        self._runs = True

        def arrived(future: Future[Any]) -> None:
            self._runs = False
            if self._next is None:
                done(future)
            else:
                self._start()

        self._bridge.deliver(self._executor.submit(work), arrived)
