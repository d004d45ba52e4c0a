"""The planes in which objects are looked for without prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import ImageError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.images import plane_source
from napari_cellprompt.layers.stacks import LayerStack, stack_axes
from napari_cellprompt.widgets.segment.contrast import Pending

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["Target", "target_of"]


@dataclass(slots=True)
class Target:
    """One plane of an image, or all planes of a stack."""

    image: Image
    view: PlaneView
    """The plane that was on screen."""
    stack: LayerStack | None
    planes: dict[int, PlaneSource]
    """By number, from 0 without a gap."""

    @property
    def axis(self) -> int | None:
        """Array axis along which the planes lie, where there are several."""
        return None if self.stack is None else self.stack.axis.axis

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of planes, their rows and columns."""
        return len(self.planes), *self.planes[0].shape

    def view_at(self, number: int) -> PlaneView:
        """The plane of a number in the viewer."""
        return self.view if self.stack is None else self.stack.view_at(number)

    def number_of(self, view: PlaneView) -> int:
        """The number of a plane of the viewer."""
        if self.stack is None:
            return 0
        place = view.other_axes(self.image.ndim).index(self.stack.axis.axis)
        return int(view.index[place])


def target_of(viewer: ViewerModel, place: Workplace, *, whole_stack: bool) -> Target:
    """The plane on screen of Segment's image, or all planes of its stack.

    Raises
    ------
    ImageError
        With what the user has to choose first.
    """
    image = place.chosen.image
    if image is None:
        raise ImageError("Open an image and choose it in Segment first.")
    view = plane_of(viewer, image, channel_axis=place.channel_axis)
    pixels = place.pixels_of(image)
    if isinstance(pixels, Pending):
        raise ImageError("The grey values of the image are not known yet: try again.")
    axes = stack_axes(image, view) if whole_stack else []
    if not axes:
        plane = plane_source(image, view, **pixels.arguments)
        return Target(image, view, None, {0: plane})
    stack = LayerStack(image, view, axes[0], **pixels.arguments)
    planes = {number: stack.plane(number) for number in range(len(stack))}
    return Target(image, view, stack, planes)
