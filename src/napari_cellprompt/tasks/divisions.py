"""Cells that divide: mothers end, daughters are followed, and all become tracks."""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.io.outputs import write_or_keep

from .following import announce, follow_objects

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_cellprompt.core.propagate.propagator import StackPropagator

    from .following import Span
    from .report import Report

__all__ = ["LARGEST_PARENT", "TrackEntry", "divide", "write_tracks"]

LARGEST_PARENT = 2**31
"""The largest id that leaves room for daughters."""


@dataclass(frozen=True, slots=True, order=True)
class TrackEntry:
    """From where to where an object was followed."""

    label: int
    first: int
    last: int
    """Frames, both inclusive."""
    parent: int
    """0: none."""


def divide(
    engines: Sequence[StackPropagator], span: Span, report: Report
) -> list[TrackEntry]:
    """Let objects that stay in two parts end, and follow the parts.

    Parameters
    ----------
    engines
        Movies whose objects were followed; ids of daughters are free in all of them.
    span
        What is wanted of them.
    report
        Told of each division.

    Returns
    -------
    list of TrackEntry
        By rising label.
    """
    parents: dict[int, int] = {}
    free = max((max(engine.ids) for engine in engines), default=0) + 1
    for engine in engines:
        divisions = engine.divisions()
        while divisions and not report.cancelled():
            for division in divisions:
                daughters = (free, free + 1)
                free += 2
                engine.split(division, daughters)
                parents.update(dict.fromkeys(daughters, division.id))
                report.say(
                    f"object {division.id} divides on plane {division.plane}: {daughters}"
                )
            announce(engine, span, report)
            follow_objects(engine, span, report)
            divisions = engine.divisions()
    tracks = []
    for engine in engines:
        for object_id in engine.ids:
            planes = [
                plane
                for plane in engine.planes(object_id)
                if (outcome := engine.outcome(object_id, plane)) and outcome.mask
            ]
            if planes:
                parent = parents.get(object_id, 0)
                tracks.append(TrackEntry(object_id, planes[0], planes[-1], parent))
    return sorted(tracks)


def write_tracks(path: Path, tracks: Sequence[TrackEntry]) -> None:
    """Write tracks as CSV: label, first, last, parent.

    Raises
    ------
    SaveError
        When it could not be written; the message says where it was kept.
    """

    def write(target: Path) -> None:
        with replacing(target) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("label", "first", "last", "parent"))
            writer.writerows(astuple(track) for track in tracks)

    write_or_keep(path, write)
