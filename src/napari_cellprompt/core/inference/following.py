"""What the engine may ask of a model that follows objects from plane to plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from napari_cellprompt.core.types import Candidate, CroppedMask

__all__ = [
    "Cost",
    "FollowSettings",
    "Follower",
    "Geometry",
    "Method",
    "Sighting",
    "Track",
    "TrackSettings",
]

Geometry = Literal["auto", "roi", "field"]
Method = Literal["auto", "memory", "neighbour"]


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """Which memories tracking uses; the defaults are Meta's."""

    max_memories: int = 7
    """Prompted frames and the nearest frames before this one: 1 is the prompted ones
    alone, the network's ``num_maskmem`` is all. Fewer are faster."""
    max_prompted: int | None = None
    """Prompted frames attended to, at least 2; None: all of them."""
    stride: int = 1
    """Frames between the memories that are further back than the nearest one."""
    pool_older: bool = False
    """Halve the grid of all memories but those of the nearest and of prompted frames."""
    carry: bool | None = None
    """Give the nearest frame's logits as mask prompt; None: to models trained so."""
    multimask: bool = True
    """While tracking, take the best of three masks; models that were trained with drawn
    prompts want False."""

    def __post_init__(self) -> None:
        if self.max_memories < 1 or self.stride < 1:
            raise ValueError(
                "max_memories and stride must be at least 1: "
                f"got {self.max_memories} and {self.stride}."
            )
        if self.max_prompted is not None and self.max_prompted < 2:
            raise ValueError(
                f"max_prompted must be None or at least 2: got {self.max_prompted}."
            )

    @property
    def reach(self) -> int:
        """The largest distance in frames at which a tracked frame's memory is used."""
        return (self.max_memories - 1) * self.stride + 1


@dataclass(frozen=True, slots=True)
class FollowSettings:
    """How a model follows objects; each field as in ``PropagationSettings``."""

    geometry: Geometry
    method: Method
    track: TrackSettings
    lean: float | None
    look: float | None


class Track(Protocol):
    """One object on its way through a stack, in one direction."""

    state: Any
    """The follower's own; None before the first look and when it has to start anew."""

    @property
    def id(self) -> int:
        """Of the object."""

    @property
    def anchor(self) -> int:
        """The plane, vouched for by the user, that it is followed from."""

    @property
    def step(self) -> int:
        """+1 or -1."""

    @property
    def next(self) -> int:
        """The plane that it is looked for on."""

    @property
    def last_plane(self) -> int:
        """The nearest plane on which the object was."""

    @property
    def last(self) -> CroppedMask:
        """Its mask there."""

    @property
    def expected(self) -> CroppedMask:
        """That mask where it should be on the next plane, to whole pixels."""

    @property
    def moved(self) -> tuple[float, float]:
        """Rows and columns from ``last`` to where it should be on the next plane."""

    @property
    def anchors(self) -> list[int]:
        """All planes that the user vouched for, in order."""

    @property
    def beyond(self) -> int | None:
        """The vouched plane on the other side, towards which it is followed, if any."""

    def mask_on(self, plane: int) -> CroppedMask | None:
        """The mask of a plane that was followed or vouched for; None without one."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What a follower found of one object on one plane."""

    candidate: Candidate
    presence: float
    """Probability that the object is there, 0 to 1."""
    state: Any = field(default=None, repr=False)
    """What the follower wants to be given back when the plane is kept."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What following one object to one plane takes."""

    shared_seconds: float
    """For what objects in one place share."""
    seconds: float
    """For the object itself."""
    shared_nbytes: int
    nbytes: int
    """Memory that is held while it is followed."""
    most_shared_nbytes: int | None = None
    """What is shared never takes more than this altogether; None: it is not limited."""


class Follower(Protocol):
    """Finds objects on the planes next to those on which they are known."""

    def begin(self, track: Track) -> None:
        """Get ready to follow an object from its last mask."""

    def foresee(self, track: Track) -> None:
        """Get ready for an object that has moved to ``track.expected``."""

    def place(self, track: Track) -> Hashable:
        """What objects share that are looked at together."""

    def look(
        self,
        plane: int,
        tracks: Sequence[Track],
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[Track, Sighting]]:
        """Look for objects on a plane; one after the other is given as it is found.

        Raises
        ------
        concurrent.futures.CancelledError
            Where ``cancelled`` said so.
        """

    def arrive(self, track: Track, found: CroppedMask, *, final: bool) -> bool:
        """Get ready for the plane after one on which an object was found.

        False where the object was cut by what was looked at, and is to be looked at again
        on the same plane; never with ``final``.
        """

    def keep(self, plane: int, track: Track, sighting: Sighting) -> None:
        """Remember what was found and is taken for the object."""

    def cost(
        self,
        track: Track,
        *,
        timed: bool,
        cancelled: Callable[[], bool] | None = None,
    ) -> Cost:
        """What the next plane of an object takes; measured by a trial where ``timed``."""

    def forget(self, object_id: int | None = None, plane: int | None = None) -> None:
        """Drop what is remembered of an object and a plane; of all without them."""
