"""The one way in which masks get into Labels layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_cellprompt.layers.grids import GridMatch, match_grid
from napari_cellprompt.layers.images import full_resolution

from .deltas import blocks_of
from .writable import LabelsError, check_writable, is_zarr, put_in_place
from .writing import one_step, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from napari.utils.events import Event
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = [
    "CommitResult",
    "LabelIds",
    "LabelsError",
    "Policy",
    "check_id",
    "commit",
    "covering",
    "find_grid",
    "first_change",
    "max_label",
    "nd_indices",
    "needs_widening",
    "place_mask",
    "widen",
    "widening_note",
]

Policy = Literal["keep", "replace"]

SAME_OBJECT = 0.75
"""A mask of which one object has more than this share is that object once more."""
NOTHING_LEFT = 0.9
"""Of a mask of which several objects have more than this share a sliver would be left."""
LEAST_LEFT = 4
"""Fewer pixels than these, if they are less than half of a mask, are no object either."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a commit did."""

    layer: Labels
    """The layer that was written to."""
    object_id: int
    written: int
    """Pixels that now carry the id."""
    kept_out: int
    """Pixels of the mask that stayed with the objects that had them."""
    changed: tuple[int, ...] | None = None
    """Index of one pixel that did not carry the id before; None where all did."""
    covered_by: tuple[int, ...] = ()
    """Objects that have nearly all of the mask, so that it was not written."""


def commit(
    layer: Labels,
    mask: CroppedMask,
    view: PlaneView,
    object_id: int,
    policy: Policy = "keep",
    *,
    image: Image,
) -> CommitResult:
    """Write one object into a Labels layer, as one step of the layer's undo.

    Only pixels of ``mask`` change, and of these only the ones that the policy allows.

    Parameters
    ----------
    layer : napari.layers.Labels
        In memory or a zarr array, or several of them that are levels of a pyramid; on the
        pixel grid of ``image``. It may be a crop of it, may lack its channel axis, or may
        have further leading axes.
    mask : CroppedMask
        The object's pixels on the plane ``view`` of ``image``.
    view : PlaneView
        The plane on which the mask was predicted.
    object_id : int
        Positive, and one that the layer's type can hold (``needs_widening``).
    policy : {"keep", "replace"}
        "keep" leaves pixels of other objects alone, "replace" takes them over.
    image : napari.layers.Image
        The image that ``view`` belongs to.

    Raises
    ------
    LabelsError
        The layer cannot be written to, does not fit the image, or nearly all of the mask
        belongs to other objects that are kept.
    """
    check_writable(layer)
    check_id(layer, object_id)
    indices = place_mask(layer, mask, view, image)
    if indices[0].size == 0:
        raise LabelsError("There is no mask to accept: click on an object first.")
    current = np.asarray(full_resolution(layer)[indices])
    total = int(indices[0].size)
    if policy == "keep":
        owners = covering(current, object_id)
        if owners:
            raise LabelsError(_covered_text(current, owners, layer.name))
        # -1 is background as well, in the labels of some programs.
        free = (current <= 0) | (current == object_id)
        indices = tuple(axis_indices[free] for axis_indices in indices)
    changed = first_change(layer, indices, object_id)
    with one_step(layer):
        write(layer, indices, object_id)
    written = int(indices[0].size)
    return CommitResult(layer, object_id, written, total - written, changed)


def covering(current: NDArray[Any], object_id: int) -> tuple[int, ...]:
    """Other objects that have so much of a mask that it is no object of its own.

    Parameters
    ----------
    current : ndarray, shape (N,)
        What the layer holds at the pixels of the mask.
    object_id : int
        The mask's own id.
    """
    others, counts = np.unique(
        current[(current > 0) & (current != object_id)], return_counts=True
    )
    if not others.size:
        return ()
    order = np.argsort(-counts, kind="stable")
    if counts[order[0]] > SAME_OBJECT * current.size:
        return (int(others[order[0]]),)
    left = current.size - counts.sum()
    sliver = left < min(LEAST_LEFT, current.size / 2)
    if sliver or counts.sum() > NOTHING_LEFT * current.size:
        return tuple(int(number) for number in others[order])
    return ()


def _covered_text(current: NDArray[Any], owners: tuple[int, ...], name: str) -> str:
    share = float(np.isin(current, owners).mean())
    names = ", ".join(str(owner) for owner in owners[:3])
    first = (
        f"{share:.0%} of this mask is object {names} of '{name}', which is kept: it is "
        "that object once more."
        if len(owners) == 1
        else f"{share:.0%} of this mask already belongs to objects {names} of '{name}', "
        "which are kept."
    )
    whose = "its" if len(owners) == 1 else "their"
    return f"{first} Q discards it; with Overlaps on 'replace' it takes {whose} place."


def first_change(
    layer: Labels, indices: tuple[NDArray[np.intp], ...], object_id: int
) -> tuple[int, ...] | None:
    """Index of the first of some pixels that does not carry an id."""
    other = np.flatnonzero(np.asarray(full_resolution(layer)[indices]) != object_id)
    return tuple(int(axis[other[0]]) for axis in indices) if other.size else None


def check_id(layer: Labels, object_id: int) -> None:
    """Raise ``LabelsError`` when a layer cannot hold an id."""
    if object_id < 1 or needs_widening(layer, object_id):
        raise LabelsError(
            f"'{layer.name}' ({layer.data.dtype}) cannot hold the id {object_id}."
        )


