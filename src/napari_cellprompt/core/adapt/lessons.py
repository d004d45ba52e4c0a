"""What a model learns from: planes with accepted objects, and some that are held out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.atomic import replacing
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.training.planes import Plane, Stack, make_plane, make_stack

from .settings import LEAST_OBJECTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .settings import AdaptSettings

__all__ = ["Case", "Lessons", "MarkedPlane", "load_marked", "save_marked"]


@dataclass(frozen=True, slots=True, eq=False)
class MarkedPlane:
    """A plane, or a window of one, with objects that somebody accepted."""

    image: NDArray[Any]
    """``(h, w)`` or ``(h, w, 3)``, grey values as they are stored."""
    labels: NDArray[Any]
    """``(h, w)`` integer; 0 where nothing was accepted."""
    series: str = ""
    """Planes of one series share the ids of their objects."""
    position: int = 0
    """Along the stack or in time."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """An object that is held out, on one plane."""

    image: NDArray[Any]
    labels: NDArray[np.uint16]
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Accepted objects, divided."""

    planes: list[Plane]
    """With the objects that are learnt from."""
    stacks: list[Stack]
    """Runs of planes of one series that hold an object twice."""
    held_out: list[Case]
    learnt: int
    """Objects that are learnt from."""
    complete: bool
    """Whether every object on the planes is marked."""

    @property
    def digest(self) -> str:
        """Tells other objects, or others held out, apart from these."""
        digest = hashlib.blake2b(bytes([self.complete]), digest_size=16)
        for plane in self.planes:
            digest.update(plane.image.tobytes())
            digest.update(plane.labels.tobytes())
        for case in self.held_out:
            digest.update(case.labels.tobytes())
            digest.update(case.number.to_bytes(8, "little"))
        return digest.hexdigest()

    @classmethod
    def divided(
        cls,
        marked: Sequence[MarkedPlane],
        settings: AdaptSettings,
        *,
        complete: bool = False,
    ) -> Lessons:
        """Choose which objects are held out: the same for one seed.

        Parameters
        ----------
        marked
            Planes with accepted objects.
        settings
            How many, and the seed.
        complete
            Whether what is not marked is no object.

        Raises
        ------
        ImageError
            Where there are too few objects.
        """
        planes = [_plane(item) for item in marked]
        found = {
            (item.series or f"plane {row}", int(number))
            for row, (item, plane) in enumerate(zip(marked, planes, strict=True))
            for number in plane.ids
        }
        objects = sorted(found)
        if len(objects) < LEAST_OBJECTS:
            raise ImageError(
                f"A model needs at least {LEAST_OBJECTS} objects to adapt to: there "
                f"{'is' if len(objects) == 1 else 'are'} {len(objects)}."
            )
        count = max(
            settings.held_out_least, math.ceil(settings.held_out_share * len(objects))
        )
        count = min(count, settings.held_out_most, len(objects) - settings.held_out_least)
        rng = np.random.default_rng(settings.seed)
        order = rng.permutation(len(objects))[:count]
        chosen = {objects[int(row)] for row in order}
        cases, kept = _parted(marked, planes, chosen)
        return cls(
            [plane for plane in kept if len(plane.ids)],
            _stacks(marked, kept),
            cases,
            len(objects) - count,
            complete,
        )


def _plane(item: MarkedPlane) -> Plane:
    if item.labels.shape != item.image.shape[:2]:
        raise ImageError(
            f"Labels of shape {item.labels.shape} do not fit an image of "
            f"{item.image.shape[0]} x {item.image.shape[1]} pixels."
        )
    if item.labels.size and int(item.labels.max()) > np.iinfo(np.uint16).max:
        raise ImageError(
            f"Ids of objects must be at most 65535 here: got {int(item.labels.max())}."
        )
    return make_plane(item.series, "accepted", item.image, item.labels)


def _parted(
    marked: Sequence[MarkedPlane], planes: Sequence[Plane], chosen: set[tuple[str, int]]
) -> tuple[list[Case], list[Plane]]:
    """The held-out objects where they are largest, and the planes without them."""
    largest: dict[tuple[str, int], tuple[int, int]] = {}
    kept = []
    for row, (item, plane) in enumerate(zip(marked, planes, strict=True)):
        series = item.series or f"plane {row}"
        out = [n for n in plane.ids.tolist() if (series, n) in chosen]
        for number, area in zip(plane.ids.tolist(), plane.areas.tolist(), strict=True):
            key = (series, number)
            if key in chosen and area > largest.get(key, (0, 0))[0]:
                largest[key] = (area, row)
        labels = np.where(np.isin(plane.labels, out), 0, plane.labels) if out else None
        kept.append(
            plane
            if labels is None
            else make_plane(plane.dataset, plane.modality, plane.image, labels)
        )
    cases = [
        Case(planes[row].image, planes[row].labels, key[1])
        for key, (_, row) in sorted(largest.items())
    ]
    return cases, kept


def _stacks(marked: Sequence[MarkedPlane], planes: Sequence[Plane]) -> list[Stack]:
    """Runs of planes that lie side by side and share an object."""
    order = sorted(
        (row for row, item in enumerate(marked) if item.series),
        key=lambda row: (marked[row].series, marked[row].position),
    )
    runs: list[list[int]] = []
    for row in order:
        last = marked[runs[-1][-1]] if runs else None
        item = marked[row]
        if (
            last is not None
            and last.series == item.series
            and item.position == last.position + 1
        ):
            runs[-1].append(row)
        else:
            runs.append([row])
    made = [make_stack([planes[row] for row in run]) for run in runs if len(run) > 1]
    return [s for s in made if any(len(some) > 1 for some in s.present.values())]


def save_marked(path: Path, marked: Sequence[MarkedPlane]) -> None:
    """Write planes for another process, whole or not at all."""
    arrays: dict[str, Any] = {
        "series": np.array([item.series for item in marked]),
        "position": np.array([item.position for item in marked]),
    }
    for row, item in enumerate(marked):
        arrays[f"image_{row}"] = item.image
        arrays[f"labels_{row}"] = item.labels
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_marked(path: Path) -> list[MarkedPlane]:
    """Read what :func:`save_marked` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return [
            MarkedPlane(
                arrays[f"image_{row}"],
                arrays[f"labels_{row}"],
                str(series),
                int(arrays["position"][row]),
            )
            for row, series in enumerate(arrays["series"])
        ]
