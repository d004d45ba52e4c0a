"""The ledger of a Labels layer: its objects, how each was made, and what is said of it.

Everything in it is plain, frozen and picklable: it is what tables show, exports write and
session files keep.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from psygnal import Signal

from napari_cellprompt.core.types import Box, Prompts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from napari_cellprompt.core.propagate.types import Direction, PropagationSettings
    from napari_cellprompt.core.types import PlaneKey

__all__ = [
    "OBJECT_STATES",
    "SOURCES",
    "Change",
    "DecisionKind",
    "ObjectClass",
    "ObjectPlane",
    "ObjectRecord",
    "ObjectState",
    "ObjectStore",
    "PlaneDecision",
    "PlaneOrigin",
    "PropagationRecord",
    "Revision",
    "Source",
]

ObjectState = Literal["draft", "accepted", "verified", "needs work"]
"""``draft``: reopened, and not accepted again yet; ``accepted``: written into the layer;
``verified``: a person looked at it and found it right; ``needs work``: ... and did not."""
OBJECT_STATES: tuple[ObjectState, ...] = ("draft", "accepted", "verified", "needs work")

Source = Literal["segment", "propagate", "everything", "few-shot", "fill", "foreign"]
"""Which action made the object. ``foreign``: another tool, a file, or the brush."""
SOURCES: tuple[Source, ...] = (
    "segment",
    "propagate",
    "everything",
    "few-shot",
    "fill",
    "foreign",
)

PlaneOrigin = Literal["prompted", "locked", "tracked", "found", "filled", "foreign"]
"""``prompted``: from clicks, boxes or a mask of this plane; ``locked``: tracked, and kept
by the user; ``tracked``: followed from another plane; ``found``: without prompts;
``filled``: between two other planes; ``foreign``: painted, or from another tool."""

DecisionKind = Literal["prompted", "corrected", "locked", "absent"]
"""``prompted``: the plane was the start; ``corrected``: a tracked mask was changed;
``locked``: it was kept as it was; ``absent``: the object is not here."""

_NOTHING = Prompts()


@dataclass(frozen=True, slots=True)
class ObjectPlane:
    """One object on one plane."""

    key: PlaneKey
    """The plane. Its ``image`` is empty where the object came without an image."""
    prompts: Prompts
    """What the mask was made from; empty where it was not made from prompts."""
    score: float
    """Predicted IoU of the accepted mask, 0 to 1; 0 where no model said one."""
    area: int
    """Pixels of the accepted mask."""
    box: tuple[int, int, int, int]
    """``x0, y0, x1, y1`` of the accepted mask in the plane, exclusive at the end."""
    trust: float | None = None
    """How far the mask can be trusted, 0 to 1, as the strip of Propagate shows it
    (:class:`~napari_cellprompt.core.propagate.types.PlaneConfidence`); None where
    nobody has told."""
    origin: PlaneOrigin = "prompted"


@dataclass(frozen=True, slots=True)
class PlaneDecision:
    """What the user said of one plane while the object was followed."""

    plane: int
    """Place along the axis that was followed."""
    kind: DecisionKind
    prompts: Prompts = _NOTHING
    """What the mask was made from, a mask that clicks corrected included; of a locked
    plane the mask itself; empty for ``absent``."""
    shown: Prompts = _NOTHING
    """Clicks and boxes as they were drawn, without that mask."""


@dataclass(frozen=True, slots=True)
class PropagationRecord:
    """How an object was followed; enough to open that again."""

    axis: int
    """Array axis of the image along which it was followed."""
    start: int | None = None
    """First plane wanted; None: the first of the stack."""
    stop: int | None = None
    """Last plane wanted, inclusive; None: the last of the stack."""
    direction: Direction = "both"
    decisions: tuple[PlaneDecision, ...] = ()
    """In the order of planes; at most one a plane."""
    ends: tuple[int, ...] = ()
    """Planes on which the object was given up, in order."""
    together: tuple[int, ...] = ()
    """All ids that were followed in that run, this one included: pixels that two of them
    wanted went to the surer one."""
    settings: PropagationSettings | None = None
    """How it was followed; None: with the defaults."""


@dataclass(frozen=True, slots=True)
class ObjectClass:
    """A class that objects can have."""

    number: int
    """Its value in a layer of classes, from 1 on."""
    name: str
    colour: str
    """``#rrggbb``."""


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object of a Labels layer."""

    id: int
    """Its value in the layer."""
    planes: tuple[ObjectPlane, ...]
    """The planes on which it has pixels, at least one, in no certain order."""
    parent: int | None = None
    """The object that divided into this one and a sister; None for all others."""
    name: str = ""
    """Given by the user; empty: none."""
    class_name: str = ""
    """Name of its :class:`ObjectClass`; empty: none."""
    state: ObjectState = "accepted"
    source: Source = "segment"
    model: str = ""
    """Name of the model in the registry; empty where no model made the object."""
    propagation: PropagationRecord | None = None
    """How it was followed; None where it was not."""

    @property
    def size(self) -> float:
        """Longest side of the object's largest box, in pixels."""
        return float(max(Box(*plane.box).side for plane in self.planes))

    @property
    def area(self) -> int:
        """Pixels on all planes together."""
        return sum(plane.area for plane in self.planes)

    @property
    def trust(self) -> float | None:
        """Mean trust of the planes of which it is known; None where it is of none."""
        known = [plane.trust for plane in self.planes if plane.trust is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class Change:
    """What an id stood for before and after."""

    id: int
    before: ObjectRecord | None
    """None: the id was free."""
    after: ObjectRecord | None
    """None: the object is gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Revision:
    """One step of the ledger: everything that changed together."""

    changes: tuple[Change, ...]
    """At most one for each id."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Objects that are not what they were."""
        return tuple(change.id for change in self.changes)


class ObjectStore:
    """Objects by id, with undo and redo; an id is never handed out twice.

    Parameters
    ----------
    limit : int
        Number of steps that can be undone.
    """

    changed = Signal(tuple)
    """Ids of the objects that are not what they were; empty: classes, or all of them."""

    def __init__(self, limit: int = 1000) -> None:
        self._objects: dict[int, ObjectRecord] = {}
        self._classes: dict[str, ObjectClass] = {}
        self._done: list[Revision] = []
        self._undone: list[Revision] = []
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

    @property
    def highest(self) -> int:
        """The highest id that was ever put here."""
        return self._highest

    def next_id(self, highest_in_layer: int = 0) -> int:
        """One more than every id seen in the layer or put here in this session."""
        return max(self._highest, int(highest_in_layer)) + 1

    # --- classes ---------------------------------------------------------------------

    @property
    def classes(self) -> tuple[ObjectClass, ...]:
        """All classes, in the order of their numbers."""
        return tuple(sorted(self._classes.values(), key=lambda one: one.number))

    def set_classes(self, classes: Iterable[ObjectClass]) -> None:
        """Replace all classes; objects keep the names that they have."""
        self._classes = {one.name: one for one in classes}
        self.changed.emit(())

    # --- steps -----------------------------------------------------------------------

    @property
    def done(self) -> Revision | None:
        """The step that undo would take back."""
        return self._done[-1] if self._done else None

    @property
    def undone(self) -> Revision | None:
        """The step that redo would do again."""
        return self._undone[-1] if self._undone else None

    def put(self, record: ObjectRecord) -> Revision:
        """Add an object, or replace the one of its id, as a step."""
        return self.revise({record.id: record})

    def remove(self, object_id: int) -> Revision:
        """Forget an object, as a step.

        Raises
        ------
        KeyError
            When there is none of that id.
        """
        if object_id not in self._objects:
            raise KeyError(object_id)
        return self.revise({object_id: None})

    def revise(self, records: dict[int, ObjectRecord | None]) -> Revision:
        """Change several objects as one step.

        Parameters
        ----------
        records
            What each id stands for from now on; None: nothing.
        """
        get = self._objects.get
        changes = tuple(Change(key, get(key), value) for key, value in records.items())
        revision = Revision(changes)
        self._done.append(revision)
        del self._done[: -self._limit]
        self._undone.clear()
        self._set({change.id: change.after for change in changes})
        return revision

    def undo(self) -> Revision | None:
        """Take the last step back; None when there is none."""
        if not self._done:
            return None
        revision = self._done.pop()
        self._undone.append(revision)
        self._set({change.id: change.before for change in revision.changes})
        return revision

    def redo(self) -> Revision | None:
        """Do the last undone step again; None when there is none."""
        if not self._undone:
            return None
        revision = self._undone.pop()
        self._done.append(revision)
        self._set({change.id: change.after for change in revision.changes})
        return revision

    # --- without a step --------------------------------------------------------------

    def amend(self, records: dict[int, ObjectRecord | None]) -> None:
        """Change objects without a step: what is seen in the layer, names and states."""
        self._set(records)

    def restore(
        self,
        records: Iterable[ObjectRecord],
        classes: Iterable[ObjectClass] = (),
        highest: int = 0,
    ) -> None:
        """Become what was kept in a file; there is nothing to undo then.

        Parameters
        ----------
        records, classes
            All that there is.
        highest
            The highest id that was ever put there.
        """
        self._done.clear()
        self._undone.clear()
        self._objects = {record.id: record for record in records}
        self._classes = {one.name: one for one in classes}
        self._highest = max([highest, self._highest, *self._objects])
        self.changed.emit(())

    def _set(self, records: dict[int, ObjectRecord | None]) -> None:
        for object_id, record in records.items():
            if record is None:
                self._objects.pop(object_id, None)
            else:
                self._highest = max(self._highest, object_id)
                self._objects[object_id] = record
        self.changed.emit(tuple(records))
