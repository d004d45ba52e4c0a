"""Opens an accepted object of one plane again, with its own clicks and boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_cellprompt.core.errors import CellpromptError
from napari_cellprompt.layers.coordinates import plane_of, plane_to_layer
from napari_cellprompt.layers.prompting.prompts import NEGATIVE, POLARITY, POSITIVE
from napari_cellprompt.layers.prompting.tracing import add_shapes
from napari_cellprompt.layers.stacks import show_plane
from napari_cellprompt.session.objects import ObjectPlane
from napari_cellprompt.widgets.segment.replacing import replace_object, shown_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_cellprompt.core.types import Candidate, Prompts
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.prompting.resolve import SegmentState
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.widgets.segment.controller import SegmentController

__all__ = ["Reopening", "drawable"]


def drawable(record: ObjectRecord) -> ObjectPlane | None:
    """The plane of an object that has anything drawn; None where none has."""
    planes = [p for p in record.planes if not p.prompts.is_empty]
    return max(planes, key=lambda plane: plane.area, default=None)


class Reopening:
    """One object at a time that is open again.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer to work in.
    segment : SegmentController
        Answers the clicks.
    tell : callable
        Tells the user something.
    """

    def __init__(
        self, viewer: ViewerModel, segment: SegmentController, tell: Callable[[str], None]
    ) -> None:
        self._viewer = viewer
        self._segment = segment
        self._tell = tell
        self.record: ObjectRecord | None = None
        """What is open; None while nothing is."""
        self._draft: ObjectRecord | None = None

    def start(self, record: ObjectRecord, plane: ObjectPlane) -> None:
        """Draw the clicks and the box of an object again; accept then replaces it.

        Raises
        ------
        CellpromptError
            When they cannot be drawn here.
        """
        self.stop()
        segment, place = self._segment, self._segment.place
        image = place.chosen.image
        if image is None:
            raise CellpromptError("Open the image of these objects first.")
        now = plane_of(self._viewer, image, channel_axis=place.channel_axis)
        view = replace(now, axes=plane.key.axes, index=plane.key.index, in_range=True)
        segment.discard()
        show_plane(self._viewer, image, view)
        segment.discard()
        self._draw(image, view, plane.prompts)
        store = place.acceptor.store(place.chosen.labels) if place.chosen.labels else None
        self.record = record
        if store is not None:
            self._draft = replace(record, state="draft")
            store.amend({record.id: self._draft})
        place.divert = self._accept
        segment.refresh()
        segment.changed.connect(self._look)
        self._tell(
            f"Object {record.id} is open again: change its clicks, then press A. Q leaves "
            "it as it is."
        )

    def stop(self) -> None:
        """Leave the object as it is."""
        record, draft = self.record, self._draft
        self.record = self._draft = None
        place = self._segment.place
        place.divert = None
        if record is None:
            return
        self._segment.changed.disconnect(self._look)
        labels = place.chosen.labels
        store = None if labels is None else place.acceptor.store(labels)
        if store is not None and store.get(record.id) is draft:
            store.amend({record.id: record})

    def _draw(self, image: Image, view: PlaneView, prompts: Prompts) -> None:
        place = self._segment.place
        if prompts.points:
            place.need_points()
            points = place.chosen.points
            if points is not None:
                where = plane_to_layer(image, points, view, prompts.points)
                before = len(points.data)
                points.data = np.concatenate([points.data, where])
                signs = [POSITIVE if label else NEGATIVE for label in prompts.labels]
                features = points.features.copy()
                features[POLARITY] = [*features[POLARITY][:before], *signs]
                points.features = features
        if prompts.outlined or prompts.strokes:
            place.need_boxes()
            boxes = place.chosen.boxes
            if boxes is not None:
                add_shapes(boxes, image, view, prompts)

    def _look(self) -> None:
        """Without a click or box the object is left as it is."""
        segment, record = self._segment, self.record
        state = segment.state
        if record is None or segment.waiting:
            return
        if state is None or state.drawn:
            return
        self.stop()
        self._tell(f"Object {record.id} stays as it is.")

    def _accept(self, found: list[tuple[Prompts, Candidate]], state: SegmentState) -> bool:
        """Replace the object by what is on screen."""
        record, segment, place = self.record, self._segment, self._segment.place
        labels, image = place.chosen.labels, place.chosen.image
        if record is None or labels is None or image is None:
            return False
        prompts, candidate = found[-1]
        plane = shown_plane(prompts, candidate, state)
        self.stop()
        if replace_object(segment, labels, image, record, plane, candidate, state):
            segment.tell(f"Object {record.id} is changed. Ctrl+Z takes that back.")
            self._tell(f"Object {record.id} is changed.")
        return True
