"""How far the planes of followed objects can be trusted, as last known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cellprompt.core.propagate.propagator import StackPropagator
    from napari_cellprompt.core.propagate.types import PlaneConfidence, PlaneOutcome

__all__ = ["KnownTrust"]


class KnownTrust:
    """What an engine said of each plane of each object.

    Written on the inference thread, read from any: an entry is replaced, never changed.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], PlaneConfidence] = {}

    def note(self, engine: StackPropagator, outcomes: Sequence[PlaneOutcome]) -> None:
        """Keep what is said of planes that are new."""
        for item in outcomes:
            found = engine.confidence_at(item.id, item.plane)
            if found is not None:
                self._found[item.id, item.plane] = found

    def note_all(self, engine: StackPropagator, object_id: int | None = None) -> None:
        """Keep what is said of all planes of one object, or of all objects, and no more."""
        for place in list(self._found):
            if object_id in (None, place[0]):
                del self._found[place]
        for owner in engine.ids:
            if object_id in (None, owner):
                for item in engine.confidence(owner):
                    self._found[owner, item.plane] = item

    def of(self, engine: StackPropagator | None, object_id: int) -> list[PlaneConfidence]:
        """All planes of an object, in their order."""
        if engine is None or object_id not in engine.ids:
            return []
        places = [(object_id, plane) for plane in engine.planes(object_id)]
        return [self._found[place] for place in places if place in self._found]
