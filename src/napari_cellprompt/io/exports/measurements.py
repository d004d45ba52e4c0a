"""A table of measurements: one row for each object and time, in calibrated units."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.io.calibration import canonical_unit

from .moments import frames_of
from .subject import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .moments import FrameObjects
    from .subject import ExportSubject, Survey

__all__ = ["losses", "write"]

_FACTS = ("label", "name", "class", "state", "trust", "parent")


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the table cannot hold, or takes for granted."""
    del seen
    said = ["A table holds no outlines: labels cannot be made from it."]
    if subject.unit != "pixel" and "Z" in subject.axes and "Z" not in subject.grid.known:
        said.append(
            f"The step along z is not known: volumes take it as {subject.step('Z'):g} "
            f"{subject.unit}."
        )
    return tuple(said)


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write the table as CSV.

    Areas, volumes, centroids and extents are in the unit that the heading names, frames
    and planes count from 0, grey values are those of the file. ``extent`` is the length
    of the bounding box along an axis; ``sd`` divides by the number of pixels.
    """
    del seen
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_heading(subject))
        for objects in frames_of(subject, progress=progress):
            writer.writerows(_rows(subject, objects))


def _letters(subject: ExportSubject) -> str:
    return "".join(letter for letter in "ZYX" if letter in subject.axes)


def _heading(subject: ExportSubject) -> list[str]:
    unit = canonical_unit(subject.unit).replace(" ", "_")
    solid = "Z" in subject.axes
    heading = [*_FACTS]
    if "T" in subject.axes:
        heading += ["frame", "time_s"] if "T" in subject.grid.known else ["frame"]
    heading += ["voxels", f"volume_{unit}3"] if solid else ["pixels", f"area_{unit}2"]
    letters = _letters(subject).lower()
    heading += [f"centroid_{letter}_{unit}" for letter in letters]
    heading += [f"extent_{letter}_{unit}" for letter in letters]
    heading += [f"{end}_{letter}" for letter in letters for end in ("first", "last")]
    for channel in range(subject.channels):
        heading += [f"{name}_{channel}" for name in ("mean", "sd", "min", "max")]
    return heading


def _rows(subject: ExportSubject, objects: FrameObjects) -> Iterator[list[Any]]:
    letters = _letters(subject)
    columns = [3 - len(letters) + place for place in range(len(letters))]
    steps = [subject.step(letter) for letter in letters]
    voxel = math.prod(steps)
    for place, object_id in enumerate(objects.ids.tolist()):
        facts = subject.facts(object_id)
        row: list[Any] = [
            object_id,
            facts.name,
            facts.class_name,
            facts.state,
            "" if facts.trust is None else round(facts.trust, 4),
            facts.parent or "",
        ]
        if "T" in subject.axes:
            row.append(objects.time)
            if "T" in subject.grid.known:
                row.append(_short(objects.time * subject.step("T")))
        voxels = int(objects.voxels[place])
        row += [voxels, _short(voxels * voxel)]
        first = [int(objects.first[place, column]) for column in columns]
        last = [int(objects.last[place, column]) for column in columns]
        row += [
            _short(objects.centroids[place, column] * step)
            for column, step in zip(columns, steps, strict=True)
        ]
        row += [
            _short((end - start + 1) * step)
            for start, end, step in zip(first, last, steps, strict=True)
        ]
        row += [end for pair in zip(first, last, strict=True) for end in pair]
        for channel in range(objects.means.shape[1]):
            row += [
                _short(values[place, channel])
                for values in (
                    objects.means,
                    objects.deviations,
                    objects.lowest,
                    objects.highest,
                )
            ]
        yield row


def _short(number: float) -> float:
    """Nine digits, more than any measurement has."""
    return float(f"{number:.9g}")
