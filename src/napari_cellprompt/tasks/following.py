"""The one loop that follows objects through a stack, for scripts, files and screens.

Imports no torch: the engine comes from whoever has loaded a model.
"""

from __future__ import annotations

import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .report import SILENT, Report, counted, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from napari_cellprompt.core.propagate.propagator import StackPropagator
    from napari_cellprompt.core.propagate.types import Direction, PlaneOutcome
    from napari_cellprompt.core.types import Prompts

__all__ = [
    "FollowedPlane",
    "Seed",
    "Span",
    "Tally",
    "announce",
    "follow_objects",
    "follow_planes",
    "prompt_seeds",
]

_LONG = 20.0
"""Seconds from which on a run is announced."""


@dataclass(frozen=True, slots=True)
class Seed:
    """What is said of one object on one plane."""

    id: int
    plane: int
    prompts: Prompts


@dataclass(frozen=True, slots=True)
class Span:
    """Which planes of which objects are wanted."""

    ids: tuple[int, ...] | None = None
    """None: all objects."""
    start: int | None = None
    stop: int | None = None
    """Both inclusive; None: the end of the stack."""
    direction: Direction = "both"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for the engine."""
        return {
            "ids": self.ids,
            "start": self.start,
            "stop": self.stop,
            "direction": self.direction,
        }


@dataclass(frozen=True, slots=True, eq=False)
class FollowedPlane:
    """One step through the stack."""

    plane: int
    outcomes: tuple[PlaneOutcome, ...]
    """What is new, see :meth:`StackPropagator.propagate`."""
    tracked: int
    """Number of objects tracked there."""
    left: int
    """Planes of objects still to be tracked, at most."""
    seconds: float
    """What the step took."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What following took."""

    tracked: int
    """Planes of objects."""
    seconds: float


def prompt_seeds(
    engine: StackPropagator, seeds: Iterable[Seed]
) -> Iterator[tuple[int, list[PlaneOutcome]]]:
    """Prompt objects where they are known, those of a plane together.

    Yields
    ------
    tuple
        Plane, in rising order, and outcomes; one without a mask was not found, and is not
        followed.

    Raises
    ------
    PromptError
        Where prompts are empty or do not fit the plane.
    """
    groups: dict[int, dict[int, Prompts]] = {}
    for seed in seeds:
        groups.setdefault(seed.plane, {})[seed.id] = seed.prompts
    for plane in sorted(groups):
        yield plane, engine.prompt_many(plane, groups[plane])


def follow_planes(
    engine: StackPropagator, span: Span, cancelled: Callable[[], bool] | None = None
) -> Iterator[FollowedPlane]:
    """Follow objects plane by plane; see :meth:`StackPropagator.propagate`."""
    planes = engine.propagate(**span.arguments(), cancelled=cancelled)
    while True:
        started, before = time.perf_counter(), engine.tracked
        item = next(planes, None)
        if item is None:
            return
        plane, outcomes = item
        yield FollowedPlane(
            plane,
            tuple(outcomes),
            engine.tracked - before,
            engine.remaining,
            time.perf_counter() - started,
        )


def follow_objects(
    engine: StackPropagator,
    span: Span | None = None,
    report: Report = SILENT,
    *,
    keep: Callable[[FollowedPlane], None] | None = None,
) -> Tally:
    """Follow objects, at once or until the report says to stop; what is done stays.

    Parameters
    ----------
    engine
        Its objects are prompted; where there are none nothing happens.
    span
        What is wanted; default all planes of all objects.
    report
        Told after each plane, in words at most once a second.
    keep
        Given each step.
    """
    if not engine.ids:
        return Tally(0, 0.0)
    tracked, seconds, told = 0, 0.0, 0.0
    for step in follow_planes(engine, span or Span(), report.cancelled):
        if keep is not None:
            keep(step)
        tracked += step.tracked
        seconds += step.seconds
        report.progress(tracked, tracked + step.left)
        if seconds - told >= 1.0:
            told = seconds
            left = step.left * seconds / max(tracked, 1)
            report.say(f"plane {step.plane} done, {duration(left)} left")
    report.say(f"{tracked} planes of objects in {duration(seconds)}")
    return Tally(tracked, seconds)


def announce(engine: StackPropagator, span: Span, report: Report) -> None:
    """Say how long following will take, where that is long."""
    if report.cancelled():
        return
    try:
        expected = engine.estimate(**span.arguments(), cancelled=report.cancelled)
    except CancelledError:
        # following, which is next, ends at once
        return
    if expected.seconds > _LONG:
        report.say(
            f"{expected.planes} planes of {counted(len(engine.ids))}: about "
            f"{duration(expected.seconds)}, at most "
            f"{expected.nbytes / 2**20:.0f} MB of features and memories"
        )
