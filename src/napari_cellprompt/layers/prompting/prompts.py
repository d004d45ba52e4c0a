"""Points and Shapes layers as prompts, and the layers that are made for prompting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.layers.coordinates import array_shape, points_to_plane
from napari_cellprompt.layers.files import metadata_of_labels
from napari_cellprompt.layers.grids import layer_kwargs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

    from napari_cellprompt.layers.coordinates import PlaneView

__all__ = [
    "BOXES_NAME",
    "LABELS_NAME",
    "NEGATIVE",
    "POINTS_NAME",
    "POLARITY",
    "POSITIVE",
    "add_boxes_layer",
    "add_labels_layer",
    "add_points_layer",
    "clip_box",
    "fit_points",
    "read_box",
    "read_points",
    "set_signs",
]

POLARITY = "polarity"
POSITIVE = "positive"
NEGATIVE = "negative"

POINTS_NAME = "Prompts: points"
BOXES_NAME = "Prompts: boxes"
LABELS_NAME = "Cells"

_COLOURS = {POSITIVE: "#2ecc40", NEGATIVE: "#ff4136"}
_SHAPE_COLOURS = {POSITIVE: "#ffdc00", NEGATIVE: "#ff4136"}
_CLOSED_SHAPES = ("rectangle", "ellipse", "polygon", "path")
# Screen pixels between which a point is drawn, whatever the zoom: large enough to be
# seen, and small enough to leave a nucleus visible.
_POINT_ON_SCREEN = (4, 14)
# Between these, a point is as large as this share of the object that it is on.
_POINT_ON_OBJECT = 0.2


def read_points(
    points: Points, image: Image, view: PlaneView
) -> tuple[list[tuple[float, float]], list[int]]:
    """``(x, y)`` and label (1 or 0) of the points on a plane, in the layer's order."""
    if len(points.data) == 0:
        return [], []
    xy, on_plane = points_to_plane(points, image, view, points.data)
    features = points.features
    signs = (
        [str(value) for value in features[POLARITY]]
        if POLARITY in features
        else [POSITIVE] * len(xy)
    )
    chosen = np.flatnonzero(on_plane)
    return (
        [(float(xy[i, 0]), float(xy[i, 1])) for i in chosen],
        [0 if signs[i] == NEGATIVE else 1 for i in chosen],
    )


def read_box(
    boxes: Shapes, image: Image, view: PlaneView
) -> tuple[float, float, float, float] | None:
    """Bounding box of the last closed shape on a plane, not clipped to the image.

    Returns
    -------
    tuple of float or None
        ``x0, y0, x1, y1`` with ``x0, y0`` inclusive and ``x1, y1`` exclusive. A pixel
        ``i`` covers ``i - 0.5`` to ``i + 0.5`` in the layer and ``i`` to ``i + 1`` in a
        box, so the corners move by half a pixel and the area stays. Shapes thinner
        than a pixel, which a click without a drag leaves behind, do not count.
    """
    found = None
    for vertices, kind in zip(boxes.data, boxes.shape_type, strict=True):
        if kind not in _CLOSED_SHAPES:
            continue
        xy, on_plane = points_to_plane(boxes, image, view, vertices)
        if not on_plane.all():
            continue
        x0, y0 = (float(value) for value in xy.min(axis=0) + 0.5)
        x1, y1 = (float(value) for value in xy.max(axis=0) + 0.5)
        if x1 - x0 >= 1 and y1 - y0 >= 1:
            found = x0, y0, x1, y1
    return found


def set_signs(boxes: Shapes, signs: Sequence[int]) -> None:
    """Say of each shape whether it marks an object (1) or background (0)."""
    names = [POSITIVE if sign else NEGATIVE for sign in signs]
    if POLARITY not in boxes.features and NEGATIVE not in names:
        return
    features = boxes.features.copy()
    features[POLARITY] = np.array(names, dtype=object)
    boxes.features = features
    colours = [_SHAPE_COLOURS[name] for name in names]
    if colours:
        boxes.edge_color = colours


