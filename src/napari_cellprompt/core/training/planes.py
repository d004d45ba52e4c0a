"""Planes and stacks of planes with their objects, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Plane", "Stack", "make_plane", "make_stack"]

SMALLEST_AREA = 9
"""Objects of fewer pixels are not used: most are remains of cut outlines."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One 2D image with its objects."""

    dataset: str
    modality: str
    image: NDArray[Any]
    """``(H, W)`` or ``(H, W, 3)``, raw grey values."""
    labels: NDArray[np.uint16]
    ids: NDArray[np.intp]
    boxes: NDArray[np.intp]
    """``(n, 4)`` x0, y0, x1, y1 (x1, y1 exclusive), one row per id."""
    areas: NDArray[np.intp]
    """``(n,)`` pixels."""

    def row(self, number: int) -> int | None:
        """Where an id stands in `ids`; None where it is not on this plane."""
        found = np.flatnonzero(self.ids == number)
        return int(found[0]) if len(found) else None


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Consecutive planes with ids that stay the same."""

    dataset: str
    modality: str
    planes: list[Plane]
    present: dict[int, list[int]]
    """Positions of the planes on which each object is."""


def make_plane(
    dataset: str, modality: str, image: NDArray[Any], labels: NDArray[Any]
) -> Plane:
    """A plane of an image and its label map, without the smallest objects."""
    labels = np.ascontiguousarray(labels).astype(np.uint16)
    areas = np.bincount(labels.ravel())
    ids, boxes = [], []
    for position, slices in enumerate(ndimage.find_objects(labels)):
        if slices is None or areas[position + 1] < SMALLEST_AREA:
            continue
        rows, columns = slices
        ids.append(position + 1)
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
    chosen = np.array(ids, dtype=np.intp)
    table = np.array(boxes, dtype=np.intp).reshape(-1, 4)
    return Plane(
        dataset,
        modality,
        np.ascontiguousarray(image),
        labels,
        chosen,
        table,
        areas[chosen] if len(chosen) else np.zeros(0, np.intp),
    )


def make_stack(planes: list[Plane]) -> Stack:
    """A stack of planes that share their ids."""
    present: dict[int, list[int]] = {}
    for position, plane in enumerate(planes):
        for number in plane.ids:
            present.setdefault(int(number), []).append(position)
    return Stack(planes[0].dataset, planes[0].modality, planes, present)
