"""Images with their objects, plane by plane, as a model learns from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.adapt.lessons import MarkedPlane
from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.core.images.planes import PlaneSource, planes_last
from napari_cellprompt.io.known_sets import read_pair

if TYPE_CHECKING:
    from napari_cellprompt.io.known_sets import DataSet

__all__ = ["marked_in", "marked_planes", "pairs_of"]

_ANY = (0.0, 1.0)  # contrast that is not used: grey values are read as they are stored


def marked_planes(item: DataSet) -> list[MarkedPlane]:
    """The planes of a pair of files that hold objects.

    Raises
    ------
    ImageError
        When a file cannot be read, or image and labels do not fit each other.
    """
    pair = read_pair(item)
    return _marked(
        pair.image.data,
        pair.labels,
        pair.image.axes,
        pair.axes,
        pair.channel,
        item.name,
        unrelated=pair.unrelated,
    )


def marked_in(
    image: Any, labels: Any, axes: str | None, channel: int | None, name: str
) -> list[MarkedPlane]:
    """The planes of an array that hold objects.

    Parameters
    ----------
    image
        ``(H, W)``, ``(H, W, 3)``, or a stack of such planes.
    labels
        Integers to match, without the axis of the channels; 0 where there is no object.
    axes, channel
        Letters of the axes of the image, and which channel to look at.
    name
        What the image is called.

    Raises
    ------
    ImageError
        Where image and labels do not fit each other.
    """
    data, letters = planes_last(image, axes)
    flat = "".join(letter for letter in letters if letter not in "CS")
    mask = np.asarray(labels)
    expected = tuple(
        int(n) for n, x in zip(data.shape, letters, strict=True) if x not in "CS"
    )
    if mask.shape != expected:
        raise ImageError(
            f"Labels of shape {mask.shape} do not fit an image of shape "
            f"{tuple(data.shape)}: it needs {expected}."
        )
    if mask.dtype.kind not in "iub":
        raise ImageError(f"Labels must be integers: got {mask.dtype}.")
    return _marked(data, mask, letters, flat, channel, name)


def pairs_of(images: Any, labels: Any) -> list[tuple[Any, Any]]:
    """Images with their labels, from one of each or from two sequences.

    Raises
    ------
    ImageError
        Where one is missing, or there are not as many labels as images.
    """
    several = isinstance(images, list | tuple)
    if images is None or labels is None:
        raise ImageError("Give images and labels.")
    if several != isinstance(labels, list | tuple):
        raise ImageError("Give as many labels as images: two sequences, or two arrays.")
    if not several:
        return [(images, labels)]
    if len(images) != len(labels):
        raise ImageError(f"There are {len(images)} images, but {len(labels)} labels.")
    return list(zip(images, labels, strict=True))


def _marked(
    data: Any,
    labels: Any,
    axes: str,
    label_axes: str,
    channel: int | None,
    name: str,
    *,
    unrelated: bool = False,
) -> list[MarkedPlane]:
    outer = label_axes[:-2]
    lengths = labels.shape[:-2]
    along = next((x for x in "ZT" if x in outer and lengths[outer.index(x)] > 1), None)
    planes = []
    for where in np.ndindex(*lengths):
        mask = np.asarray(labels[where])
        if not mask.any():
            continue
        at = dict(zip(outer, (int(n) for n in where), strict=True))
        source = PlaneSource.from_image(
            data, _ANY, axes=axes, at=at, channel=channel, image_id=f"{name}{where}"
        )
        height, width = source.shape
        image = source.read_raw(0, height, 0, width)
        others = [f"{x}{n}" for x, n in at.items() if x != along]
        series = "" if along is None or unrelated else " ".join([name, *others])
        position = 0 if along is None else at[along]
        planes.append(MarkedPlane(image, mask, series, position))
    return planes
