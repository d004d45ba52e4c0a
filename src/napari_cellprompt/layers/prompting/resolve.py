"""What the layers show, as one value that can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_cellprompt.core.types import PlaneKey, Prompts
from napari_cellprompt.layers.coordinates import PlaneView, plane_of

from .drawn import DrawnObject, read_objects
from .shapes import read_shapes, shapes_note

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

    from napari_cellprompt.layers.images import Pixels

__all__ = ["SegmentState", "resolve"]


@dataclass(frozen=True, slots=True)
class SegmentState:
    """All that decides what is predicted and where it goes.

    A prediction is asked for only when this differs from the last time.
    """

    plane: PlaneKey
    """The plane as the model sees it."""
    view: PlaneView
    """The same plane in the viewer."""
    drawn: tuple[DrawnObject, ...]
    """What is drawn on the plane, the object drawn last at the end."""
    target: str | None
    """Unique id of the Labels layer that takes the object; None when there is none."""

    note: str = ""
    """How shapes count that are no plain boxes."""

    @property
    def prompts(self) -> Prompts:
        """Those of the object drawn last; empty where nothing is drawn."""
        return self.drawn[-1].prompts if self.drawn else Prompts()

    @property
    def objects(self) -> tuple[Prompts, ...]:
        """Prompts of each object."""
        return tuple(drawn.prompts for drawn in self.drawn)

    def same_request(self, other: SegmentState | None) -> bool:
        """True when a prediction for ``other`` answers this state too."""
        return (
            other is not None
            and self.plane == other.plane
            and self.objects == other.objects
        )


def resolve(
    viewer: ViewerModel,
    *,
    image: Image,
    points: Points | None,
    boxes: Shapes | None,
    labels: Labels | None,
    pixels: Pixels,
    channel_axis: int | None = None,
    one_per_point: bool = False,
) -> SegmentState:
    """Read the layers; nothing is changed and no pixel is touched.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer that holds the layers.
    image : napari.layers.Image
        The image to segment.
    points, boxes : napari layers, optional
        Where the prompts are.
    labels : napari.layers.Labels, optional
        Where objects go.
    pixels : Pixels
        How the image is shown to the model.
    channel_axis : int, optional
        The axis that holds channels.
    one_per_point : bool
        Whether each click on an object is an object of its own.

    Raises
    ------
    ImageError, PromptError
        The plane or the prompts cannot be used; the message says why.
    """
    view = plane_of(viewer, image, channel_axis=channel_axis)
    shapes = [] if boxes is None else read_shapes(boxes, image, view)
    drawn = read_objects(
        points, boxes, image, view, one_per_point=one_per_point, shapes=shapes
    )
    return SegmentState(
        plane=PlaneKey(
            pixels.image_id,
            view.index,
            view.axes,
            pixels.channel,
            pixels.limits,
            pixels.channels,
        ),
        view=view,
        drawn=drawn,
        target=None if labels is None else str(labels.unique_id),
        note=shapes_note(shapes),
    )
