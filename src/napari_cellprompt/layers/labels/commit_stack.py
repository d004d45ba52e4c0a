"""Masks on many planes, written into a Labels layer as one undo step."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.layers.images import full_resolution

from .commit import (
    CommitResult,
    LabelsError,
    Policy,
    check_id,
    covering,
    find_grid,
    first_change,
    nd_indices,
    place_mask,
)
from .writable import check_writable
from .writing import one_step, write

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = ["PlaneMask", "being_written", "commit_many", "plane_labels"]

being_written: weakref.WeakSet[Labels] = weakref.WeakSet()
"""Layers in the middle of a ``commit_many``: what they hold is nothing yet."""


@dataclass(frozen=True, slots=True)
class PlaneMask:
    """One object on one plane, to be written with others."""

    object_id: int
    view: PlaneView
    mask: CroppedMask | None
    """None: the object is not here."""
    erase: bool = False
    """Whether pixels that carry the id already and are not in the mask lose it."""


def commit_many(
    layer: Labels,
    masks: Iterable[PlaneMask],
    policy: Policy = "keep",
    *,
    image: Image,
    skip_covered: bool = False,
) -> Generator[CommitResult, None, None]:
    """Write masks one by one, all of them together one step of the layer's undo.

    Stopping early leaves what was written, which is one step then.

    Parameters
    ----------
    layer, policy, image
        As for ``commit``.
    masks : iterable of PlaneMask
        What to write; a mask that others leave no pixel to is no error here.
    skip_covered : bool
        Leave out masks that are, by ``commit.covering``, objects that are there already.

    Yields
    ------
    CommitResult
        After each mask. ``Labels.events.paint`` fires once, after the last.

    Raises
    ------
    LabelsError
        As ``commit``; masks written before are undone with the next undo.
    """
    check_writable(layer)
    being_written.add(layer)
    try:
        yield from _commit_all(layer, masks, policy, image, skip_covered)
    finally:
        being_written.discard(layer)


def _commit_all(
    layer: Labels,
    masks: Iterable[PlaneMask],
    policy: Policy,
    image: Image,
    skip_covered: bool,
) -> Generator[CommitResult, None, None]:
    with one_step(layer):
        for item in masks:
            try:
                result = _write(layer, item, policy, image, skip_covered)
                yield result
            except (GeneratorExit, LabelsError) as error:
                # Leave the block as usual, which keeps what was written undoable.
                stopped = error
                break
        else:
            return
    raise stopped


def _write(
    layer: Labels, item: PlaneMask, policy: Policy, image: Image, skip_covered: bool
) -> CommitResult:
    check_id(layer, item.object_id)
    if item.mask is None:
        empty = np.empty(0, dtype=np.intp)
        indices: tuple[NDArray[np.intp], ...] = (empty,) * layer.ndim
    else:
        indices = place_mask(layer, item.mask, item.view, image)
    total = int(indices[0].size)
    if total and policy == "keep":
        current = np.asarray(full_resolution(layer)[indices])
        owners = covering(current, item.object_id) if skip_covered else ()
        if owners:
            return CommitResult(layer, item.object_id, 0, total, covered_by=owners)
        free = (current <= 0) | (current == item.object_id)
        indices = tuple(axis_indices[free] for axis_indices in indices)
    if item.erase:
        match = find_grid(layer, item.view, image)
        there, _ = plane_labels(layer, item.view, image=image)
        rows, columns = np.nonzero(there == item.object_id)
        own = nd_indices(layer.ndim, match.axes, match.index, rows, columns)
        gone, background = _erased(own, indices, match.axes, layer.data.shape)
        write(layer, gone, background, refresh=False)
    changed = first_change(layer, indices, item.object_id)
    if changed is not None:
        write(layer, indices, item.object_id)
    written = int(indices[0].size)
    return CommitResult(layer, item.object_id, written, total - written, changed)


def _erased(
    own: tuple[NDArray[np.intp], ...],
    kept: tuple[NDArray[np.intp], ...],
    axes: tuple[int, int],
    shape: tuple[int, ...],
) -> tuple[tuple[NDArray[np.intp], ...], int]:
    """Indices of ``own`` that are not in ``kept``, and the background."""
    width = shape[axes[1]]
    number = own[axes[0]] * width + own[axes[1]]
    stays = np.isin(number, kept[axes[0]] * width + kept[axes[1]])
    return tuple(axis_indices[~stays] for axis_indices in own), 0


def plane_labels(
    layer: Labels, view: PlaneView, *, image: Image
) -> tuple[NDArray[np.integer[Any]], tuple[int, int]]:
    """The ids of a layer on one plane of an image, for reading.

    Returns
    -------
    labels : ndarray, shape (h, w)
        The layer's pixels on that plane.
    offset : tuple of int
        Rows and columns by which they lie further on in the layer than in the image:
        the pixel ``(y, x)`` of the image is ``labels[y + offset[0], x + offset[1]]``.

    Raises
    ------
    LabelsError
        The layer's pixels are not those of the image.
    """
    data = full_resolution(layer)
    match = find_grid(layer, view, image)
    key: list[Any] = [slice(None)] * layer.ndim
    for axis, step in match.index.items():
        key[axis] = step
    return np.asarray(data[tuple(key)]), match.offset
