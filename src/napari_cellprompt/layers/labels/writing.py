"""How pixels of a Labels layer are changed and taken back, at all of its levels.

napari edits, and undoes, layers of one level. One of several levels (a pyramid) it only
shows; there the finest level is written here, the coarser ones follow, and steps are kept
here as well.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.layers.images import full_resolution
from napari_cellprompt.layers.ownership import plain

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.layers import Labels
    from numpy.typing import NDArray

__all__ = ["one_step", "redo", "undo", "write"]

_LIMIT = 100
"""Steps that are kept of a layer, as many as napari keeps."""

Indices = tuple["NDArray[np.intp]", ...]


def write(layer: Labels, indices: Indices, values: Any, *, refresh: bool = True) -> None:
    """Change pixels, as a step of the layer's undo or as a part of one.

    Parameters
    ----------
    layer : napari.layers.Labels
        One that ``commit.check_writable`` lets pass.
    indices : tuple of ndarray, each of shape (N,)
        Of the finest level, one array for each axis.
    values : int or ndarray, shape (N,)
        Ids.
    refresh : bool
        Whether the layer is drawn anew; one of several levels is at the end of its step.
    """
    if not layer.multiscale:
        layer.data_setitem(indices, values, refresh=refresh)
        return
    with _steps_of(layer).step() as parts:
        parts.extend(_change(layer, indices, values))


@contextmanager
def one_step(layer: Labels) -> Generator[None, None, None]:
    """Make all that is written meanwhile one step of the layer's undo."""
    if not layer.multiscale:
        with layer.block_history():
            yield
        return
    with _steps_of(layer).step():
        yield


def undo(layer: Labels) -> None:
    """Take the layer's last step back, whoever made it."""
    if layer.multiscale:
        _steps_of(layer).move(undone=True)
    else:
        layer.undo()


def redo(layer: Labels) -> None:
    """Do the layer's last undone step again."""
    if layer.multiscale:
        _steps_of(layer).move(undone=False)
    else:
        layer.redo()


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What was changed at one level at once."""

    level: int
    indices: Indices
    before: NDArray[Any]
    after: NDArray[Any]


def _change(layer: Labels, indices: Indices, values: Any) -> list[_Part]:
    """Write into the finest level, and bring the others up to date where that shows."""
    finest = full_resolution(layer)
    wanted = np.broadcast_to(np.asarray(values), indices[0].shape).astype(finest.dtype)
    parts = [_write(finest, 0, indices, wanted)]
    changed = parts[0].indices
    if not changed[0].size:
        return []
    for number, level in enumerate(list(layer.data)[1:], start=1):
        seen, places = _seen_at(finest.shape, level.shape, changed)
        part = _write(level, number, places, parts[0].after[seen])
        if part.indices[0].size:
            parts.append(part)
    return parts


def _write(data: Any, level: int, indices: Indices, values: NDArray[Any]) -> _Part:
    """Write what differs into one array."""
    before = np.array(data[indices]) if indices[0].size else values[:0]
    differs = before != values
    part = _Part(
        level, tuple(axis[differs] for axis in indices), before[differs], values[differs]
    )
    if part.indices[0].size:
        data[part.indices] = part.after
    return part


def _seen_at(
    fine: tuple[int, ...], coarse: tuple[int, ...], indices: Indices
) -> tuple[NDArray[np.bool_], Indices]:
    """Which pixels of the finest level a coarser one shows, and where.

    A pixel of the coarser level shows the first of those that it covers, as levels are
    made that take every second pixel.
    """
    seen = np.ones(indices[0].shape, dtype=bool)
    places = []
    for many, few, axis in zip(fine, coarse, indices, strict=True):
        step, per = _step(many, few)
        place = -(-axis * per // step)
        seen &= (place * step // per == axis) & (place < few)
        places.append(place)
    return seen, tuple(place[seen] for place in places)


def _step(many: int, few: int) -> tuple[int, int]:
    """By how many pixels one goes on from pixel to pixel of a coarser axis, as a fraction.

    A whole number where the length is that of every n-th pixel, rounded either way.
    """
    whole = max(round(many / max(few, 1)), 1)
    if few in (many // whole, -(-many // whole)):
        return whole, 1
    return many, max(few, 1)


class _Steps:
    """What was written into a layer of several levels, to take back and to do again."""

    def __init__(self, layer: Labels) -> None:
        self._layer = weakref.ref(layer)
        self._done: deque[list[_Part]] = deque(maxlen=_LIMIT)
        self._undone: deque[list[_Part]] = deque(maxlen=_LIMIT)
        self._open: list[_Part] | None = None

    @contextmanager
    def step(self) -> Generator[list[_Part], None, None]:
        """What is added meanwhile is one step; inside another step, a part of that."""
        if self._open is not None:
            yield self._open
            return
        parts: list[_Part] = []
        self._open = parts
        try:
            yield parts
        finally:
            # what was written before something went wrong can be taken back too
            self._open = None
            if parts:
                self._undone.clear()
                self._done.append(parts)
                self._drawn()
                self._tell(parts)

    def move(self, *, undone: bool) -> None:
        """Take the last step back, or do it again.

        Pixels that somebody else has changed since stay as they are.
        """
        layer = self._layer()
        source, target = self._done, self._undone
        if not undone:
            source, target = target, source
        if layer is None or not source:
            return
        parts = source.pop()
        target.append(parts)
        for part in reversed(parts) if undone else parts:
            there, then = part.after, part.before
            if not undone:
                there, then = then, there
            data: Any = layer.data[part.level]
            own = np.asarray(data[part.indices]) == there
            if own.any():
                data[tuple(axis[own] for axis in part.indices)] = then[own]
        self._drawn()

    def _drawn(self) -> None:
        layer = self._layer()
        if layer is not None:
            layer.refresh(extent=False, thumbnail=False, highlight=False)

    def _tell(self, parts: list[_Part]) -> None:
        """Announce a step as napari does of its own."""
        layer = self._layer()
        if layer is not None:
            layer.events.paint(
                value=[
                    (part.indices, part.before, part.after)
                    for part in parts
                    if not part.level
                ]
            )


_known: weakref.WeakKeyDictionary[Labels, _Steps] = weakref.WeakKeyDictionary()


def _steps_of(layer: Labels) -> _Steps:
    layer = plain(layer)
    if layer not in _known:
        _known[layer] = _Steps(layer)
    return _known[layer]