def find_grid(layer: Labels, view: PlaneView, image: Image) -> GridMatch:
    """Where the plane's pixels are in the layer, or ``LabelsError``."""
    match = match_grid(image, layer, view)
    if isinstance(match, str):
        raise LabelsError(match)
    return match


def place_mask(
    layer: Labels, mask: CroppedMask, view: PlaneView, image: Image
) -> tuple[NDArray[np.intp], ...]:
    """Index arrays of a mask's pixels in the layer; ``LabelsError`` if one is outside."""
    match = find_grid(layer, view, image)
    rows, columns = mask.indices()
    rows, columns = rows + match.offset[0], columns + match.offset[1]
    height, width = (layer.data.shape[axis] for axis in match.axes)
    if rows.size and (
        min(rows.min(), columns.min()) < 0 or rows.max() >= height or columns.max() >= width
    ):
        raise LabelsError(
            f"Part of the object lies outside '{layer.name}', which is {width} x "
            f"{height} pixels here."
        )
    return nd_indices(layer.ndim, match.axes, match.index, rows, columns)


def nd_indices(
    ndim: int,
    axes: tuple[int, int],
    index: Any,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> tuple[NDArray[np.intp], ...]:
    """One index array per axis, as ``Labels.data_setitem`` wants them."""
    indices = []
    for axis in range(ndim):
        if axis == axes[0]:
            indices.append(rows)
        elif axis == axes[1]:
            indices.append(columns)
        else:
            indices.append(np.full(rows.shape, index[axis], dtype=np.intp))
    return tuple(indices)


def needs_widening(layer: Labels, object_id: int) -> bool:
    """True when the layer's integer type is too small for an id."""
    return object_id > int(np.iinfo(layer.data.dtype).max)


def widening_note(layer: Labels, wide: Labels) -> str:
    """A sentence on a layer whose place a wider one has taken."""
    info = np.iinfo(layer.data.dtype)
    bits = info.bits - (info.min < 0)
    return (
        f"Ids have outgrown {bits} bits: '{wide.name}' is now a "
        f"{wide.data.dtype.itemsize * 8}-bit layer."
    )


def widen(viewer: ViewerModel, layer: Labels) -> Labels:
    """Replace a layer by a uint32 copy at the same place in the layer list.

    Name, colours, features and transforms stay; the undo steps of the old layer are lost,
    since napari cannot carry them over.

    Raises
    ------
    LabelsError
        When the labels are on a disk, where a copy in memory would not be what the user
        saves, or have several levels.
    """
    data = full_resolution(layer)
    if layer.multiscale or is_zarr(data):
        what = "has several levels" if layer.multiscale else "is a zarr array"
        raise LabelsError(
            f"'{layer.name}' {what} of {data.dtype}, which has no room for more ids: "
            "choose another Labels layer, or make it anew with uint32."
        )
    # what is background as -1 would become the largest id
    positive = np.maximum(np.asarray(data), 0)
    return put_in_place(viewer, layer, positive.astype(np.uint32))


def max_label(data: Any) -> int:
    """Largest id in a label array, 0 for one without objects.

    Takes as long as reading the array (about 0.1 s per GB in memory), so that a large
    one is better looked through off the GUI thread and handed to ``LabelIds.know``.
    """
    if 0 in data.shape:
        return 0
    return max(0, *(int(block.max()) for _, block in blocks_of(data)))


class LabelIds:
    """Next free ids of Labels layers, without reading their arrays again and again.

    The maximum of a layer is read once and then kept as an upper bound: whatever the
    user paints carries the layer's ``selected_label``, and undo brings back only ids
    that were counted before. Assigning new data to the layer starts anew.
    """

    def __init__(self) -> None:
        self._bounds: dict[str, int] = {}
        self._disconnect: dict[str, Callable[[], None]] = {}

    def next_id(self, layer: Labels, handed_out: int = 0) -> int:
        """The id for a new object: one more than any in the layer or handed out.

        Parameters
        ----------
        layer : napari.layers.Labels
            Its array is read unless its maximum is known.
        handed_out : int
            Largest id given to an object in this session; ids are never used twice.
        """
        return max(self.largest(layer), handed_out) + 1

    def largest(self, layer: Labels) -> int:
        """Upper bound of the ids in a layer; exact until objects are erased."""
        name = str(layer.unique_id)
        if name not in self._bounds:
            self.know(layer, max_label(full_resolution(layer)))
        return self._bounds[name]

    def is_known(self, layer: Labels) -> bool:
        """True when ``next_id`` will not read the array."""
        return str(layer.unique_id) in self._bounds

    def know(self, layer: Labels, largest: int) -> None:
        """Take over a maximum that is known, and follow the layer's changes."""
        name = str(layer.unique_id)
        self._bounds[name] = max(largest, self._bounds.get(name, 0))
        if name in self._disconnect:
            return

        def painted(event: Event) -> None:
            if name in self._bounds:
                label = int(event.source.selected_label)
                self._bounds[name] = max(self._bounds[name], label)

        def replaced(event: Event) -> None:
            self._bounds.pop(name, None)

        paint, data = layer.events.paint, layer.events.data
        paint.connect(painted)
        data.connect(replaced)

        def disconnect() -> None:
            paint.disconnect(painted)
            data.disconnect(replaced)

        self._disconnect[name] = disconnect

    def close(self) -> None:
        """Stop following all layers."""
        for disconnect in self._disconnect.values():
            disconnect()
        self._disconnect.clear()
        self._bounds.clear()
