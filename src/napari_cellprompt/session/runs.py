"""What is asked of a propagation, and what it tells."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from napari_cellprompt.core.propagate.objects import TrackedObject
    from napari_cellprompt.core.propagate.types import PlaneOutcome
    from napari_cellprompt.tasks.following import FollowedPlane, Span

    OnPlane = Callable[[int, tuple[PlaneOutcome, ...]], None]
    OnProgress = Callable[["Progress"], None]

__all__ = [
    "Changes",
    "Known",
    "PlaneChange",
    "Progress",
    "RunState",
    "RunSummary",
]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of objects and divisions at one moment of a run."""

    objects: dict[int, TrackedObject]
    parents: dict[int, int]
    """Id of the parent by id of the daughter."""
    rejected: frozenset[tuple[int, int]]
    """Id and plane of divisions that are none."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come; counted in planes of objects."""

    plane: int
    """The one finished last."""
    done: int
    total: int
    """At most: an object that ends early makes it smaller."""
    seconds_per_plane: float
    """Of one object on one plane, mean of this run."""
    seconds_left: float


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What became of a run."""

    done: int
    """Planes of objects tracked."""
    remaining: int
    """Planes of objects that a resumed run would still track."""
    seconds: float
    cancelled: bool
    not_found: tuple[int, ...]
    """Ids of seeds for which the model found nothing; they were not followed."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaneChange:
    """One plane of an object that looks different after a correction."""

    id: int
    plane: int
    before: PlaneOutcome | None
    after: PlaneOutcome | None


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What tracking again has changed; not final until it is accepted."""

    summary: RunSummary
    planes: tuple[PlaneChange, ...]


@dataclass(slots=True)
class RunState:
    """A run in progress."""

    span: Span
    on_plane: OnPlane | None
    on_progress: OnProgress | None
    future: Future[RunSummary]
    cancelled: threading.Event = field(default_factory=threading.Event)
    planes: Iterator[FollowedPlane] | None = None
    plan: int = -1
    """Number of the plan that ``planes`` follows."""
    done: int = 0
    seconds: float = 0.0
    not_found: list[int] = field(default_factory=list)
