"""A propagation as a session keeps it: accepted ones as steps, the one in work as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_cellprompt.core.errors import CellpromptError, PromptError
from napari_cellprompt.io.session_masks import pack_mask
from napari_cellprompt.io.session_types import (
    PlaneOfObject,
    Propagate,
    PropagationEntry,
    StackEntry,
)
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.images import Pixels
from napari_cellprompt.layers.saved import place_entry, plane_entry
from napari_cellprompt.layers.stacks import LayerStack, stack_axes
from napari_cellprompt.session.propagate import PropagationRun
from napari_cellprompt.session.saved.records import settings_from, settings_to
from napari_cellprompt.session.saved.tracks import tracks_from, tracks_to
from napari_cellprompt.widgets.segment.contrast import Pending

from .form import Choices
from .run import Run
from .seeds import Collected

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

    from napari_cellprompt.io.session_types import PlaneEntry, Step
    from napari_cellprompt.widgets.segment.controller import SegmentController
    from napari_cellprompt.widgets.segment.workplace import HalfDone, Workplace

    from .commit import StackCommit
    from .desk import Desk
    from .review.undo import Said

__all__ = ["followed", "half_done", "refused", "restore_said", "run_from"]

_IN_WORK = ("running", "review", "changes", "writing")


def followed(
    run: Run, commit: StackCommit
) -> tuple[Image, Callable[[float, int, int | None], Step], list[int]]:
    """An accepted propagation: its image, what makes the step of it, and its objects."""
    outcomes, image = commit.outcomes, run.stack.image
    places = {
        plane: place_entry(commit.labels, image, run.stack.view_at(plane))
        for plane in sorted({plane for _, plane in outcomes})
    }
    erased, _, calls = commit.erased, *run.engine.kept()
    parents, settings = dict(run.engine.parents), run.engine.settings
    stack = _stack_entry(run.stack)

    def build(at: float, layer: int, model: int | None) -> Step:
        planes = []
        for number, plane in sorted(outcomes):
            mask = outcomes[number, plane].mask
            planes.append(
                PlaneOfObject(
                    id=number,
                    plane=plane,
                    place=places[plane],
                    mask=None if mask is None else pack_mask(mask),
                    erase=(number, plane) in erased,
                )
            )
        return Propagate(
            kind="propagation",
            at=at,
            layer=layer,
            model=model,
            stack=stack,
            policy=commit.policy,
            settings=settings_to(settings),
            calls=tuple(calls),
            parents=parents,
            planes=tuple(planes),
        )

    return image, build, sorted({number for number, _ in outcomes})


def half_done(desk: Desk, said: Said, image: Image) -> HalfDone | None:
    """What is finished of a propagation of an image, and is not accepted yet."""
    run = desk.run
    if run is None or desk.stage not in _IN_WORK or run.stack.image is not image:
        return None
    tracks, calls = run.engine.kept()
    stack, settings = _stack_entry(run.stack), run.engine.settings
    parents, limits, collected = dict(run.engine.parents), run.limits, run.collected
    prompts, shown = dict(said.prompts), dict(said.shown)
    again = None if run.again is None else run.again.id

    def build() -> PropagationEntry:
        return PropagationEntry(
            stack=stack,
            limits=dict(limits),
            settings=settings_to(settings),
            ids=collected.ids,
            seeded=collected.planes,
            on_screen=collected.on_screen,
            again=again,
            tracks=tracks_to(tracks),
            parents=parents,
            calls=tuple(calls),
            said=tuple((*place, item) for place, item in sorted(prompts.items())),
            shown=tuple((*place, item) for place, item in sorted(shown.items())),
        )

    last = calls[-1] if calls else None
    return (len(calls), last, len(prompts)), build


def _stack_entry(stack: LayerStack) -> StackEntry:
    plane = plane_entry(stack.plane(0).key, stack.view.channel_axis, stack.image)
    return StackEntry(plane=plane, axis=stack.axis.axis, name=stack.axis.name)


def run_from(segment: SegmentController, entry: PropagationEntry) -> tuple[Run, Any]:
    """A run that goes on with what was kept, and the objects that it is to know.

    Raises
    ------
    CellpromptError
        When the image is not there, or is not that one.
    """
    place = segment.place
    image = place.chosen.image
    if image is None:
        raise PromptError("Open the image first.")
    pixels = _pixels_of(place, image, entry.stack.plane)
    now = plane_of(place.viewer, image, channel_axis=entry.stack.plane.channel_axis)
    plane = entry.stack.plane
    view = replace(now, axes=plane.axes, index=plane.index, in_range=True)
    axes = [axis for axis in stack_axes(image, view) if axis.axis == entry.stack.axis]
    if not axes:
        raise PromptError("The image has no such axis to follow objects along any more.")
    stack = LayerStack(image, view, axes[0], **pixels.arguments)
    engine = PropagationRun(place.session, stack, settings_from(entry.settings))
    engine.parents.update(entry.parents)
    choices = Choices("plane", "", axes[0], "both", "all", 0, len(stack) - 1)
    collected = Collected(entry.ids, entry.seeded, on_screen=entry.on_screen)
    target = place.labels_of(image)
    again = None
    if entry.again is not None and target is not None:
        again = place.acceptor.store(target).get(entry.again)
    if entry.again is not None and again is None:
        raise PromptError(f"Object {entry.again}, which was open again, is not there.")
    run = Run(
        engine,
        stack,
        choices,
        collected,
        (),
        dict(entry.limits),
        target,
        engine.settings,
        again,
    )
    return run, tracks_from(entry.tracks)


def _pixels_of(place: Workplace, image: Image, plane: PlaneEntry) -> Pixels:
    """The image as the model saw it then, with the grey values of then."""
    if plane.channels and place.composer is not None:
        return place.composer.again(image, plane.channels)
    limits = plane.limits
    if limits is None and not place.composition:
        pixels = place.pixels_of(image)
        limits = None if isinstance(pixels, Pending) else pixels.limits
    return Pixels(place.revisions.key(image), plane.channel, limits)


def restore_said(said: Said, entry: PropagationEntry) -> None:
    """What the user said of planes."""
    for number, plane, prompts in entry.said:
        said.prompts[number, plane] = prompts
        if prompts.mask is not None and not prompts.sketch:
            said.masks[number, plane] = prompts.mask
    for number, plane, prompts in entry.shown:
        said.shown[number, plane] = prompts


def refused(error: CellpromptError) -> str:
    """What to tell where a propagation cannot go on."""
    return f"The propagation of the session cannot go on: {error}"
