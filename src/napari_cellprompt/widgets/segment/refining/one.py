"""Draws one object of a Labels layer as a shape, which the model then refines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.coordinates import plane_of, plane_to_layer
from napari_cellprompt.layers.prompting.tracing import object_outline, plane_reader
from napari_cellprompt.session.objects import ObjectRecord
from napari_cellprompt.session.zoo import in_background
from napari_cellprompt.widgets.segment.replacing import replace_object, shown_plane
from napari_cellprompt.widgets.shared.bridge import complaint

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy as np
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import Candidate
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.prompting.resolve import SegmentState
    from napari_cellprompt.widgets.segment.controller import SegmentController
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["RefineOne"]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """An object that is to be drawn."""

    labels: Labels
    number: int
    image: Image
    view: PlaneView


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
        self._reading: _Asked | None = None

    def start(self, labels: Labels) -> None:
        """Draw the object that is selected in a Labels layer, once it is read.

        Raises
        ------
        CellpromptError
            It cannot be drawn; the message says why.
        """
        self.stop()
        segment, place = self._segment, self._segment.place
        image, number, name = place.chosen.image, int(labels.selected_label), labels.name
        if image is None:
            raise CellpromptError("Open the image of these objects first.")
        view = plane_of(place.viewer, image, channel_axis=place.channel_axis)
        read = plane_reader(labels, image, view)
        self._reading = asked = _Asked(labels, number, image, view)
        segment.tell(f"Reading object {number} of '{name}' ...")
        segment.bridge.deliver(
            in_background(
                lambda: object_outline(read(), number, name), "cellprompt-refine"
            ),
            lambda future: self._read(asked, future),
        )

    def _read(self, asked: _Asked, future: Future[NDArray[np.float64]]) -> None:
        """Draw what was read, if the user is still where it was asked for."""
        segment, place = self._segment, self._segment.place
        if asked is not self._reading:
            return
        self._reading = None
        message = complaint(future)
        if message is not None:
            segment.tell(message, warn=bool(message))
            return
        if place.chosen.image != asked.image or not _is_shown(place, asked):
            segment.tell(
                f"Object {asked.number} was not drawn, since another plane is on screen by "
                "now: go back and press the button again.",
                lasting=True,
            )
            return
        segment.discard()
        place.need_boxes()
        boxes = place.chosen.boxes
        if boxes is None:
            return
        boxes.visible = True
        corners = plane_to_layer(asked.image, boxes, asked.view, future.result())
        boxes.add([corners], shape_type="polygon")
        if asked.labels == place.chosen.labels and place.divert is None:
            self._open = asked.labels, asked.number
            place.divert = self._accept
            segment.changed.connect(self._look)
        segment.refresh()

    def stop(self) -> None:
        """Accept as usual from now on; what is still being read is not drawn."""
        self._reading = None
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


def _is_shown(place: Workplace, asked: _Asked) -> bool:
    """Whether the plane of an object is on screen."""
    view = plane_of(place.viewer, asked.image, channel_axis=place.channel_axis)
    return (view.index, view.axes) == (asked.view.index, asked.view.axes)
