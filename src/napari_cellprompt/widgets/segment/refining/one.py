"""Draws one object of a Labels layer as a shape, which the model then refines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.coordinates import plane_of, plane_to_layer
from napari_cellprompt.layers.prompting.tracing import object_of_plane, outline_of
from napari_cellprompt.session.objects import ObjectRecord
from napari_cellprompt.widgets.segment.replacing import replace_object, shown_plane

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_cellprompt.core.types import Candidate
    from napari_cellprompt.layers.prompting.resolve import SegmentState
    from napari_cellprompt.widgets.segment.controller import SegmentController

__all__ = ["RefineOne"]


class RefineOne:
    """Puts the outline of an object among the prompts.

    An object of the layer that takes accepted objects is replaced by what is accepted;
    one of any other layer becomes a new object, and its own layer is never written to.

    Parameters
    ----------
    segment : SegmentController
        Answers the shape as any other.
    """

    def __init__(self, segment: SegmentController) -> None:
        self._segment = segment
        self._open: tuple[Labels, int] | None = None

    def start(self, labels: Labels) -> None:
        """Draw the object that is selected in a Labels layer.

        Raises
        ------
        CellpromptError
            It cannot be drawn; the message says why.
        """
        self.stop()
        segment, place = self._segment, self._segment.place
        image, number = place.chosen.image, int(labels.selected_label)
        if image is None:
            raise CellpromptError("Open the image of these objects first.")
        view = plane_of(place.viewer, image, channel_axis=place.channel_axis)
        mask = object_of_plane(labels, image, view, number)
        segment.discard()
        place.need_boxes()
        boxes = place.chosen.boxes
        if boxes is None:
            return
        boxes.visible = True
        boxes.add(
            [plane_to_layer(image, boxes, view, outline_of(mask))], shape_type="polygon"
        )
        if labels == place.chosen.labels and place.divert is None:
            self._open = labels, number
            place.divert = self._accept
            segment.changed.connect(self._look)
        segment.refresh()

    def stop(self) -> None:
        """Accept as usual from now on."""
        if self._open is not None:
            self._open = None
            self._segment.place.divert = None
            self._segment.changed.disconnect(self._look)

    def _look(self) -> None:
        """Without a prompt the object stays as it is."""
        state = self._segment.state
        if self._open is not None and not self._segment.waiting:
            if state is None or not state.drawn:
                self.stop()

    def _accept(self, found: list[tuple[Prompts, Candidate]], state: SegmentState) -> bool:
        """Replace the object's pixels on this plane by the mask on screen."""
        opened, segment, place = self._open, self._segment, self._segment.place
        image = place.chosen.image
        self.stop()
        if opened is None or image is None or len(found) > 1:
            return False
        labels, number = opened
        prompts, candidate = found[-1]
        plane = shown_plane(prompts, candidate, state)
        store = place.acceptor.store(labels)
        record = store.get(number)
        if record is None:
            # painted, or of another tool, and not seen by the table of objects so far
            foreign = replace(plane, prompts=Prompts(), trust=0.0, origin="foreign")
            record = ObjectRecord(number, (foreign,), source="foreign")
            store.amend({number: record})
        if replace_object(segment, labels, image, record, plane, candidate, state):
            segment.tell(f"Object {number} is refined. Ctrl+Z takes that back.")
        return True
