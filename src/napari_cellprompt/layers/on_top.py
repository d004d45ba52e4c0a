"""Which image a user sees, where several lie on one another."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_cellprompt.layers.previews.mask import is_preview

from .coordinates import align_right, array_shape, plane_to_layer, to_world

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from .coordinates import PlaneView

__all__ = ["choose_image", "covering", "images_of", "note_on"]

# Channels are shown through one another like this, so that none hides another one.
_SEEN_THROUGH = ("additive", "minimum", "multiplicative")
# A smaller part that is covered, by a crop for instance, leaves the image to be seen.
_MOST = 0.5
_FAR = 1e30


def images_of(viewer: ViewerModel) -> list[Image]:
    """The images of a viewer that can be segmented, the lowest first."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and not is_preview(layer)
    ]


def covering(
    viewer: ViewerModel,
    image: Image,
    *,
    view: PlaneView | None = None,
    at: tuple[float, float] | None = None,
) -> Image | None:
    """The image that is seen in place of another one; None where that one is seen.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Holds both.
    image : napari.layers.Image
        The one that may be hidden, by being switched off or by images above it.
    view, at : optional
        Only this place counts: ``(x, y)`` in pixels of a plane of ``image``. Most of the
        image when left out.
    """
    images = images_of(viewer)
    if image not in images:
        return None
    place = None
    if view is not None and at is not None:
        data = plane_to_layer(image, image, view, [at])
        world = to_world(image, data, view.world_units)
        place = align_right(world, viewer.dims.ndim, viewer.dims.point)[0]
    shown = image.visible and image.opacity > 0
    above = images[images.index(image) + 1 :] if shown else images
    for other in reversed(above):
        if other == image or not (other.visible and other.opacity > 0):
            continue
        if shown and other.blending in _SEEN_THROUGH:
            continue
        if _covers(viewer, other, image, place):
            return other
    return None


def note_on(
    viewer: ViewerModel,
    image: Image,
    at: tuple[PlaneView, tuple[float, float]] | None = None,
    *,
    channel_axis: int | None = None,
) -> str:
    """What a user may not expect of an image: hidden by another one, or no colours.

    Parameters
    ----------
    viewer, image
        As of :func:`covering`.
    at
        A plane of the image, and ``(x, y)`` of the newest prompt on it.
    channel_axis
        Which the user has chosen.
    """
    other = covering(viewer, image)
    if other is not None:
        return (
            f"Clicks count for '{image.name}', which lies under '{other.name}': "
            f"choose '{other.name}' as Image to work on that one."
        )
    if at is not None:
        view, xy = at
        other = covering(viewer, image, view=view, at=xy)
        return f"This counts for '{image.name}', under '{other.name}'." if other else ""
    shape = array_shape(image)
    if len(shape) != 3 or shape[2] not in (3, 4) or channel_axis == 2:
        return ""
    return (
        f"'{image.name}' is a stack of {shape[0]} planes of {shape[2]} x {shape[1]} pixels "
        "here. If its last axis is red, green and blue, open it as a colour picture "
        "(rgb=True)."
    )


def choose_image(
    viewer: ViewerModel, current: Image | None, new: Sequence[Image] = ()
) -> Image | None:
    """The image that a user means who has chosen none by hand.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Holds the images.
    current : napari.layers.Image, optional
        The one that was meant until now.
    new : sequence of Image
        Those that were opened since. The last one is meant, unless it is a further
        channel, through which the current image is still seen.
    """
    images = images_of(viewer)
    opened = [image for image in new if image in images and image.visible]
    meant = current if current in images else None
    if meant is None:
        active = viewer.layers.selection.active
        seen = [image for image in images if image.visible]
        if opened:
            # of channels that are opened together the lowest hides nothing
            meant = opened[0]
        elif active in images and active.visible:
            meant = active
        else:
            meant = (seen or images or [None])[-1]
    for image in opened:
        if image != meant and meant is not None:
            through = image.blending in _SEEN_THROUGH
            if not (through and _covers(viewer, image, meant, None)):
                meant = image
    if meant is None:
        return None
    return covering(viewer, meant) or meant


def _covers(
    viewer: ViewerModel, other: Image, image: Image, at: NDArray[np.float64] | None
) -> bool:
    """Whether one image lies where another one does, or at a place of it."""
    displayed = list(viewer.dims.displayed)
    over, under = _extent(viewer, other), _extent(viewer, image)
    if at is not None:
        place = at[displayed]
        return bool(np.all((over[0] <= place) & (place <= over[1])))
    sides = np.minimum(over[1], under[1]) - np.maximum(over[0], under[0])
    whole = np.maximum(under[1] - under[0], np.finfo(np.float64).tiny)
    return bool(np.all(sides > 0) and np.prod(sides / whole) >= _MOST)


def _extent(viewer: ViewerModel, image: Image) -> NDArray[np.float64]:
    """Least and greatest world coordinates of an image along the displayed axes."""
    shape = array_shape(image)
    corners = np.asarray(list(product(*((-0.5, size - 0.5) for size in shape))))
    world = to_world(image, corners, viewer.dims.units)
    lead = viewer.dims.ndim - image.ndim
    # an axis that the image does not have is filled from end to end
    found = np.array([[-_FAR] * viewer.dims.ndim, [_FAR] * viewer.dims.ndim])
    found[:, lead:] = world.min(axis=0), world.max(axis=0)
    displayed: NDArray[np.float64] = found[:, list(viewer.dims.displayed)]
    return displayed
