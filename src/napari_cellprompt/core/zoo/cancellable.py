"""Reads from a slow source in a way that can be given up at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import TypeVar

__all__ = ["patiently"]

T = TypeVar("T")

_LOOK = 0.1
"""Seconds between two looks at whether somebody still waits."""
_AHEAD = 4
"""Items that are read before the last one was taken."""


def patiently(
    items: Callable[[], Iterator[T]], cancelled: Callable[[], bool] | None
) -> Iterator[T]:
    """Items of an iterator that may block for long, read on a thread of its own.

    Whoever gives up does not wait for the source: its thread is left behind and ends
    when the source says something or its own timeout is over.

    Parameters
    ----------
    items
        Makes the iterator, on that thread.
    cancelled
        Asked ten times a second, and before each item.

    Raises
    ------
    concurrent.futures.CancelledError
        Where ``cancelled`` said so.
    Exception
        What the iterator raised.
    """
    found: queue.Queue[tuple[T] | Exception | None] = queue.Queue(_AHEAD)
    left = threading.Event()

    def hand_over(item: tuple[T] | Exception | None) -> bool:
        while not left.is_set():
            try:
                found.put(item, timeout=_LOOK)
            except queue.Full:
                continue
            return True
        return False

    def read() -> None:
        try:
            for item in items():
                if not hand_over((item,)):
                    return
        except Exception as error:  # raised again where the items are taken
            hand_over(error)
            return
        hand_over(None)

    threading.Thread(target=read, name="cellprompt-download", daemon=True).start()
    try:
        while True:
            if cancelled is not None and cancelled():
                raise CancelledError
            try:
                item = found.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item[0]
    finally:
        left.set()
