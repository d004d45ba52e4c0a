"""The writer of napari's File > Save: a Labels layer becomes a calibrated label TIFF."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["write_layer"]


def write_layer(
    path: str | os.PathLike[str],
    data: ArrayData | Sequence[ArrayData],
    meta: Mapping[str, Any],
) -> list[str]:
    """Write one Labels layer with axes, voxel size and unit.

    Parameters
    ----------
    path
        Where to; ends in ``.tif`` or ``.tiff``.
    data
        The labels, 2 to 5 dimensions; a list of levels gives its full resolution.
    meta
        Attributes of the layer as ``layer.as_layer_data_tuple()[1]`` has them:
        ``scale``, ``affine``, ``units``, ``axis_labels``, ``metadata``; each may be
        missing. Where they do not say how large pixels are, the file of the image does
        that the objects were made on.

    Returns
    -------
    list of str
        The one path that was written.

    Raises
    ------
    CellpromptError
        When labels do not fit a TIFF or the file cannot be written.
    """
    from napari_cellprompt.io.label_tiff import write_labels
    from napari_cellprompt.layers.calibration import labels_meta
    from napari_cellprompt.layers.meta import (
        axes_of_layer,
        calibration_of_layer,
        is_timed,
    )
    from napari_cellprompt.layers.saved import provenance_text

    # napari gives the levels of a pyramid as a sequence; no kind of array is one.
    labels: ArrayData = data[0] if isinstance(data, Sequence) else data
    meta = labels_meta(meta, tuple(labels.shape))
    axes = axes_of_layer(len(labels.shape), meta)
    scale, unit = calibration_of_layer(axes, meta)
    target = write_labels(
        path,
        labels,
        axes=axes,
        scale=scale,
        unit=unit,
        # One second a frame is an interval only where the layer says seconds.
        known="T" if is_timed(axes, meta) else None,
        info=provenance_text(meta.get("metadata") or {}),
    )
    return [str(target)]
