"""From what is on screen and in the Labels layer to the seeds of a propagation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.types import Prompts
from napari_cellprompt.layers.labels.commit_stack import plane_labels

from .form import parse_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_cellprompt.core.types import CroppedMask
    from napari_cellprompt.layers.stacks import LayerStack
    from napari_cellprompt.session.propagate import Seed
    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .form import Choices, What

__all__ = ["Collected", "collect", "make_seeds", "suggested"]


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """What was read from the layers; made into seeds on another thread.

    Run lengths of many masks of a large plane take a while.
    """

    ids: tuple[int, ...]
    planes: tuple[int, ...]
    mask: CroppedMask | None = None
    """Of the one object on screen."""
    prompts: Prompts | None = None
    """That led to it."""
    labels: tuple[NDArray[np.integer[Any]], ...] = ()
    """One plane of ids for each of ``planes``, at the size of the image's plane."""
    on_screen: bool = field(default=False)


def suggested(what: What, segment: SegmentController) -> What:
    """What there is to follow: the object on screen, else the last accepted one.

    Parameters
    ----------
    what : str
        What is chosen now; a choice of several objects stays.
    segment : SegmentController
        Has the mask and the Labels layer.
    """
    if what not in ("screen", "last"):
        return what
    if segment.waiting or segment.candidate is not None:
        return "screen"
    labels = segment.place.chosen.labels
    if labels is None or segment.place.acceptor.store(labels).last is None:
        return what
    return "last"


def collect(choices: Choices, segment: SegmentController, stack: LayerStack) -> Collected:
    """Read what is to be followed.

    Raises
    ------
    PromptError, LabelsError
        There is nothing like that; the message says what to do.
    """
    state, labels = segment.state, segment.place.chosen.labels
    here = None if state is None else stack.number_of(state.view)
    if here is None or state is None:
        raise PromptError("Go to a plane of the stack first.")
    if choices.what == "screen":
        if segment.waiting:
            raise PromptError("The mask is still being computed: try again in a moment.")
        candidate = segment.candidate
        if candidate is None or candidate.mask.box is None:
            raise PromptError(
                "There is no mask on screen: click on an object, or follow accepted ones."
            )
        largest = 0 if labels is None else segment.place.acceptor.ids.largest(labels)
        store = None if labels is None else segment.place.acceptor.store(labels)
        new = largest + 1 if store is None else store.next_id(largest)
        # Points alone lead to this mask again only as long as it is the first offered.
        prompts = state.prompts if segment.candidate_number == 0 else None
        return Collected((new,), (here,), candidate.mask, prompts, on_screen=True)
    if labels is None:
        raise PromptError("There is no Labels layer with objects: accept one first.")
    if choices.what == "last":
        return _last(segment, stack)
    there = _plane(segment, stack, here)
    present = np.flatnonzero(np.bincount(there[there > 0].ravel()))
    if present.size == 0:
        raise PromptError(f"There are no objects of '{labels.name}' on this plane.")
    if choices.what == "plane":
        return Collected(tuple(present.tolist()), (here,), labels=(there,))
    wanted = parse_ids(choices.ids)
    missing = sorted(set(wanted) - set(present.tolist()))
    if missing:
        names = ", ".join(str(number) for number in missing[:5])
        raise PromptError(
            f"Not on this plane of '{labels.name}': {names}{', ...' * (len(missing) > 5)}. "
            "Go to a plane that shows all objects to be followed."
        )
    return Collected(tuple(wanted), (here,), labels=(there,))


def _last(segment: SegmentController, stack: LayerStack) -> Collected:
    labels = segment.place.chosen.labels
    if labels is None:
        raise PromptError("There is no Labels layer with objects: accept one first.")
    segment.place.acceptor.sync(labels)
    record = segment.place.acceptor.store(labels).last
    if record is None:
        raise PromptError("No object was accepted yet: click on one and press A.")
    keys = {stack.plane(number).key.index: number for number in range(len(stack))}
    planes = sorted(
        {keys[item.key.index] for item in record.planes if item.key.index in keys}
    )
    # Of a whole propagation its middle is enough to start from.
    chosen = planes if len(planes) <= 3 else [planes[len(planes) // 2]]
    found = [(number, _plane(segment, stack, number)) for number in chosen]
    found = [(number, there) for number, there in found if np.any(there == record.id)]
    if not found:
        raise PromptError(
            f"Object {record.id} has no pixels in this stack any more: choose others."
        )
    numbers, there = zip(*found, strict=True)
    return Collected((record.id,), numbers, labels=there)


def _plane(
    segment: SegmentController, stack: LayerStack, number: int
) -> NDArray[np.integer[Any]]:
    """A copy of the ids on one plane, at the size of the image's plane."""
    labels = segment.place.chosen.labels
    if labels is None:
        raise PromptError("There is no Labels layer with objects: accept one first.")
    there, (dy, dx) = plane_labels(labels, stack.view_at(number), image=stack.image)
    height, width = stack.shape
    full = np.zeros(stack.shape, dtype=there.dtype)
    top, left = max(-dy, 0), max(-dx, 0)
    part = there[max(dy, 0) :, max(dx, 0) :][: height - top, : width - left]
    full[top : top + part.shape[0], left : left + part.shape[1]] = part
    return full


def make_seeds(collected: Collected) -> tuple[Seed, ...]:
    """The seeds; meant for the inference thread.

    All are masks, taken as they are: what was seen is what is followed.
    """
    from napari_cellprompt.core.masks.rle import encode
    from napari_cellprompt.session.propagate import Seed

    if collected.mask is not None:
        prompts = Prompts(mask=encode(collected.mask.to_plane()))
        return (Seed(collected.ids[0], collected.planes[0], prompts),)
    seeds = []
    for plane, there in zip(collected.planes, collected.labels, strict=True):
        for number in collected.ids:
            seeds.append(Seed(number, plane, Prompts(mask=encode(there == number))))
    return tuple(seeds)
