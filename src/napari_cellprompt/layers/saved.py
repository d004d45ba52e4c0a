"""Layers as entries of a session file, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.io.session_types import (
    DrawingEntry,
    ImageEntry,
    LayerEntry,
    Place,
    PlaneEntry,
)

from .grids import match_grid
from .images import full_resolution
from .labels.commit import LabelsError
from .prompting.drawn import Drawing
from .prompting.prompts import NEGATIVE, POLARITY, POSITIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.layers import Image, Labels, Layer
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import PlaneKey

    from .coordinates import PlaneView

__all__ = [
    "Edits",
    "drawing_entry",
    "drawing_of",
    "image_entry",
    "labels_entry",
    "labels_of",
    "place_entry",
    "plane_entry",
    "provenance",
    "provenance_text",
    "set_provenance",
]

_METADATA_KEY = "napari-cellprompt"
_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine")


def image_entry(image: Image, fingerprint: str = "") -> ImageEntry:
    """What a session says of its image; the fingerprint is taken elsewhere."""
    data = full_resolution(image)
    source = image.source.path
    return ImageEntry(
        name=image.name,
        path=None if not source or "://" in str(source) else str(Path(source).resolve()),
        shape=tuple(int(length) for length in data.shape),
        dtype=str(np.dtype(data.dtype)),
        fingerprint=fingerprint,
        rgb=bool(image.rgb),
        axes=tuple(str(label) for label in image.axis_labels),
        scale=tuple(float(step) for step in image.scale),
        units=tuple(str(unit) for unit in image.units),
    )


def labels_entry(labels: Labels, *, highest: int = 0) -> LayerEntry:
    """What a session says of a Labels layer, but its axes and their calibration."""
    meta = labels.as_layer_data_tuple()[1]
    transform: dict[str, Any] = {
        name: np.asarray(meta[name], dtype=float).tolist()
        for name in _TRANSFORM
        if meta.get(name) is not None
    }
    transform["units"] = [str(unit) for unit in labels.units]
    transform["axis_labels"] = [str(label) for label in labels.axis_labels]
    data = labels.data
    return LayerEntry(
        name=labels.name,
        shape=tuple(int(length) for length in data.shape),
        dtype=str(data.dtype),
        transform=transform,
        highest=highest,
    )


def labels_of(entry: LayerEntry, array: NDArray[Any]) -> Labels:
    """A Labels layer with an array of ids, where it was and as it was called."""
    from napari.layers import Labels

    options = dict(entry.transform)
    return Labels(array, name=entry.name, **options)


def plane_entry(key: PlaneKey, channel_axis: int | None, image: Image) -> PlaneEntry:
    """A plane as the model saw it."""
    if key.channel is not None and channel_axis is None:
        channel_axis = full_resolution(image).ndim - 1
    counted = key.channel is not None or bool(key.channels)
    return PlaneEntry(
        index=key.index,
        axes=key.axes,
        channel=key.channel,
        channel_axis=channel_axis if counted else None,
        limits=key.limits,
        channels=key.channels,
    )


def place_entry(labels: Labels, image: Image, view: PlaneView) -> Place:
    """Where a plane of an image is in a Labels layer.

    Raises
    ------
    LabelsError
        The layer's pixels are not those of the image.
    """
    match = match_grid(image, labels, view)
    if isinstance(match, str):
        raise LabelsError(match)
    rows, columns = match.axes
    others = [axis for axis in range(labels.ndim) if axis not in match.axes]
    return Place(
        index=tuple(int(match.index[axis]) for axis in others),
        axes=(int(rows), int(columns)),
        offset=(int(match.offset[0]), int(match.offset[1])),
    )


def drawing_entry(drawing: Drawing | None) -> DrawingEntry | None:
    """Clicks and shapes; None where there are none."""
    if drawing is None or not (len(drawing.points) or drawing.shapes):
        return None
    features = {} if drawing.features is None else drawing.features
    names = tuple(POSITIVE if sign else NEGATIVE for sign in drawing.signs)
    return DrawingEntry(
        points=tuple(tuple(row) for row in drawing.points.tolist()),
        features={str(name): tuple(features[name].tolist()) for name in features},
        shapes=tuple(tuple(map(tuple, shape.tolist())) for shape in drawing.shapes),
        kinds=drawing.kinds,
        shape_features={POLARITY: names} if NEGATIVE in names else {},
    )


def drawing_of(entry: DrawingEntry) -> Drawing:
    """What is to be put into the prompt layers."""
    import pandas as pd

    return Drawing(
        np.array(entry.points, dtype=float).reshape(
            len(entry.points), len(entry.points[0]) if entry.points else 2
        ),
        pd.DataFrame({name: list(values) for name, values in entry.features.items()}),
        tuple(np.array(shape, dtype=float) for shape in entry.shapes),
        entry.kinds,
        _signs(entry),
    )


def _signs(entry: DrawingEntry) -> tuple[int, ...]:
    """Of each shape; positive where the file does not say."""
    names = entry.shape_features.get(POLARITY, ())
    if len(names) != len(entry.kinds):
        return (1,) * len(entry.kinds)
    return tuple(0 if name == NEGATIVE else 1 for name in names)


class Edits:
    """Counts what may have changed the pixels of some Labels layers."""

    def __init__(self) -> None:
        self.count = 0
        self._followed: list[Layer] = []

    def follow(self, layers: Iterable[Labels]) -> None:
        """Follow these layers, and no others."""
        wanted = list(layers)
        for layer in [one for one in self._followed if one not in wanted]:
            self._connect(layer, False)
            self._followed.remove(layer)
        for layer in [one for one in wanted if one not in self._followed]:
            self._connect(layer, True)
            self._followed.append(layer)

    def close(self) -> None:
        """Follow no layer any more."""
        self.follow(())

    def _connect(self, layer: Layer, on: bool) -> None:
        events = layer.events
        # undo in the layer itself is told by nothing but a refresh
        for emitter in (events.paint, events.data, events.set_data, events.labels_update):
            (emitter.connect if on else emitter.disconnect)(self._edited)

    def _edited(self, event: Any = None) -> None:
        self.count += 1


def provenance(labels: Labels) -> dict[str, Any]:
    """Where the objects of a layer come from, as its metadata has it."""
    return _provenance(labels.metadata)


def provenance_text(metadata: Mapping[str, Any]) -> str:
    """The same as JSON, for a file; empty where nothing is known.

    The session is named without its folder, which is nobody's business but its owner's.
    """
    facts = _provenance(metadata)
    if not facts:
        return ""
    if "session" in facts:
        facts["session"] = Path(str(facts["session"])).name
    return json.dumps({_METADATA_KEY: facts})


def _provenance(metadata: Mapping[str, Any]) -> dict[str, Any]:
    own = metadata.get(_METADATA_KEY)
    found = own.get("provenance") if isinstance(own, dict) else None
    return dict(found) if isinstance(found, dict) else {}


def set_provenance(labels: Labels, facts: dict[str, Any]) -> None:
    """Note in a layer's metadata where its objects come from; it goes where they go."""
    own = labels.metadata.get(_METADATA_KEY)
    known = dict(own) if isinstance(own, dict) else {}
    if known.get("provenance") != facts:
        known["provenance"] = facts
        labels.metadata = {**labels.metadata, _METADATA_KEY: known}
