"""What a person says of objects, without changing a pixel: classes, names, states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .history import Moved, Step
from .objects import ObjectClass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .objects import ObjectStore

__all__ = ["annotate", "class_of_name"]

# Okabe and Ito, which everybody can tell apart; then lighter ones.
_COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#999999",
)
_BYTES = 64


def annotate(store: ObjectStore, ids: Iterable[int], text: str, **fields: Any) -> Step:
    """Change fields of several records, as one step of history.

    Parameters
    ----------
    store
        The ledger.
    ids
        Objects; those that are not in it are left out.
    text
        What was done, as the beginning of a sentence.
    **fields
        Such as ``state="verified"``.
    """
    known = [record for number in ids if (record := store.get(number)) is not None]
    before = {
        record.id: {name: getattr(record, name) for name in fields} for record in known
    }
    after = {record.id: dict(fields) for record in known}

    def put(values: dict[int, dict[str, Any]]) -> Moved:
        there = {
            number: replace(record, **said)
            for number, said in values.items()
            if (record := store.get(number)) is not None
        }
        if not there:
            return Moved.LOST
        store.amend(dict(there))
        return Moved.DONE

    put(after)
    return Step(
        text,
        undo=lambda: put(before),
        redo=lambda: put(after),
        nbytes=_BYTES * len(known),
    )


def class_of_name(store: ObjectStore, name: str) -> ObjectClass:
    """The class of that name; made where there is none, with a colour of its own."""
    known = {one.name: one for one in store.classes}
    if name not in known:
        number = max((one.number for one in store.classes), default=0) + 1
        made = ObjectClass(number, name, _COLOURS[(number - 1) % len(_COLOURS)])
        store.set_classes([*store.classes, made])
        known[name] = made
    return known[name]
