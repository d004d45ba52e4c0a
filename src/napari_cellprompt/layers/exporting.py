"""Labels layers as what is exported: arrays, a grid, and the facts of the ledger."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_cellprompt.io.exports.subject import ExportSubject
from napari_cellprompt.io.image_files import ImageFile, LabelGrid
from napari_cellprompt.io.objects import ObjectFacts

from .calibration import calibrated_meta
from .images import full_resolution
from .meta import axes_of_layer, calibration_of_layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari.layers import Image, Labels

    from napari_cellprompt.core.images.sampling import ArrayData
    from napari_cellprompt.session.objects import ObjectRecord

__all__ = ["facts_of", "image_axes", "subject_of", "subject_of_data"]


def subject_of(
    labels: Labels,
    image: Image | None = None,
    records: Iterable[ObjectRecord] = (),
    *,
    channel_axis: int | None = None,
) -> ExportSubject:
    """What a Labels layer holds now; no pixel is read.

    Parameters
    ----------
    labels : napari.layers.Labels
        In memory or lazy; of a multiscale layer the finest level.
    image : napari.layers.Image, optional
        The image that it belongs to; left out where it lies on another grid.
    records : iterable of ObjectRecord
        What the ledger says of objects.
    channel_axis : int, optional
        Axis of the image that holds channels.

    Raises
    ------
    ImageError
        Where the layer has axes that only a TIFF can hold.
    """
    data, attributes, _ = labels.as_layer_data_tuple()
    meta = calibrated_meta(attributes, labels.ndim, image)
    subject = subject_of_data(data, meta, _clean((image or labels).name), facts_of(records))
    if image is None:
        return subject
    pixels = full_resolution(image)
    axes = image_axes(
        tuple(pixels.shape), subject.grid, rgb=bool(image.rgb), channel_axis=channel_axis
    )
    if axes is None:
        return subject
    steps = dict(zip(subject.grid.axes, subject.grid.scale, strict=True))
    below = ImageFile(
        pixels,
        axes,
        tuple(steps.get(letter, 1.0) for letter in axes),
        subject.unit,
        subject.grid.known,
    )
    return ExportSubject(subject.labels, subject.grid, subject.name, below, subject.objects)


def subject_of_data(
    data: ArrayData | Sequence[ArrayData],
    meta: Mapping[str, Any],
    name: str,
    objects: Mapping[int, ObjectFacts] | None = None,
) -> ExportSubject:
    """What a layer's data and attributes hold, as napari gives them to writers.

    Raises
    ------
    ImageError
        Where the layer has axes that only a TIFF can hold.
    """
    # napari gives the levels of a pyramid as a sequence; no kind of array is one.
    array: Any = data if hasattr(data, "dtype") else data[0]
    shape = tuple(int(length) for length in array.shape)
    axes = axes_of_layer(len(shape), meta)
    scale, unit = calibration_of_layer(axes, meta)
    known = "" if unit == "pixel" else "".join(a for a in axes if a in "ZYX")
    units = [str(item) for item in meta.get("units") or ()]
    if "T" in axes and len(units) == len(axes) and units[axes.index("T")] != "pixel":
        known += "T"
    grid = LabelGrid(shape, axes, tuple(scale), unit, known)
    return ExportSubject(array, grid, name, None, objects or {})


def image_axes(
    shape: tuple[int, ...], grid: LabelGrid, *, rgb: bool, channel_axis: int | None
) -> str | None:
    """Letters of an image on the grid of labels; None where it is on another one.

    Parameters
    ----------
    shape
        Of the image, with samples or channels.
    grid
        Of the labels.
    rgb
        Whether the last axis holds samples.
    channel_axis
        The axis of channels, where it is known; else the first that fits is taken.
    """
    if rgb:
        return f"{grid.axes}S" if shape[:-1] == grid.shape else None
    if shape == grid.shape:
        return grid.axes
    if len(shape) != len(grid.shape) + 1:
        return None
    places = range(len(shape) - 2) if channel_axis is None else [channel_axis]
    for place in places:
        if shape[:place] + shape[place + 1 :] == grid.shape:
            return f"{grid.axes[:place]}C{grid.axes[place:]}"
    return None


def facts_of(records: Iterable[ObjectRecord]) -> dict[int, ObjectFacts]:
    """What the ledger says of objects, by id."""
    return {
        record.id: ObjectFacts(
            name=record.name,
            class_name=record.class_name,
            state=record.state,
            trust=record.trust,
            parent=record.parent,
        )
        for record in records
    }


def _clean(name: str) -> str:
    return re.sub(r"[^\w-]+", "_", name).strip("_") or "labels"
