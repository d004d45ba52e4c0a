"""Reads images with known objects: a folder of NAME_img.tif and NAME_lab.tif."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_cellprompt.core.images.planes import PlaneSource, image_limits
from napari_cellprompt.core.images.stack import ImageStack
from napari_cellprompt.io.known_sets import DataSet, find_sets, read_pair

from .objects import KnownPlane
from .stacks import KnownStack

__all__ = ["DataSet", "KnownSet", "find_sets", "read_set"]


@dataclass(frozen=True, slots=True, eq=False)
class KnownSet:
    """A data set that was read."""

    planes: list[KnownPlane]
    stack: KnownStack | None = None
    """The planes along Z, else T, of the first position along the other; None where the
    planes are unrelated or there is only one."""


def read_set(item: DataSet) -> KnownSet:
    """Read a data set, plane by plane and, where it is one, as a stack.

    Contrast is stretched to the percentiles 0.1 and 99.9 of the whole stack (of each
    image where they are unrelated); of several channels the first is taken.

    Raises
    ------
    ImageError
        When a file cannot be read, or image and labels do not fit each other.
    """
    pair = read_pair(item)
    image, labels, flat = pair.image, pair.labels, pair.axes
    channel, unrelated = pair.channel, pair.unrelated
    whole = None
    if not unrelated:
        whole = image_limits(image.data, "auto", axes=image.axes, channel=channel)
    planes = []
    for at in pair.positions():
        where = tuple(at[letter] for letter in flat[:-2])
        data: Any = image.data
        axes, place = image.axes, at
        limits = whole
        if unrelated:
            axis = image.axes.index("T")
            data = np.take(np.asarray(image.data), at["T"], axis=axis)
            axes = image.axes.replace("T", "")
            place = {k: v for k, v in at.items() if k != "T"}
            limits = image_limits(data, "auto", axes=axes, channel=channel)
        source = PlaneSource.from_image(
            data,
            limits,
            axes=axes,
            at=place,
            channel=channel,
            image_id=f"{item.image}{where if unrelated else ''}",
        )
        planes.append(KnownPlane(item.name, source, labels[where]))
    lengths = dict(zip(image.axes, image.data.shape, strict=True))
    along = [letter for letter in "ZT" if lengths.get(letter, 1) > 1]
    if unrelated or not along:
        return KnownSet(planes)
    stack = ImageStack(
        image.data,
        along=along[0],
        axes=image.axes,
        channel=channel,
        limits=whole,
        image_id=str(item.image),
    )
    first = tuple(slice(None) if x in (along[0], "Y", "X") else 0 for x in flat)
    return KnownSet(planes, KnownStack(item.name, stack, labels[first]))
