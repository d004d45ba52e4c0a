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
from napari_cellprompt.layers.files import image_file_of
from napari_cellprompt.layers.images import full_resolution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.layers import Image, Layer

__all__ = [
    "ImageSource",
    "LayerCalibration",
    "calibrate",
    "calibrated_meta",
    "calibration_note",
    "file_calibration",
    "is_calibrated",
    "labels_meta",
    "said_by",
    "source_of",
]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """What has to be known of a layer to look into its file; for another thread too."""

    path: Path
    shape: tuple[int, ...]
    """Of the array at full resolution, samples of colours included."""
    rgb: bool


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
    return _says_sizes(layer.scale, layer.units)


def _says_sizes(scale: Any, units: Iterable[Any]) -> bool:
    has_unit = any(str(unit) not in ("pixel", "dimensionless") for unit in units)
    return has_unit or not np.allclose(scale, 1.0)


def file_calibration(image: Image) -> LayerCalibration | None:
    """What the file that an image layer was opened from says of its axes.

    Reads the head of the file only.

    Returns
    -------
    LayerCalibration or None
        None where there is no such file, or it says nothing, or the layer has other axes
        than the image in it.
    """
    source = source_of(image)
    return None if source is None else said_by(source)


def source_of(image: Image) -> ImageSource | None:
    """The file that an image layer was opened from; None without one."""
    if not image.source.path:
        return None
    data = full_resolution(image)
    return ImageSource(Path(image.source.path), tuple(data.shape), bool(image.rgb))


def said_by(source: ImageSource) -> LayerCalibration | None:
    """What a file says of the axes of the layer that was opened from it.

    Reads the head of the file only; free of napari, to be called off the GUI thread.

    Returns
    -------
    LayerCalibration or None
        As from ``file_calibration``.
    """
    found = _header_calibration(source.path, "S")
    if found is None:
        return None
    known, shape, letters = found
    fits = shape == source.shape and source.rgb == letters.endswith("S")
    return known if fits else None


def _header_calibration(
    path: Path, without: str
) -> tuple[LayerCalibration, tuple[int, ...], str] | None:
    """Calibration of the axes but some; shape and letters of all axes of the file."""
    try:
        header = read_header(path)
    except ImageError:
        # Gone, or another reader has opened it: nothing is known, and nothing is wrong.
        return None
    if header is None or not header.calibration.known:
        return None
    kept = [i for i, letter in enumerate(header.axes) if letter not in without]
    known = LayerCalibration(
        axes="".join(header.axes[i] for i in kept),
        scale=tuple(header.calibration.scale[i] for i in kept),
        unit=header.calibration.unit,
        known=header.calibration.known,
    )
    return known, header.shape, header.axes


def calibrate(layers: Iterable[Layer], found: LayerCalibration) -> None:
    """Give an image and what was made on it the voxel size of the file.

    Layers with other axes than the image, or than the image without its channels, stay.
    """
    for layer in layers:
        for letters in (found.axes, found.axes.replace("C", "")):
            if len(letters) == layer.ndim:
                arguments = found.layer_arguments(letters)
                steps = np.asarray(arguments["scale"])
                # what is stretched over all channels, or was moved, stays so
                layer.scale = np.asarray(layer.scale) * steps
                layer.translate = np.asarray(layer.translate) * steps
                layer.axis_labels = arguments["axis_labels"]
                layer.units = arguments["units"]
                break


def labels_meta(meta: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Attributes of a Labels layer that napari saves, with its image's voxel size.

    Parameters
    ----------
    meta
        As ``layer.as_layer_data_tuple()[1]`` has them.
    shape
        Of the labels.

    Returns
    -------
    dict
        ``meta`` as it is where it says how large pixels are, or no file does.
    """
    scale = meta.get("scale", (1.0,) * len(shape))
    path = image_file_of(meta.get("metadata") or {})
    if path is None or _says_sizes(scale, meta.get("units") or ()):
        return dict(meta)
    found = _header_calibration(path, "CS")
    if found is None:
        return dict(meta)
    known, full, letters = found
    inner = tuple(n for n, letter in zip(full, letters, strict=True) if letter not in "CS")
    return {**meta, **known.layer_arguments()} if inner == shape else dict(meta)


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


def calibration_note(image: Image, found: LayerCalibration) -> str:
    """A sentence on an image whose file says more of its pixels than the layer."""
    steps = ", ".join(
        f"{letter} {step:g} {'s' if letter == 'T' else found.unit}"
        for letter, step in zip(found.axes, found.scale, strict=True)
        if letter in found.known
    )
    return (
        f"'{image.name}' is shown without the voxel size of its file ({steps}); exported "
        f"labels have it."
    )
