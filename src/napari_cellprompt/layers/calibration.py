"""Voxel sizes that a layer does not show, read from the file behind it.

napari's own reader opens a calibrated TIFF with a scale of 1; what the file says would be
lost in all that is made from the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.io.image_files import read_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image, Layer

__all__ = [
    "LayerCalibration",
    "calibrated_meta",
    "calibration_note",
    "file_calibration",
    "is_calibrated",
]


@dataclass(frozen=True, slots=True)
class LayerCalibration:
    """What the file of a layer says of the layer's axes."""

    axes: str
    """A letter for each axis, out of T, C, Z, Y, X."""
    scale: tuple[float, ...]
    """Step along each axis: ``unit`` for X, Y and Z, seconds for T; 1 if not known."""
    unit: str
    """Unit of X, Y and Z."""
    known: str
    """Letters of the axes whose step the file says."""

    def layer_arguments(self, axes: str | None = None) -> dict[str, Any]:
        """``scale``, ``units`` and ``axis_labels`` of a layer with these axes, or some."""
        letters = self.axes if axes is None else axes
        steps = dict(zip(self.axes, self.scale, strict=True))
        units = dict.fromkeys("ZYX", self.unit)
        if "T" in self.known:
            units["T"] = "second"
        return {
            "scale": [steps[letter] for letter in letters],
            "units": tuple(units.get(letter, "pixel") for letter in letters),
            "axis_labels": tuple(letter.lower() for letter in letters),
        }


def is_calibrated(layer: Layer) -> bool:
    """Whether a layer itself says how large its pixels are."""
    has_unit = any(str(unit) not in ("pixel", "dimensionless") for unit in layer.units)
    return has_unit or not np.allclose(layer.scale, 1.0)


def file_calibration(image: Image) -> LayerCalibration | None:
    """What the file that an image layer was opened from says of its axes.

    Reads the head of the file only.

    Returns
    -------
    LayerCalibration or None
        None where there is no such file, or it says nothing, or the layer has other axes
        than the image in it.
    """
    path = image.source.path
    if not path or not Path(path).is_file():
        return None
    try:
        header = read_header(path)
    except ImageError:
        # Another reader has opened it: then nothing is known, and nothing is wrong.
        return None
    if header is None or not header.calibration.known:
        return None
    data = image.data[0] if image.multiscale else image.data
    if tuple(data.shape) != header.shape or bool(image.rgb) != header.axes.endswith("S"):
        return None
    kept = [i for i, letter in enumerate(header.axes) if letter != "S"]
    return LayerCalibration(
        axes="".join(header.axes[i] for i in kept),
        scale=tuple(header.calibration.scale[i] for i in kept),
        unit=header.calibration.unit,
        known=header.calibration.known,
    )


def calibrated_meta(
    meta: Mapping[str, Any], ndim: int, image: Image | None
) -> dict[str, Any]:
    """Attributes of a Labels layer, with the voxel size of the file behind its image.

    Parameters
    ----------
    meta
        As ``layer.as_layer_data_tuple()[1]`` has them.
    ndim
        Number of axes of the labels.
    image
        The image that the labels were made on.

    Returns
    -------
    dict
        ``meta`` as it is where the image layer is calibrated, or its file says nothing.
    """
    if image is None or is_calibrated(image):
        return dict(meta)
    found = file_calibration(image)
    if found is None:
        return dict(meta)
    for letters in (found.axes, found.axes.replace("C", "")):
        if len(letters) == ndim:
            return {**meta, **found.layer_arguments(letters)}
    return dict(meta)


def calibration_note(image: Image) -> str | None:
    """A sentence where the file of an image says more of its pixels than the layer."""
    if is_calibrated(image):
        return None
    found = file_calibration(image)
    if found is None:
        return None
    steps = ", ".join(
        f"{letter} {step:g} {'s' if letter == 'T' else found.unit}"
        for letter, step in zip(found.axes, found.scale, strict=True)
        if letter in found.known
    )
    return (
        f"'{image.name}' is shown without the voxel size of its file ({steps}); exported "
        f"labels have it."
    )
