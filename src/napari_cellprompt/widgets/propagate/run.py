"""One propagation: from what the controls say to a stack, seeds and words about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellprompt.core.errors import PromptError
from napari_cellprompt.core.masks.rle import area
from napari_cellprompt.layers.coordinates import plane_of
from napari_cellprompt.layers.stacks import LayerStack
from napari_cellprompt.widgets.segment.contrast import Pending

from .seeds import collect
from .strip_rows import StripRow

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

    from napari_cellprompt.core.propagate.types import Estimate, PropagationSettings
    from napari_cellprompt.session.objects import ObjectRecord
    from napari_cellprompt.session.propagate import (
        Progress,
        PropagationRun,
        RunSummary,
        Seed,
    )
    from napari_cellprompt.widgets.segment.controller import SegmentController

    from .form import Choices
    from .seeds import Collected

__all__ = [
    "LARGE",
    "LONG",
    "Expected",
    "Run",
    "estimate_text",
    "expected",
    "limits_of",
    "progress_text",
    "read_stack",
    "rows_of",
    "summary_text",
]

_WORTH_TELLING = 1e7
"""Bytes of memory from which on they are told."""
LONG, LARGE = 60.0, 2e9
"""Seconds and bytes beyond which a run is announced before it starts: a shorter one can
be stopped as soon as the question could be answered."""
_DEEP = 1.5
"""Depth of an object in diameters of its widest plane, at most: cells are no columns."""


@dataclass(slots=True, eq=False)
class Run:
    """One propagation from its first estimate to its end."""

    engine: PropagationRun
    stack: LayerStack
    choices: Choices
    collected: Collected
    seeds: tuple[Seed, ...]
    limits: dict[str, Any]
    """Start, stop and direction."""
    target: Labels | None = None
    """The layer that held the objects, or was to take them, at the start."""
    settings: PropagationSettings | None = None
    """How objects are followed; None: with the defaults."""
    again: ObjectRecord | None = None
    """The accepted object that is open again; its pixels are replaced on accept."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run will likely cost."""

    planes: int
    """Of objects, one per object and plane."""
    seconds: float
    at_most: float
    """Seconds, should no object end before the stack does."""
    nbytes: int

    @property
    def much(self) -> bool:
        """Whether to ask before."""
        return self.seconds > LONG or self.nbytes > LARGE


def read_stack(
    viewer: ViewerModel, segment: SegmentController | None, choices: Choices
) -> tuple[LayerStack, Collected]:
    """The stack that is meant, and what is to be followed through it.

    Raises
    ------
    CellpromptError
        Something is missing; the message says what to do.
    """
    if segment is None or segment.place.chosen.image is None:
        raise PromptError("Open an image stack first.")
    image = segment.place.chosen.image
    if choices.axis is None:
        raise PromptError(f"'{image.name}' has one plane only: open a stack or a movie.")
    pixels = segment.place.pixels_of(image)
    if isinstance(pixels, Pending):
        raise PromptError("The contrast is still being computed: try again soon.")
    view = plane_of(viewer, image, channel_axis=segment.place.channel_axis)
    stack = LayerStack(image, view, choices.axis, **pixels.arguments)
    return stack, collect(choices, segment, stack)


def limits_of(
    choices: Choices, collected: Collected, stack: LayerStack, segment: SegmentController
) -> dict[str, Any]:
    """Start, stop and direction as the engine wants them."""
    start = stop = None
    if choices.span == "from":
        start, stop = sorted((choices.first, choices.last))
    elif choices.span == "here" and segment.state is not None:
        here = stack.number_of(segment.state.view)
        if here is not None:
            start, stop = min(here, *collected.planes), max(here, *collected.planes)
    return {"start": start, "stop": stop, "direction": choices.direction}


def _duration(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def estimate_text(run: Run, cost: Expected) -> str:
    """What to tell before a run that costs much."""
    word, count = run.stack.axis.plane_word, len(run.collected.ids)
    objects = f"{count} object{'s' * (count != 1)}"
    text = f"{objects}, about {cost.planes} {word}s in all: about {_duration(cost.seconds)}"
    if cost.at_most > 1.5 * cost.seconds:
        text += f", at most {_duration(cost.at_most)}"
    if cost.nbytes >= _WORTH_TELLING:
        text += f", and up to {cost.nbytes / 1e6:.0f} MB of memory"
    return f"{text}. Stop keeps what is done. Press Propagate now to start."


def expected(run: Run, estimate: Estimate, measured: float | None) -> Expected:
    """What a run will likely take, and what it takes at most.

    Along the depth an object is about as deep as it is wide, and ends; in a movie it is
    followed to the end.

    Parameters
    ----------
    run : Run
        With its seeds.
    estimate : Estimate
        From one plane that was timed, for all planes.
    measured : float, optional
        Seconds for an object on a plane in the last run, where there was one: the first
        plane that is timed is slower than those after it.
    """
    each = estimate.seconds / max(estimate.planes, 1)
    each = each if measured is None else min(each, measured)
    planes, stack = estimate.planes, run.stack
    if not stack.is_time:
        scale = np.abs(np.asarray(stack.image.scale, dtype=float))
        across = float(np.mean([scale[axis] for axis in stack.view.axes]))
        step = float(scale[stack.axis.axis]) or 1.0
        deep = [_DEEP * _side(seed) * across / step + 2 for seed in run.seeds]
        planes = min(planes, round(sum(deep)))
    return Expected(planes, planes * each, estimate.planes * each, estimate.nbytes)


def _side(seed: Seed) -> float:
    """Diameter in pixels of a disc with the area of a seed's mask."""
    mask = seed.prompts.mask
    return 0.0 if mask is None else 2 * math.sqrt(area(mask) / math.pi)


def progress_text(run: Run, progress: Progress) -> str:
    """How far a run has come."""
    left = f", about {_duration(progress.seconds_left)} left"
    if progress.done >= progress.total:
        left = ""  # the duration would be a second at least
    return (
        f"{run.stack.axis.plane_word.capitalize()} {progress.plane} is done "
        f"({progress.done} of {progress.total}), "
        f"{progress.seconds_per_plane:.2f} s each{left}."
    )


def rows_of(run: Run | None) -> list[StripRow]:
    """What is known of each object, for the strip."""
    if run is None:
        return []
    ids = sorted({object_id for object_id, _ in run.engine.outcomes()})
    return [
        StripRow(number, {item.plane: item for item in run.engine.confidence(number)})
        for number in ids
    ]


def summary_text(run: Run, summary: RunSummary) -> str:
    """What to tell when a run has come to an end."""
    word = run.stack.axis.plane_word
    text = f"{summary.done} {word}s in {summary.seconds:.1f} s."
    if summary.cancelled:
        text = f"Stopped after {text} {summary.remaining} are left: press Resume."
    else:
        text = f"Done: {text} Look at the doubtful ones (W), then accept."
    if summary.not_found:
        lost = ", ".join(str(number) for number in summary.not_found)
        text += f" Nothing was found for {lost}."
    return text
