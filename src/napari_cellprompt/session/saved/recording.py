"""Keeps the steps of a session in order, and makes sure that they lead to the layers.

What was decided is noted where it happens. Pixels that no decision explains (a brush,
another tool, an undo) are found by comparing each Labels layer with what the steps lead to,
and become a step of their own: doing the steps again always gives the layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_cellprompt.io.session_file import encode_object, encode_step
from napari_cellprompt.io.session_types import Change, ObjectEntry
from napari_cellprompt.session.canvas import Canvas

from .records import record_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.io.session_types import PropagationEntry, Session, Step
    from napari_cellprompt.session.objects import ObjectRecord

__all__ = ["Recorder", "Snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What the GUI thread hands over; nothing in it is copied or changed."""

    head: Session
    """All but objects and steps."""
    records: tuple[tuple[int, ObjectRecord], ...] = ()
    """Every object with the number of its layer."""
    drafts: tuple[Callable[[], Step], ...] = ()
    """Steps since the last snapshot; made into entries where there is time."""
    layers: tuple[tuple[int, NDArray[Any]], ...] = ()
    """Arrays of the layers that are there, with their numbers."""
    unchanged: Callable[[], bool] = field(default=lambda: True)
    """Whether no layer was written to since; asked from the other thread."""
    at: float = 0.0
    """Seconds since the session began."""
    propagation: Callable[[], PropagationEntry | None] = field(default=lambda: None)
    """What is finished of a propagation that is not accepted yet."""


class Recorder:
    """The steps of one session; used from one thread at a time.

    Parameters
    ----------
    session
        To go on with; its layers become those of every snapshot.
    """

    def __init__(self, session: Session | None = None) -> None:
        self.canvas = Canvas(() if session is None else session.layers)
        self.steps: list[Step] = []
        self._encoded: list[bytes] = []
        # by the identity of the record, which is held so that no other gets the same
        self._rows: dict[tuple[int, int], tuple[ObjectRecord, bytes]] = {}
        for step in () if session is None else session.steps:
            self._add(step)

    @property
    def encoded_steps(self) -> list[bytes]:
        """Each step as JSON."""
        return list(self._encoded)

    def take(self, snapshot: Snapshot) -> bool:
        """Take over what has happened; False where layers were written to meanwhile.

        The decisions are taken over in any case; the pixels, with the next snapshot.
        """
        self._fit(snapshot)
        for draft in snapshot.drafts:
            self._add(draft())
        found = [
            (number, self.canvas.differences(number, array))
            for number, array in snapshot.layers
        ]
        if not snapshot.unchanged():
            return False
        for number, pixels in found:
            if pixels:
                self._explain(number, tuple(pixels), snapshot.at)
        return True

    def encode_objects(self, records: Sequence[tuple[int, ObjectRecord]]) -> list[bytes]:
        """Rows of the table of objects; one that has not changed is not encoded again."""
        rows: dict[tuple[int, int], tuple[ObjectRecord, bytes]] = {}
        for layer, record in records:
            known = self._rows.get((layer, record.id))
            if known is None or known[0] is not record:
                entry = ObjectEntry(layer=layer, id=record.id, record=record_to(record))
                known = record, encode_object(entry)
            rows[layer, record.id] = known
        self._rows = rows
        return [row for _, row in rows.values()]

    def _fit(self, snapshot: Snapshot) -> None:
        """Have an array of the right type for each layer."""
        for number, layer in enumerate(snapshot.head.layers):
            if number == len(self.canvas.arrays):
                self.canvas.add(layer.shape, layer.dtype)
        for number, array in snapshot.layers:
            self.canvas.widen(number, array.dtype)

    def _add(self, step: Step) -> None:
        self.canvas.apply(step)
        self.steps.append(step)
        self._encoded.append(encode_step(step))

    def _explain(self, layer: int, pixels: tuple[Any, ...], at: float) -> None:
        """Add pixels to the change that came last, or make them one of their own."""
        last = self.steps[-1] if self.steps else None
        if isinstance(last, Change) and last.layer == layer and not last.pixels:
            step = replace(last, pixels=pixels)
            self.canvas.apply(step)
            self.steps[-1] = step
            self._encoded[-1] = encode_step(step)
            return
        what = "brush" if self.steps else "found"
        self._add(Change(kind="change", at=at, layer=layer, what=what, pixels=pixels))
