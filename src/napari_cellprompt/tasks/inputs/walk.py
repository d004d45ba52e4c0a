"""Walks through the planes of an image, in array order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from napari_cellprompt.core.images.fingerprint import fingerprint
from napari_cellprompt.core.images.planes import PlaneSource, axes_of, image_limits

if TYPE_CHECKING:
    from napari_cellprompt.core.images.sampling import ArrayData

__all__ = ["walk_planes"]


def walk_planes(
    data: ArrayData,
    *,
    axes: str | None = None,
    channel: int | None = None,
    limits: tuple[float, float] | Literal["auto"] | None = None,
) -> Iterator[tuple[tuple[int, ...], PlaneSource]]:
    """The planes of an image, all with one contrast.

    Parameters
    ----------
    data
        For example ``(H, W)``, ``(H, W, 3)`` uint8, or a stack.
    axes
        Letters of the axes, such as TZYX; see :func:`axes_of`.
    channel
        Needed where there is an axis C of more than one channel.
    limits
        See :func:`image_limits`.

    Yields
    ------
    tuple
        Position along the axes T and Z, in array order, and the plane.
    """
    letters = axes_of(data.shape, data.dtype, axes)
    outer = "".join(letter for letter in letters if letter in "TZ")
    lengths = [int(data.shape[letters.index(letter)]) for letter in outer]
    channel_axis = letters.index("C") if "C" in letters else None
    if channel is None and channel_axis is not None and data.shape[channel_axis] == 1:
        channel = 0
    chosen = image_limits(data, limits, axes=letters, channel=channel)
    identity = fingerprint(data)
    for position in itertools.product(*(range(length) for length in lengths)):
        at = dict(zip(outer, position, strict=True))
        yield (
            position,
            PlaneSource.from_image(
                data, chosen, axes=letters, at=at, channel=channel, image_id=identity
            ),
        )
