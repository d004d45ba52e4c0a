"""Brings layers, objects and prompts of a session back into the viewer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_cellprompt.layers.saved import drawing_of, labels_of
from napari_cellprompt.session.objects import ObjectClass
from napari_cellprompt.session.saved.records import record_from
from napari_cellprompt.session.saved.replay import stored_labels
from napari_cellprompt.widgets.segment.canvas.prompt_layers import put_below

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_cellprompt.io.session_types import LayerEntry, Session
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.widgets.segment.workplace import Workplace

__all__ = ["Resumed", "prepare", "resume"]


@dataclass(frozen=True, slots=True, eq=False)
class Resumed:
    """What was read from a session, off the GUI thread."""

    arrays: list[NDArray[Any]]
    """Of each layer; empty where they are here already."""
    records: list[list[ObjectRecord]]
    """Of each layer."""


def prepare(session: Session, *, with_labels: bool) -> Resumed:
    """Read what is slow to read.

    Raises
    ------
    SessionFileError
        When the session is damaged.
    """
    records: list[list[ObjectRecord]] = [[] for _ in session.layers]
    for entry in session.objects:
        records[entry.layer].append(record_from(entry.record))
    return Resumed(stored_labels(session) if with_labels else [], records)


def resume(
    place: Workplace,
    image: Image,
    session: Session,
    found: Resumed,
    there: list[Labels] | None,
) -> tuple[list[Labels], list[LayerEntry]]:
    """Add the layers of a session, or know them again where they are.

    Returns
    -------
    tuple
        The layers by their numbers, and their entries.
    """
    layers = []
    for number, entry in enumerate(session.layers):
        if there is not None:
            labels = there[number]
        else:
            labels = labels_of(entry, found.arrays[number])
            if not entry.removed:
                _add(place, image, labels)
        layers.append(labels)
        _know(place, image, labels, entry, found.records[number])
    if there is None:
        _draw(place, session)
    place.unfinished = session.propagation
    place.update()
    return layers, list(session.layers)


def _add(place: Workplace, image: Image, labels: Labels) -> None:
    active = place.viewer.layers.selection.active
    place.viewer.add_layer(labels)
    place.made.append(labels)
    place.ownership.made(labels, image)
    put_below(place.viewer, labels, place.ownership.layers_of(image))
    place.ownership.use(image, "labels", labels)
    if active is not None:
        place.viewer.layers.selection.active = active


def _know(
    place: Workplace,
    image: Image,
    labels: Labels,
    entry: LayerEntry,
    records: list[ObjectRecord],
) -> None:
    """Take over what is known of the objects; the image has another name today."""
    name = place.revisions.key(image)
    here = [
        replace(
            record,
            planes=tuple(
                replace(plane, key=replace(plane.key, image=name))
                for plane in record.planes
            ),
        )
        for record in records
    ]
    place.acceptor.store(labels).restore(
        here,
        [ObjectClass(one.number, one.name, one.colour) for one in entry.classes],
        entry.highest,
    )


def _draw(place: Workplace, session: Session) -> None:
    if session.drawing is None:
        return
    place.need_points()
    if session.drawing.shapes:
        place.need_boxes()
    chosen = place.chosen
    drawing_of(session.drawing).put(chosen.points, chosen.boxes)
    points, viewer = chosen.points, place.viewer
    if points is not None and len(points.data):
        # where the next click was about to be
        there = points.data_to_world(points.data[-1])
        for axis in viewer.dims.not_displayed:
            own = axis - (viewer.dims.ndim - points.ndim)
            if own >= 0:
                viewer.dims.set_point(axis, there[own])
    place.steps.drawing.start(chosen)
