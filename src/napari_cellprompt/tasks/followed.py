"""What was followed through a stack, kept plane by plane for a run that goes on later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.masks.packed import PackedMask
from napari_cellprompt.core.propagate.objects import StoredPlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_cellprompt.core.propagate.propagator import StackPropagator
    from napari_cellprompt.io.unfinished import Unfinished

    from .following import FollowedPlane

    Arrays = dict[str, NDArray[Any]]
    Record = tuple[int, int, StoredPlane]

__all__ = ["Keeper", "arrays_of", "records_of"]

_FIGURES = ("iou", "object_score", "contrast")
_NUMBERS = ("parts", "step", "failed")


class Keeper:
    """Keeps what an engine finds, and gives back what an earlier run has found.

    Parameters
    ----------
    engine
        Its objects are prompted, and nothing is followed yet.
    unfinished
        Where planes are kept.
    number
        Of the engine, where a request needs several.
    """

    def __init__(
        self, engine: StackPropagator, unfinished: Unfinished, number: int
    ) -> None:
        self._engine = engine
        self._unfinished = unfinished
        self._prefix = f"plane-{number:03d}-"
        self._count = 0

    def give_back(self) -> None:
        """Let the engine know what was found before; it goes on from there."""
        known = self._engine.snapshot()
        for name in self._unfinished.names():
            arrays = self._unfinished.get(name) if name.startswith(self._prefix) else None
            if arrays is None:
                continue
            self._count += 1
            for object_id, plane, stored in records_of(arrays):
                if object_id in known:
                    known[object_id].track(plane, stored)
        if self._count:
            self._engine.restore(known)

    def keep(self, step: FollowedPlane) -> None:
        """Keep what a step has found or changed; what the user said is in the request."""
        known = self._engine.snapshot()
        records = [
            (item.id, item.plane, known[item.id].planes[item.plane])
            for item in step.outcomes
            if known[item.id].planes[item.plane].step
        ]
        if records:
            self._unfinished.put(f"{self._prefix}{self._count:06d}", arrays_of(records))
            self._count += 1


def arrays_of(records: Sequence[Record]) -> Arrays:
    """Objects on planes, by id and plane, as arrays; their masks stay packed."""
    masks = [stored.mask for _, _, stored in records]
    data = [b"" if mask is None else mask.data for mask in masks]
    boxes = [
        (0,) * 7
        if mask is None
        else (*mask.origin, *mask.shape, *mask.plane_shape, mask.area)
        for mask in masks
    ]
    arrays: Arrays = {
        "places": np.array([(number, plane) for number, plane, _ in records], np.int64),
        "states": np.array([stored.state for _, _, stored in records]),
        "has_mask": np.array([mask is not None for mask in masks]),
        "boxes": np.array(boxes, np.int64),
        "lengths": np.array([len(item) for item in data], np.int64),
        "data": np.frombuffer(b"".join(data), np.uint8),
    }
    for name in _FIGURES:
        arrays[name] = np.array([getattr(s, name) for *_, s in records], np.float64)
    for name in _NUMBERS:
        arrays[name] = np.array([getattr(s, name) for *_, s in records], np.int64)
    return arrays


def records_of(arrays: Arrays) -> list[Record]:
    """The objects on planes that :func:`arrays_of` was given."""
    ends = np.cumsum(arrays["lengths"])
    records: list[Record] = []
    for row, (object_id, plane) in enumerate(arrays["places"].tolist()):
        mask = None
        if arrays["has_mask"][row]:
            y0, x0, height, width, rows, columns, area = arrays["boxes"][row].tolist()
            start = int(ends[row] - arrays["lengths"][row])
            packed = arrays["data"][start : int(ends[row])].tobytes()
            mask = PackedMask(packed, (height, width), (y0, x0), (rows, columns), area)
        state: Any = str(arrays["states"][row])
        figures: dict[str, Any] = {name: float(arrays[name][row]) for name in _FIGURES}
        numbers: dict[str, Any] = {name: int(arrays[name][row]) for name in _NUMBERS}
        stored = StoredPlane(
            mask=mask,
            state=state,
            **figures,
            **numbers,
        )
        records.append((object_id, plane, stored))
    return records
