"""Writes objects that were found like examples into the Labels layer of Segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.types import Prompts
from napari_cellprompt.jobs.objects import ObjectPlane, ObjectRecord
from napari_cellprompt.layers.commit import needs_widening
from napari_cellprompt.layers.commit_stack import PlaneMask, commit_many
from napari_cellprompt.layers.prompts import add_labels_layer

from .accept import region_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_cellprompt.core.images.planes import PlaneSource
    from napari_cellprompt.jobs.fewshot import ScoredObject
    from napari_cellprompt.layers.coordinates import PlaneView
    from napari_cellprompt.layers.stacks import LayerStack

    from .segment_controller import SegmentController

__all__ = ["Target", "write_found"]


@dataclass(slots=True)
class Target:
    """The planes to look at, by number."""

    image: Image
    view: PlaneView
    stack: LayerStack | None
    planes: dict[int, PlaneSource]

    def view_at(self, number: int) -> PlaneView:
        """The plane of a number in the viewer."""
        return self.view if self.stack is None else self.stack.view_at(number)

    def number_of(self, view: PlaneView) -> int:
        """The number of a plane of the viewer."""
        if self.stack is None:
            return 0
        place = view.other_axes(self.image.ndim).index(self.stack.axis.axis)
        return int(view.index[place])


def write_found(
    viewer: ViewerModel,
    segment: SegmentController,
    target: Target,
    chosen: Mapping[int, Sequence[ScoredObject]],
) -> tuple[int, str]:
    """Write objects into the Labels layer of Segment, as one step of undo.

    Returns
    -------
    tuple
        Number of objects written, and the name of their layer.

    Raises
    ------
    CellpromptError
        With a sentence, where they cannot be written; nothing is changed then.
    """
    acceptor, labels = segment.acceptor, segment.chosen.labels
    if labels is None or segment.overlap == "new layer":
        labels = add_labels_layer(
            viewer, target.image, channel_axis=target.view.channel_axis
        )
        acceptor.ids.know(labels, 0)
    acceptor.sync(labels)
    before = labels
    first = acceptor.store(labels).next_id(acceptor.ids.largest(labels))
    items = [(number, item) for number, row in chosen.items() for item in row]
    if needs_widening(labels, first + len(items) - 1):
        labels, _ = acceptor.widen(labels)
    entries = [
        PlaneMask(first + index, target.view_at(number), item.found.mask)
        for index, (number, item) in enumerate(items)
    ]
    policy: Any = "replace" if segment.overlap == "replace" else "keep"
    results = commit_many(labels, entries, policy, image=target.image)
    count = 0
    for entry, (number, item), result in zip(entries, items, results, strict=True):
        if not result.written:
            continue
        count += 1
        box = item.found.mask.box or (0, 0, 0, 0)
        plane = ObjectPlane(
            target.planes[number].key,
            Prompts(),
            item.found.score,
            result.written,
            box,
        )
        record = ObjectRecord(entry.object_id, (plane,))
        place = region_of(labels, target.image, entry.view, box)
        acceptor.remember(labels, record, place)
        acceptor.ids.know(labels, entry.object_id)
    segment.target_written(before, labels)
    return count, labels.name
