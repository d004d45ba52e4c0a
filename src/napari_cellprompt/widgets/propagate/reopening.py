"""Opens the propagation of an accepted object again, from what the ledger keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.stacks import LayerStack, stack_axes
from napari_cellprompt.session.propagate import PropagationRun, Seed
from napari_cellprompt.widgets.segment.contrast import Pending

from .form import Choices
from .run import Run
from .seeds import Collected

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_cellprompt.core.types import Prompts
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.widgets.segment.controller import SegmentController

__all__ = ["reopened", "say_again", "shown_of"]


def reopened(
    viewer: ViewerModel, segment: SegmentController | None, record: ObjectRecord
) -> Run:
    """The run of an object as it was, ready to be followed again.

    Raises
    ------
    PromptError
        Something is missing; the message says what to do.
    """
    followed = record.propagation
    if segment is None or segment.place.chosen.image is None:
        raise PromptError("Open an image stack first.")
    if followed is None:
        raise PromptError(f"Object {record.id} was not followed through a stack.")
    place, image = segment.place, segment.place.chosen.image
    view = plane_of(viewer, image, channel_axis=place.channel_axis)
    axis = next((a for a in stack_axes(image, view) if a.axis == followed.axis), None)
    pixels = place.pixels_of(image)
    if axis is None or isinstance(pixels, Pending):
        raise PromptError(f"Object {record.id} cannot be followed in '{image.name}' now.")
    stack = LayerStack(image, view, axis, **pixels.arguments)
    seeds = tuple(
        Seed(record.id, item.plane, item.prompts)
        for item in followed.decisions
        if item.kind != "absent" and not item.prompts.is_empty
    )
    if not seeds:
        raise PromptError(f"Object {record.id} has no prompts that it could be made from.")
    span = {"start": followed.start, "stop": followed.stop}
    choices = Choices(
        "ids", str(record.id), axis, followed.direction, "all", 0, axis.length - 1
    )
    return Run(
        PropagationRun(place.session, stack, followed.settings),
        stack,
        choices,
        Collected((record.id,), tuple(seed.plane for seed in seeds)),
        seeds,
        {**span, "direction": followed.direction},
        place.chosen.labels,
        followed.settings,
        record,
    )


def say_again(engine: PropagationRun, record: ObjectRecord) -> None:
    """Lock the planes that were locked, and clear those on which the object is not."""
    followed = record.propagation
    for item in () if followed is None else followed.decisions:
        if item.kind == "locked" and not item.prompts.is_empty:
            engine.lock(record.id, item.plane)
        elif item.kind == "absent":
            engine.clear(record.id, item.plane)


def shown_of(record: ObjectRecord) -> dict[tuple[int, int], Prompts]:
    """Clicks and boxes as they were drawn, by id and plane."""
    followed = record.propagation
    return {
        (record.id, item.plane): item.shown
        for item in (() if followed is None else followed.decisions)
        if not item.shown.is_empty
    }
