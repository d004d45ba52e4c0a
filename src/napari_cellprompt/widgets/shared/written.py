"""What a widget says of objects that it has written, also after their undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from psygnal import SignalInstance

__all__ = ["ToldOfWritten"]


class ToldOfWritten:
    """Replaces what was told of written objects when they are taken back, or are back.

    Parameters
    ----------
    status : callable
        Gives what the widget says now: anything else stays as it is.
    tell : callable
        Shows another text.
    """

    def __init__(self, status: Callable[[], str], tell: Callable[[str], None]) -> None:
        self._status = status
        self._tell = tell
        self._text = ""
        self._moved: SignalInstance | None = None

    def note(self, text: str) -> None:
        """Remember what is told of the objects that were written last."""
        self._text = text

    def follow(self, moved: SignalInstance | None) -> None:
        """Listen to a history's ``moved`` (what was pressed, what to say) from now on."""
        if self._moved is not None:
            self._moved.disconnect(self._taken_back)
        self._moved = moved
        if moved is not None:
            moved.connect(self._taken_back)

    def _taken_back(self, what: str, text: str) -> None:
        if self._text and self._status() == self._text:
            self._text = text
            self._tell(text)
