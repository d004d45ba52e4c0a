"""A folder of the Cell Tracking Challenge: a mask a frame, and the table of tracks.

The format is described in "Annotation files, naming and file content conventions" of
celltrackingchallenge.net: ``maskNNN.tif`` of 16 bits, and in ``res_track.txt`` a line
``L B E P`` for each track: label, first and last frame, label of the parent or 0. A track
is there in each frame from its first to its last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_cellprompt.core.atomic import making_folder
from napari_cellprompt.core.errors import ImageError

from .subject import plural, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from .subject import ExportSubject, Survey

__all__ = ["Track", "losses", "tracks_of", "write"]

_MAX_LABEL = 65535


@dataclass(frozen=True, slots=True)
class Track:
    """One line of the table."""

    label: int
    first: int
    last: int
    parent: int
    """0: none."""
    source: int
    """Id of the object that it is a part of."""


def tracks_of(
    subject: ExportSubject, frames: Mapping[int, tuple[int, ...]]
) -> tuple[list[Track], tuple[str, ...]]:
    """Objects as tracks without gaps, and what had to be changed for that.

    The first part of an object keeps its id; after a gap it goes on under a new one, with
    the part before as its parent. A parent that is not gone before its daughter is there
    is no parent in this format.

    Parameters
    ----------
    subject
        For the parents.
    frames
        Times at which each object is there, rising.

    Returns
    -------
    tracks, notes
        By rising label; sentences.
    """
    free = max(frames, default=0) + 1
    parts = {key: _without_gaps(times) for key, times in frames.items()}
    labels: dict[int, list[int]] = {}
    for key, stretches in parts.items():
        labels[key] = [key, *range(free, free + len(stretches) - 1)]
        free += len(stretches) - 1
    tracks, broken, lost = [], 0, []
    for key, stretches in parts.items():
        broken += len(stretches) > 1
        for number, (first, last) in enumerate(stretches):
            parent = 0 if number == 0 else labels[key][number - 1]
            wanted = subject.facts(key).parent
            if number == 0 and wanted:
                if wanted in parts and parts[wanted][-1][1] < first:
                    parent = labels[wanted][-1]
                else:
                    lost.append(key)
            tracks.append(Track(labels[key][number], first, last, parent, key))
    notes = []
    if broken:
        notes.append(
            f"{plural(broken, 'object is', 'objects are')} not there on some frames in "
            f"between: the rest goes on under a new label whose parent is the part before."
        )
    if lost:
        notes.append(
            f"The parent of {', '.join(map(str, lost[:10]))} is left out: it is not in the "
            f"labels, or is still there when the daughter begins."
        )
    return sorted(tracks, key=lambda track: track.label), tuple(notes)


def losses(subject: ExportSubject, seen: Survey) -> tuple[str, ...]:
    """Sentences on what the folder cannot hold.

    Raises
    ------
    ImageError
        Without a time axis, without objects, or with labels beyond 16 bits.
    """
    if "T" not in subject.axes:
        raise ImageError(
            f"A folder of the Cell Tracking Challenge holds movies, and these labels "
            f"({subject.axes}) have no axis T. If Z is the time, say so: --axes TYX."
        )
    if not seen.frames:
        raise ImageError("There are no objects, and a track table cannot be empty.")
    tracks, notes = tracks_of(subject, seen.frames)
    if tracks[-1].label > _MAX_LABEL:
        raise ImageError(
            f"A folder of the Cell Tracking Challenge holds labels up to {_MAX_LABEL}, and "
            f"{tracks[-1].label} is needed: number the objects anew, or export another "
            f"format."
        )
    said = [*notes]
    if subject.grid.known or subject.unit != "pixel":
        said.append("The masks of the Cell Tracking Challenge have no voxel size.")
    return tuple(said)


def write(
    path: Path,
    subject: ExportSubject,
    seen: Survey,
    progress: Callable[[int, int], None] = silent,
) -> None:
    """Write ``mask000.tif`` (YX or ZYX) and so on, and ``res_track.txt``."""
    tracks, _ = tracks_of(subject, seen.frames)
    frames = subject.length("T")
    digits = max(3, len(str(frames - 1)))
    shape = tuple(subject.length(letter) for letter in subject.axes[1:])
    with making_folder(path) as folder:
        for time in range(frames):
            renamed = {
                track.source: track.label
                for track in tracks
                if track.label != track.source and track.first <= time <= track.last
            }
            tifffile.imwrite(
                folder / f"mask{time:0{digits}d}.tif",
                _pages(subject, time, renamed),
                shape=shape,
                dtype=np.uint16,
                photometric="minisblack",
                compression="zlib",
                metadata={"axes": subject.axes[1:]},
            )
            progress(time + 1, frames)
        lines = [f"{t.label} {t.first} {t.last} {t.parent}\n" for t in tracks]
        (folder / "res_track.txt").write_text("".join(lines), encoding="ascii")


def _pages(
    subject: ExportSubject, time: int, renamed: Mapping[int, int]
) -> Iterator[NDArray[Any]]:
    for z in range(subject.length("Z")):
        plane = subject.plane({"T": time} | ({"Z": z} if "Z" in subject.axes else {}))
        page = plane.astype(np.uint16)
        for source, label in renamed.items():
            page[plane == source] = label
        yield page


def _without_gaps(times: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last of each run of frames that follow each other."""
    runs: list[tuple[int, int]] = []
    for time in times:
        if runs and runs[-1][1] == time - 1:
            runs[-1] = (runs[-1][0], time)
        else:
            runs.append((time, time))
    return runs
