"""Where a task's sentences and progress go on a terminal, and what Ctrl-C does."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from napari_cellprompt.tasks.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["INTERRUPTED", "print_line", "printed_report", "say"]

INTERRUPTED = 130
"""Exit code, as a shell has it after Ctrl-C."""


def say(text: str) -> None:
    """Tell the user; the standard output stays free."""
    print(text, file=sys.stderr, flush=True)


def print_line(event: str, **values: Any) -> None:
    """Print one event as a line of JSON on the standard output, for other programs."""
    print(json.dumps({"event": event, **values}, default=str), flush=True)


def printed_report(json_lines: bool = False) -> Report:
    """A report that goes to the standard error stream, with a bar on a terminal.

    Parameters
    ----------
    json_lines
        Write lines of JSON to the standard output instead.
    """
    event = threading.Event()
    bar = _Bar()
    return Report(
        say=_say_line if json_lines else bar.say,
        progress=_progress_line if json_lines else bar.progress,
        cancelled=event.is_set,
        interruptible=lambda: _interruptible(event),
    )


def _say_line(text: str) -> None:
    print_line("message", text=text)


def _progress_line(done: int, total: int) -> None:
    print_line("progress", done=done, total=total)


class _Bar:
    """A progress bar that is there from the first step on, on a terminal only."""

    def __init__(self) -> None:
        self._bar: Any = None

    def say(self, text: str) -> None:
        """Print a sentence above the bar."""
        if self._bar is None:
            say(text)
        else:
            self._bar.write(text, file=sys.stderr)

    def progress(self, done: int, total: int) -> None:
        """Show how many steps are done."""
        if self._bar is None:
            if not sys.stderr.isatty() or done >= total:
                return
            from tqdm import tqdm

            self._bar = tqdm(total=total, file=sys.stderr, leave=False)
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()
            self._bar = None


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
        say("interrupted: finishing this step, then writing (again to stop at once)")
        event.set()

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
