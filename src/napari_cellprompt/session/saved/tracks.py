"""Objects that are being followed, as entries of a session file, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_cellprompt.io.session_masks import pack_levels, unpack_levels
from napari_cellprompt.io.session_types import StoredEntry, TrackEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_cellprompt.core.propagate.objects import StoredPlane, TrackedObject

__all__ = ["tracks_from", "tracks_to"]


def tracks_to(objects: Mapping[int, TrackedObject]) -> tuple[TrackEntry, ...]:
    """What is known of objects, as entries."""
    return tuple(
        TrackEntry(
            id=known.id,
            planes={
                plane: _stored_to(stored) for plane, stored in sorted(known.planes.items())
            },
            stale=tuple(sorted(known.stale)),
        )
        for known in objects.values()
    )


def tracks_from(entries: Iterable[TrackEntry]) -> dict[int, TrackedObject]:
    """What was known of objects.

    Raises
    ------
    SessionFileError
        When it is damaged.
    """
    from napari_cellprompt.core.propagate.objects import TrackedObject

    return {
        entry.id: TrackedObject(
            entry.id,
            {plane: _stored_from(stored) for plane, stored in entry.planes.items()},
            set(entry.stale),
        )
        for entry in entries
    }


def _stored_to(stored: StoredPlane) -> StoredEntry:
    return StoredEntry(
        state=stored.state,
        iou=float(stored.iou),
        object_score=float(stored.object_score),
        parts=stored.parts,
        step=stored.step,
        contrast=float(stored.contrast),
        failed=stored.failed,
        mask=pack_levels(stored.mask),
        prompts=stored.prompts,
        prior=pack_levels(stored.prior),
        before=None if stored.before is None else _stored_to(stored.before),
    )


def _stored_from(entry: StoredEntry) -> StoredPlane:
    from napari_cellprompt.core.propagate.objects import StoredPlane

    state: Any = entry.state
    return StoredPlane(
        unpack_levels(entry.mask),
        entry.iou,
        entry.object_score,
        state,
        entry.parts,
        entry.step,
        entry.contrast,
        entry.failed,
        entry.prompts,
        unpack_levels(entry.prior),
        None if entry.before is None else _stored_from(entry.before),
    )
