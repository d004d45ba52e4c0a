"""Where a task's sentences go on a terminal, and what Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING

from napari_cellprompt.tasks.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["INTERRUPTED", "printed_report", "say"]

INTERRUPTED = 130
"""Exit code."""


def say(text: str) -> None:
    """Tell the user; the standard output stays free."""
    print(text, file=sys.stderr, flush=True)


def printed_report() -> Report:
    """A report that goes to the standard error stream."""
    event = threading.Event()
    return Report(
        say=say, cancelled=event.is_set, interruptible=lambda: _interruptible(event)
    )


@contextlib.contextmanager
def _interruptible(event: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set an event; a second one interrupts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: Callable[..., object] | int | None = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        say("interrupted: finishing this plane, then writing (again to stop at once)")
        event.set()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
