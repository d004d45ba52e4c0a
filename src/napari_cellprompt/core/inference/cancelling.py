"""How slow work ends early where it is no longer wanted."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["stop_if"]


def stop_if(cancelled: Callable[[], bool] | None) -> None:
    """Raise ``concurrent.futures.CancelledError`` where ``cancelled`` says so."""
    if cancelled is not None and cancelled():
        raise CancelledError
