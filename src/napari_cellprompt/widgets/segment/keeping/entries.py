"""Labels layers as entries of a session, with the calibration of a file of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.io.session_types import ClassEntry
from napari_cellprompt.layers.meta import axes_of_layer, calibration_of_layer
from napari_cellprompt.layers.saved import labels_entry

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_cellprompt.io.session_types import LayerEntry
    from napari_cellprompt.session.objects import ObjectStore

__all__ = ["layer_entry"]


def layer_entry(labels: Labels, store: ObjectStore, *, removed: bool) -> LayerEntry:
    """What a session says of a Labels layer and of the classes of its objects."""
    meta = labels.as_layer_data_tuple()[1]
    axes = axes_of_layer(labels.ndim, meta)
    scale, unit = calibration_of_layer(axes, meta)
    return replace(
        labels_entry(labels, highest=store.highest),
        axes=axes,
        scale=tuple(scale),
        unit=unit,
        classes=tuple(
            ClassEntry(number=one.number, name=one.name, colour=one.colour)
            for one in store.classes
        ),
        removed=removed,
    )
