"""Puts the mask on screen in the place of an object that was accepted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.labels.commit import place_mask
from napari_cellprompt.layers.labels.edits import reshape
from napari_cellprompt.layers.prompting.drawn import remove_drawn
from napari_cellprompt.session.objects import ObjectPlane

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_cellprompt.core.types import Candidate, Prompts
    from napari_cellprompt.layers.prompting.resolve import SegmentState
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.widgets.segment.controller import SegmentController

__all__ = ["replace_object", "shown_plane"]


def shown_plane(prompts: Prompts, candidate: Candidate, state: SegmentState) -> ObjectPlane:
    """What the ledger keeps of a mask on screen."""
    box = candidate.mask.box or (0, 0, 0, 0)
    return ObjectPlane(state.plane, prompts, candidate.score, 0, box)


def replace_object(
    segment: SegmentController,
    labels: Labels,
    image: Image,
    record: ObjectRecord,
    plane: ObjectPlane,
    candidate: Candidate,
    state: SegmentState,
) -> bool:
    """Replace an object's pixels on one plane, as a step that can be undone.

    The prompts of the mask are taken off the canvas. False, and the reason is told, where
    the mask cannot be written.
    """
    place = segment.place
    try:
        edit = reshape(
            place.acceptor,
            labels,
            plane,
            record,
            place_mask(labels, candidate.mask, state.view, image),
            keep_others=place.overlap != "replace",
        )
    except CellpromptError as error:
        segment.tell(str(error), warn=True)
        return False
    remove_drawn(place.chosen.points, place.chosen.boxes, list(state.drawn))
    place.steps.drawing.start(place.chosen)
    edit.tell = segment.tell
    place.steps.history.push(edit.step())
    segment.refresh()
    return True
