"""Which Labels layers can be written into, and copies of those that cannot."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.images import full_resolution

from .deltas import blocks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Labels
    from numpy.typing import NDArray

__all__ = [
    "MAKE_COPY",
    "LabelsError",
    "check_writable",
    "copy_in_memory",
    "is_zarr",
    "put_in_place",
    "unwritable",
]

MAKE_COPY = "Make a writable copy"
"""What the button is called that copies labels which cannot be written into."""


class LabelsError(CellpromptError, ValueError):
    """A Labels layer that a mask cannot be written into; the message says why."""


def check_writable(layer: Labels) -> None:
    """Raise ``LabelsError`` with the reason when a layer must not be written to.

    The lock in napari's layer list only hides the delete button; here it also protects
    the labels, which is what its symbol says.
    """
    # a layer of several levels is never editable by napari itself
    if layer.locked or not (layer.editable or layer.multiscale):
        raise LabelsError(
            f"'{layer.name}' is locked: unlock it in the layer list or choose another "
            "Labels layer."
        )
    reason = unwritable(layer)
    if reason:
        raise LabelsError(
            f"{reason}: press '{MAKE_COPY}' in Segment, or choose another Labels layer."
        )


def unwritable(layer: Labels) -> str:
    """Why a layer's array cannot be written into, whoever asks; empty where it can.

    Returns
    -------
    str
        The beginning of a sentence, without its end.
    """
    levels = list(layer.data) if layer.multiscale else [layer.data]
    which = f"'{layer.name}'"
    for data in levels:
        if not (isinstance(data, np.ndarray) or is_zarr(data)):
            kind = type(data).__module__.partition(".")[0]
            return (
                f"{which} is an array of {kind}, which is not held in memory and can only "
                "be read"
            )
        if data.read_only if is_zarr(data) else not data.flags.writeable:
            return f"The array of {which} is read-only"
    return ""


def is_zarr(data: Any) -> bool:
    """Whether labels are a zarr array, which is written chunk by chunk on its disk.

    Such an array is edited, and edits are undone, by coordinates, so that only the chunks
    with these pixels are read and written.
    """
    zarr = sys.modules.get("zarr")
    return zarr is not None and isinstance(data, zarr.Array)


def copy_in_memory(
    layer: Labels, cancelled: Callable[[], bool] = lambda: False
) -> Callable[[], NDArray[Any] | None]:
    """What reads the finest level of a layer into memory, on any thread.

    Returns
    -------
    callable
        Gives the array, or None where it was cancelled in between.
    """
    # The layer itself belongs to the GUI thread.
    data = full_resolution(layer)

    def read() -> NDArray[Any] | None:
        copy = np.empty(data.shape, data.dtype)
        for place, block in blocks_of(data):
            if cancelled():
                return None
            copy[place] = block
        return copy

    return read


def put_in_place(viewer: ViewerModel, layer: Labels, array: NDArray[Any]) -> Labels:
    """Replace a layer by one with another array, at the same place in the layer list.

    Name, colours, features, metadata and transforms stay; napari's undo steps of the old
    layer are lost, since they cannot be carried over.
    """
    from napari.layers import Layer

    _, attributes, kind = layer.as_layer_data_tuple()
    attributes |= {"multiscale": False}
    new = Layer.create(array, attributes, kind)
    position = viewer.layers.index(layer)
    selected = {new if item == layer else item for item in viewer.layers.selection}
    viewer.layers.remove(layer)
    viewer.layers.insert(position, new)
    new.name = attributes["name"]
    viewer.layers.selection = selected
    return new
