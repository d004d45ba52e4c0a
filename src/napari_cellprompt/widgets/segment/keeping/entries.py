"""Labels layers as entries of a session, with the calibration of a file of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.layers.meta import axes_of_layer, calibration_of_layer
from napari_cellprompt.layers.saved import labels_entry

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_cellprompt.io.session_types import LayerEntry

__all__ = ["layer_entry"]


def layer_entry(labels: Labels, highest: int, removed: bool) -> LayerEntry:
    """What a session says of a Labels layer."""
    meta = labels.as_layer_data_tuple()[1]
    axes = axes_of_layer(labels.ndim, meta)
    scale, unit = calibration_of_layer(axes, meta)
    return replace(
        labels_entry(labels, highest=highest),
        axes=axes,
        scale=tuple(scale),
        unit=unit,
        removed=removed,
    )
