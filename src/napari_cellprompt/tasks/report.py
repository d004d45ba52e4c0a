"""What a task tells while it works, and how it hears that it is to stop."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["SILENT", "Report", "counted", "duration"]


def _ignore(*_: object) -> None:
    """Nobody listens."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Report:
    """Where a task's sentences go; by default nowhere, and nothing stops it."""

    say: Callable[[str], None] = _ignore
    """Told what was read, done and left out, a sentence at a time."""
    progress: Callable[[int, int], None] = _ignore
    """Told how many steps (planes, images, planes of objects) are done, out of how many
    at most."""
    cancelled: Callable[[], bool] = _never
    """Asked before each slow step."""
    interruptible: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    """Entered for a part of the work of which something is kept when it is stopped: an
    interrupt within it makes ``cancelled`` true, instead of ending the task."""


SILENT = Report()
"""For calls that tell nothing."""


def counted(number: int) -> str:
    """Return ``1 object``, ``2 objects``, ..."""
    return f"{number} object" if number == 1 else f"{number} objects"


def duration(seconds: float) -> str:
    """Return ``3.2 s``, ``45 s`` or ``12 min``."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
