"""What is known of the session of one image while the window is open."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_cellprompt.io.session_types import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image, Labels

    from napari_cellprompt.io.session_types import (
        ExportEntry,
        ImageEntry,
        LayerEntry,
        ModelEntry,
        Session,
        Step,
    )
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.session.saved.autosave import Autosave, Kept

__all__ = ["Book", "Build", "changes_of", "now"]

Build = "Callable[[float, int, int | None], Step]"
"""Makes a step from its time, and the numbers of its layer and its model."""
Rows = dict[tuple[int, int], "ObjectRecord"]


def now() -> str:
    """Date and time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(slots=True, eq=False)
class Book:
    """The session of one image."""

    image: Image
    entry: ImageEntry | None = None
    """With its fingerprint; None until that is known."""
    offered: Kept | None = None
    """A session of another day that the user may go on with."""
    returning: bool = False
    """Whether a session is being read that the image goes on with."""
    autosave: Autosave | None = None
    started: str = field(default_factory=now)
    since: float = field(default_factory=time.monotonic)
    """When the time of steps was 0."""
    layers: list[Labels] = field(default_factory=list)
    """Each with the number that steps have for it; held, so that closing loses none."""
    entries: list[LayerEntry] = field(default_factory=list)
    models: list[ModelEntry] = field(default_factory=list)
    exports: list[ExportEntry] = field(default_factory=list)
    drafts: list[Callable[[], Step]] = field(default_factory=list)
    explained: set[tuple[int, int]] = field(default_factory=set)
    """Layer and id of the objects that the drafts are about."""
    moved: bool = False
    """Whether there is an undo or a redo among the drafts."""
    steps: int = 0
    """Number of steps so far."""
    rows: Rows = field(default_factory=dict)
    """Objects of the last snapshot."""
    edits: int = -1
    """Count of what was done to the layers, when objects were looked at last."""
    seen: Any = None
    """What was there when it was written last."""
    compared: int = -1
    """Count of edits when the pixels were compared last."""
    compare_at: float = 0.0
    """When they may be compared again, by the monotonic clock."""
    not_before: float = 0.0
    """When a file that could not be written is tried again."""

    @property
    def at(self) -> float:
        """Seconds since the session began."""
        return round(time.monotonic() - self.since, 2)

    def take_over(self, session: Session) -> None:
        """Go on with a session; the time in between does not count."""
        self.started = session.started
        last = session.steps[-1].at if session.steps else 0.0
        self.since = time.monotonic() - last
        self.models, self.exports = list(session.models), list(session.exports)
        self.steps = len(session.steps)

    def number(self, labels: Labels) -> int | None:
        """Of a layer; None where it has none yet."""
        for number, known in enumerate(self.layers):
            if known is labels:
                return number
        return None

    def draft(self, build: Callable[[], Step]) -> None:
        """Note a step, which is made into an entry on another thread."""
        self.drafts.append(build)
        self.steps += 1

    def change(self, layer: int, what: str, ids: tuple[int, ...], text: str = "") -> None:
        """Note something that changed objects, without its pixels."""
        at = self.at
        self.draft(
            lambda: Change(kind="change", at=at, layer=layer, what=what, ids=ids, text=text)
        )


def changes_of(
    before: Rows, after: Rows, explained: set[tuple[int, int]]
) -> list[tuple[str, int, tuple[int, ...]]]:
    """What became of objects in words, with layer and ids.

    Parameters
    ----------
    before, after
        By layer and id.
    explained
        Of which it is known what became of them.
    """
    found: dict[tuple[str, int], list[int]] = {}
    for place in sorted({*before, *after} - explained):
        old, new = before.get(place), after.get(place)
        if old is not new:
            found.setdefault((_what(old, new), place[0]), []).append(place[1])
    return [(what, layer, tuple(ids)) for (what, layer), ids in found.items()]


def _what(old: ObjectRecord | None, new: ObjectRecord | None) -> str:
    if new is None:
        return "delete"
    if old is None:
        return str(getattr(new, "source", "add"))
    for name, word in (("class_name", "class"), ("state", ""), ("name", "rename")):
        value = getattr(new, name, None)
        if value != getattr(old, name, None):
            return word or str(value)
    return "edit"
