"""Shows what a correction would change on other planes before anything is replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_cellprompt.core.types import CroppedMask
from napari_cellprompt.layers.previews.stack import StackLabels

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari.components import ViewerModel

    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.layers.stacks import LayerStack
    from napari_cellprompt.session.propagate import PlaneChange

__all__ = ["ADDED_COLOUR", "REMOVED_COLOUR", "ChangesOverlay", "difference"]

ADDED, REMOVED = 1, 2
# Blue and vermillion of Okabe and Ito, which everybody can tell apart.
ADDED_COLOUR, REMOVED_COLOUR = "#0072b2", "#d55e00"


class ChangesOverlay:
    """A layer with the pixels that would be added and removed, and a list of planes.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where to show it.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._layer = StackLabels(viewer, "Changes")
        self.planes: list[tuple[PlaneChange, int, int]] = []
        """Each change with the numbers of pixels added and removed."""

    def show(
        self, stack: LayerStack, changes: tuple[PlaneChange, ...]
    ) -> Generator[None, None, None]:
        """Draw all changes, one plane of an object after another."""
        self.close()
        colours = {None: "transparent", ADDED: ADDED_COLOUR, REMOVED: REMOVED_COLOUR}
        self._layer.open(
            stack, opacity=0.9, colormap=DirectLabelColormap(color_dict=colours)
        )
        for change in sorted(changes, key=lambda change: (change.plane, change.id)):
            added, removed = difference(change.before, change.after)
            target = self._layer.plane(change.plane)
            for mask, value in ((added, ADDED), (removed, REMOVED)):
                if mask is not None and target is not None:
                    target[mask.indices()] = value
            areas = tuple(0 if mask is None else mask.area for mask in (added, removed))
            self.planes.append((change, areas[0], areas[1]))
            yield
        self._layer.refresh()

    def close(self) -> None:
        """Take the layer away and forget the changes."""
        self._layer.close()
        self.planes = []


def difference(
    before: PlaneOutcome | None, after: PlaneOutcome | None
) -> tuple[CroppedMask | None, CroppedMask | None]:
    """The pixels that only ``after`` has, and those that only ``before`` has."""
    old = None if before is None else before.mask
    new = None if after is None else after.mask
    return _without(new, old), _without(old, new)


def _without(mask: CroppedMask | None, other: CroppedMask | None) -> CroppedMask | None:
    if mask is None or other is None:
        return mask
    left = np.array(mask.data)
    (y0, x0), (oy, ox) = mask.origin, other.origin
    height, width = mask.data.shape
    top, bottom = max(y0, oy), min(y0 + height, oy + other.data.shape[0])
    start, stop = max(x0, ox), min(x0 + width, ox + other.data.shape[1])
    if top < bottom and start < stop:
        theirs = other.data[top - oy : bottom - oy, start - ox : stop - ox]
        left[top - y0 : bottom - y0, start - x0 : stop - x0] &= ~theirs
    return CroppedMask(left, mask.origin, mask.plane_shape)