def clip_box(
    box: tuple[float, float, float, float], height: int, width: int
) -> tuple[float, float, float, float] | None:
    """The part of a box inside the image; None when there is none."""
    x0, y0 = max(box[0], 0.0), max(box[1], 0.0)
    x1, y1 = min(box[2], float(width)), min(box[3], float(height))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def add_points_layer(viewer: ViewerModel, image: Image) -> Points:
    """Add an empty Points layer for clicks on ``image``; green is object, red is not.

    New points take ``layer.feature_defaults["polarity"]``.
    """
    from napari.layers import Points

    layer = Points(
        np.empty((0, image.ndim)),
        ndim=image.ndim,
        name=POINTS_NAME,
        features={POLARITY: np.empty(0, dtype=object)},
        feature_defaults={POLARITY: POSITIVE},
        face_color=POLARITY,
        face_color_cycle=_COLOURS,
        border_color="white",
        size=_POINT_ON_SCREEN[1],
        canvas_size_limits=_POINT_ON_SCREEN,
        **layer_kwargs(image),
    )
    viewer.add_layer(layer)
    return layer


def fit_points(points: Points, side: float) -> None:
    """Draw clicks small enough for objects of a size; layers of the user's stay alone.

    Parameters
    ----------
    points : napari.layers.Points
        From ``add_points_layer``.
    side : float
        Longer side of an object in pixels of the image.
    """
    if tuple(points.canvas_size_limits) != _POINT_ON_SCREEN:
        return
    wanted = min(max(_POINT_ON_OBJECT * side, 1.0), float(_POINT_ON_SCREEN[1]))
    # A mask that changes by a pixel is no reason to draw everything anew.
    if abs(points.current_size - wanted) < 0.2 * wanted:
        return
    with points.events.current_size.blocker():
        points.current_size = wanted
    if len(points.data):
        points.size = wanted


def add_boxes_layer(viewer: ViewerModel, image: Image) -> Shapes:
    """Add an empty Shapes layer for boxes on ``image``."""
    from napari.layers import Shapes

    layer = Shapes(
        None,
        ndim=image.ndim,
        name=BOXES_NAME,
        features={POLARITY: np.empty(0, dtype=object)},
        feature_defaults={POLARITY: POSITIVE},
        face_color="transparent",
        edge_color=_SHAPE_COLOURS[POSITIVE],
        # The width is in pixels of the image; a thicker line would hide small cells.
        edge_width=1,
        **layer_kwargs(image),
    )
    viewer.add_layer(layer)
    return layer


def add_labels_layer(
    viewer: ViewerModel,
    image: Image,
    *,
    channel_axis: int | None = None,
    name: str = LABELS_NAME,
) -> Labels:
    """Add an empty uint16 Labels layer on the grid of ``image``.

    A leading channel axis is left out. One further inside stays with length 1 and covers
    all channels, since napari aligns layers at their last axis.

    The array is ``numpy.zeros``: the operating system hands out its memory only where
    something is written, so that a layer on a large stack costs next to nothing. (Undo
    in napari needs an array that can be written to, which a dask array cannot.)
    """
    from napari.layers import Labels

    shape = list(array_shape(image))
    if channel_axis == 0:
        shape, kwargs = shape[1:], layer_kwargs(image, drop=(0,))
    elif channel_axis is not None:
        span = [1] * image.ndim
        span[channel_axis] = shape[channel_axis]
        shape[channel_axis] = 1
        kwargs = layer_kwargs(image, span=span)
    else:
        kwargs = layer_kwargs(image)
    kwargs["metadata"] = metadata_of_labels(image)
    layer = Labels(np.zeros(shape, dtype=np.uint16), name=name, **kwargs)
    viewer.add_layer(layer)
    return layer
