"""What the user is told in Segment, and how long it stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_cellprompt.layers.prompting.drawn import Drawing

__all__ = ["Told"]


class Told:
    """The message of the moment, with what is to be said beside it."""

    def __init__(self) -> None:
        self.text = ""
        """The message alone."""
        self.note = ""
        """Which image is meant, while another one is seen."""
        self.channels = ""
        """Which channels the model sees; said where there is no note."""
        self._lasting: tuple[str, Drawing | None] | None = None

    @property
    def line(self) -> str:
        """All that is shown."""
        return f"{self.text} {self.note or self.channels}".strip()

    def say(self, text: str) -> None:
        """Tell what has happened, in the place of whatever was told before."""
        self.text, self._lasting = text, None

    def release(self) -> None:
        """Let whatever comes next take the place of a message that stays."""
        self._lasting = None

    def beside(self, note: str, channels: str) -> bool:
        """Set what is said beside the message; whether that is something else now."""
        before = self.note, self.channels
        self.note, self.channels = note, channels
        return before != (note, channels)

    def keep(self, text: str, drawn: Drawing | None) -> None:
        """Tell something that stays while other planes are looked at.

        Parameters
        ----------
        text : str
            The message; it stays until something else happens.
        drawn : Drawing, optional
            What is drawn now: whoever draws more wants to know of that.
        """
        self.text, self._lasting = text, (text, drawn)

    def answer(self, text: str, drawn: Drawing | None) -> None:
        """Tell what is on this plane, unless a message stays.

        Parameters
        ----------
        text : str
            The message.
        drawn : Drawing, optional
            What is drawn on all planes now.
        """
        if self._lasting is not None and _same(self._lasting[1], drawn):
            self.text = self._lasting[0]
        else:
            self.say(text)


def _same(one: Drawing | None, other: Drawing | None) -> bool:
    return one is other or (one is not None and other is not None and one.same(other))
