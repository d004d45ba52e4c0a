"""The objects that a session has accepted, with their prompts, and the undo of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.types import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_cellprompt.core.types import PlaneKey, Prompts

__all__ = ["Change", "ObjectPlane", "ObjectRecord", "ObjectStore"]


@dataclass(frozen=True, slots=True)
class ObjectPlane:
    """One object on one plane."""

    key: PlaneKey
    prompts: Prompts
    score: float
    """Predicted IoU of the accepted mask, 0 to 1."""
    area: int
    """Pixels of the accepted mask."""
    box: tuple[int, int, int, int]
    """``x0, y0, x1, y1`` of the accepted mask, exclusive at the end."""


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One accepted object."""

    id: int
    planes: tuple[ObjectPlane, ...]
    parent: int | None = None
    """The object that divided into this one and a sister; None for all others."""

    @property
    def size(self) -> float:
        """Longest side of the object's largest box, in pixels."""
        return float(max(Box(*plane.box).side for plane in self.planes))


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the history: what an id stood for before and after."""

    id: int
    before: ObjectRecord | None
    after: ObjectRecord | None


class ObjectStore:
    """Accepted objects by id, with undo and redo; an id is never handed out twice.

    Parameters
    ----------
    limit : int
        Number of steps that can be undone.
    """

    def __init__(self, limit: int = 1000) -> None:
        self._objects: dict[int, ObjectRecord] = {}
        self._done: list[Change] = []
        self._undone: list[Change] = []
        self._highest = 0
        self._limit = limit

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[ObjectRecord]:
        return iter(self._objects.values())

    def __contains__(self, object_id: object) -> bool:
        return object_id in self._objects

    def get(self, object_id: int) -> ObjectRecord | None:
        """The object of that id, or None."""
        return self._objects.get(object_id)

    @property
    def last(self) -> ObjectRecord | None:
        """The object accepted last among those that exist."""
        return next(reversed(self._objects.values()), None)

    def next_id(self, highest_in_layer: int = 0) -> int:
        """One more than every id seen in the layer or put here in this session."""
        return max(self._highest, int(highest_in_layer)) + 1

    @property
    def done(self) -> Change | None:
        """The step that undo would take back."""
        return self._done[-1] if self._done else None

    @property
    def undone(self) -> Change | None:
        """The step that redo would do again."""
        return self._undone[-1] if self._undone else None

    def put(self, record: ObjectRecord) -> Change:
        """Add an object, or replace the one of its id."""
        return self._record(Change(record.id, self._objects.get(record.id), record))

    def remove(self, object_id: int) -> Change:
        """Forget an object.

        Raises
        ------
        KeyError
            When there is none of that id.
        """
        return self._record(Change(object_id, self._objects[object_id], None))

    def undo(self) -> Change | None:
        """Take the last step back; None when there is none."""
        if not self._done:
            return None
        change = self._done.pop()
        self._undone.append(change)
        self._set(change.id, change.before)
        return change

    def redo(self) -> Change | None:
        """Do the last undone step again; None when there is none."""
        if not self._undone:
            return None
        change = self._undone.pop()
        self._done.append(change)
        self._set(change.id, change.after)
        return change

    def _record(self, change: Change) -> Change:
        self._done.append(change)
        del self._done[: -self._limit]
        self._undone.clear()
        self._highest = max(self._highest, change.id)
        self._set(change.id, change.after)
        return change

    def _set(self, object_id: int, record: ObjectRecord | None) -> None:
        if record is None:
            self._objects.pop(object_id, None)
        else:
            self._objects[object_id] = record
